"""How far an exported model is from its source: outputs and scores on sentences of the dev set."""

import functools

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf.data import batching
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.heads.span import MASKED
from bert_tf.tasks import model_task

#: Texts that are sent as they are.
NUM_TEXTS = 64

_BATCH_SIZE = 32
# Logits that are held of each model: those of a vocabulary at every token would fill the memory.
_MOST_LOGITS = 2**26
# How far probabilities may be from those of the logits next to them.
_ROUNDING = 1e-5
_LOWEST = np.finfo(np.float16).min
_DIFFERENCES = ("largest_difference", "percentile_99", "median_difference")


class Comparison:
    """Requests, and the source model's answers to them.

    Attributes:
      requests: list of `(signature, {name: array})`: ids in batches, and one batch of texts.
      texts: the texts of the last request, a list of strings by name.
      description: the source of the requests, a split or "random tokens".
      num_examples: how many examples the requests of ids hold.
      metric: name of the metric that decides.
      source: the answers of the source model, `{name: array}` for each request.

    Args:
      model: the source, a `BertModel`.
      service: its `bert_tf.serving.services.Service`.
      data_dir: folder of the task; the default "" compares random tokens and words.
      num_examples: number of dev examples, at least 0; 0 is all; default 1,024.

    Raises:
      ValueError: if the data do not fit the task.
    """

    def __init__(self, model, service, data_dir="", num_examples=1024):
        self._head, self._service = model.head, service
        self.metric = service.task.primary_metric
        (one,) = model_task.random_features(model.config, service.max_seq_length, 1, 1)
        self._most = max(1, _MOST_LOGITS // int(tf.size(model(one, training=False))))
        if data_dir:
            ids = self._real(data_dir, num_examples)
        else:
            logging.info("The data of the task are not at hand; random tokens are compared.")
            ids = self._random(model.config)
        self.requests = [("serving_default", batch) for batch in ids]
        texts = service.tokenizer.in_graph
        if texts:
            self.requests.append(("text", {name: np.array(t) for name, t in self.texts.items()}))
        ids_of_texts = [_arrays(service.features(self.texts))] if texts else []

        # In a graph, as servers and `predict` run it: what TensorFlow fuses there is no difference.
        signature = dict.fromkeys(INPUT_NAMES, tf.TensorSpec([None, None], tf.int32))

        @tf.function(input_signature=[signature])
        def outputs(features):
            return service.outputs(model(features, training=False))

        self._features = [*ids, *ids_of_texts]
        self.source = [_arrays(outputs(_tensors(batch))) for batch in self._features]

    def figures(self, outputs):
        """Returns how far answers are from the source's, plain data.

        Args:
          outputs: answers to the first requests, or to all.

        Returns:
          Dict of `largest_difference`, `percentile_99` and `median_difference` of the logits, None
          where one is no finite number; `largest_angle`, see `Head.angles`, None where it says
          nothing; `flips`, the share of examples, of tags the share of words, with another label,
          None of a task without classes and of random tokens; `scores`, and `lost_points` of the
          primary metric, {} and None without labels.
        """
        given = [self._service.logits(answer) for answer in outputs]
        if not all(np.isfinite(logits).all() for logits in given):
            nothing = dict.fromkeys((*_DIFFERENCES, "largest_angle", "flips", "lost_points"))
            return {**nothing, "scores": {}}
        source = [self._service.logits(answer) for answer in self.source[: len(given)]]
        scores, flips, lost = {}, None, None
        if self._encoded is not None:
            before, after = self._source_predictions, self._predictions(outputs)
            scores, flips = self._scored_as(after), self._flips(before, after)
            if scores:
                lost = 100 * (self._scored_as(before)[self.metric] - scores[self.metric])
        return {
            **_differences(*(np.concatenate([x.ravel() for x in y]) for y in (source, given))),
            "largest_angle": self._largest_angle(source, given),
            "flips": flips,
            "scores": scores,
            "lost_points": lost,
        }

    def mean_difference(self, outputs):
        """Returns the mean difference of the logits, a float; infinite where one is not finite.

        Args:
          outputs: answers to the first requests.
        """
        pairs = zip(self.source, outputs, strict=False)
        found = [abs(self._service.logits(one) - self._service.logits(two)) for one, two in pairs]
        return float(np.nan_to_num(np.concatenate([x.ravel() for x in found]).mean(), nan=np.inf))

    def wrong_names(self, outputs, with_texts):
        """Returns the names of outputs that are not there or do not follow from the logits.

        Args:
          outputs: as in `figures`.
          with_texts: whether answers hold texts next to numbers.
        """
        wrong = set()
        for (signature, request), features, numbers, given in zip(
            self.requests, self._features, self.source, outputs, strict=False
        ):
            if missing := numbers.keys() - given.keys():
                wrong |= missing
                continue
            expected = self._service.outputs(tf.constant(self._service.logits(given)))
            if with_texts:
                expected = self._service.answers(expected)
                if signature == "text":
                    ids = features[INPUT_NAMES[0]]
                    expected = self._service.text_answers(expected, _tensors(request), ids)
            expected = _arrays(expected)
            wrong |= expected.keys() ^ given.keys()
            common = expected.keys() & given.keys()
            wrong |= {name for name in common if not _same(expected[name], given[name])}
        return sorted(wrong)

    def scores(self, outputs):
        """Returns the task's scores of the answers to the requests of ids, or {} without labels.

        Args:
          outputs: as in `figures`.
        """
        return {} if self._encoded is None else self._scored_as(self._predictions(outputs))

    @property
    def _num_texts(self):
        return min(NUM_TEXTS, self._most)

    def _largest_angle(self, source, given):
        """Returns the largest of `Head.angles` of all examples, a float or None."""
        found = [self._head.angles(*pair) for pair in zip(source, given, strict=True)]
        if any(angles is None for angles in found):
            return None
        return float(np.concatenate(found).max())

    def _predictions(self, outputs):
        """Returns what the task scores of answers to the requests of ids, in its order."""
        parts = []
        for features, given in zip(self._scored, outputs, strict=False):
            logits = self._head.restrict(tf.constant(self._service.logits(given)), features)
            parts.append(self._head.predictions(logits, features).numpy())
        return np.concatenate(parts)[np.argsort(np.concatenate(self._order))]

    @functools.cached_property
    def _source_predictions(self):
        return self._predictions(self.source)

    def _scored_as(self, predictions):
        """Returns the task's scores, or {} without labels."""
        if self._encoded.labels is None:
            return {}
        return self._service.task.score(predictions, self._encoded)

    def _flips(self, source, given):
        """Returns the share of the task's answers that are other ones, or None."""
        if self._service.labels is None:
            return None
        source, given = (
            self._service.task.decided(predictions, self._encoded)
            for predictions in (source, given)
        )
        if source is None:
            return None
        flipped = source != given
        return float(flipped.reshape(len(flipped), -1).any(axis=1).mean()) if len(flipped) else 0.0

    def _real(self, data_dir, num_examples):
        task, service = self._service.task, self._service
        examples = task.read(data_dir, task.dev_splits[0])
        examples = examples.take(range(min(num_examples or len(examples), len(examples))))
        self.texts = service.texts(examples.take(range(min(self._num_texts, len(examples)))))
        encoded = task.encode(examples, service.tokenizer, service.max_seq_length)
        self._encoded = encoded.take(range(self._most)) if len(encoded) > self._most else encoded
        batches = list(batching.evaluation_dataset(self._encoded, _BATCH_SIZE))
        self._scored = [features for features, *_ in batches]
        self._order = [index.numpy() for *_, index in batches]
        self.description, self.num_examples = task.dev_splits[0], len(self._encoded)
        return [_inputs(features) for features in self._scored]

    def _random(self, config):
        vocab, generator = self._service.tokenizer.vocab, np.random.default_rng(0)
        self.texts = {
            name: [" ".join(generator.choice(vocab, size)) for size in range(self._num_texts)]
            for name in self._service.text_names
        }
        self._encoded, self._scored, self._order = None, [], []
        batches = model_task.random_features(
            config, self._service.max_seq_length, *_random_sizes(self._most)
        )
        self.description, self.num_examples = "random tokens", sum(map(_rows, batches))
        return [_inputs(features) for features in batches]


def _random_sizes(most):
    """Returns the number of random batches and their size: 8 of 8, where so many are held."""
    return max(1, min(8, most // 8)), min(8, most)


def _differences(source, given):
    """Returns the differences of `Comparison.figures` of all logits in one vector.

    They are relative to the source's largest logit where that is above 1: logits of 10 have
    one digit less after the point than logits of 1.
    """
    # Padding has a logit next to which every other one is small, in float16 the lowest one.
    real = source != MASKED
    found = np.abs(np.maximum(source, _LOWEST) - np.maximum(given, _LOWEST))
    found /= max(1.0, np.abs(source[real]).max())
    values = (found.max(), *np.percentile(found[real], [99, 50]))
    return dict(zip(_DIFFERENCES, map(float, values), strict=True))


def _same(expected, given):
    """Returns whether arrays are equal, floats within `_ROUNDING`."""
    if expected.shape != given.shape:
        return False
    if expected.dtype.kind == "f":
        return given.dtype == expected.dtype and np.allclose(
            expected, given, 0, _ROUNDING, equal_nan=True
        )
    if expected.dtype.kind == "i":
        return given.dtype == expected.dtype and np.array_equal(expected, given)
    return np.array_equal(expected.astype(np.bytes_), given)


def _arrays(tensors):
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _inputs(features):
    return {name: features[name].numpy() for name in INPUT_NAMES}


def _tensors(arrays):
    return {name: tf.constant(array) for name, array in arrays.items()}


def _rows(features):
    return len(next(iter(features.values())))
