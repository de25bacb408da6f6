"""A class or a score for a text or a pair of texts."""

import dataclasses

import numpy as np
from scipy import special

from bert_tf.data import batching
from bert_tf.data.examples import Examples
from bert_tf.tasks import class_counts, metrics, predictions, task
from bert_tf.tasks.labelled_task import LabelledTask

CLASSIFICATION_METRICS = (
    "eval_accuracy",
    "precision",
    "recall",
    "f1_score",
    "matthews_corrcoef",
)
REGRESSION_METRICS = ("pearson", "spearmanr", "mse")

# The largest score, since they are float32.
_MOST = float(np.finfo(np.float32).max)
# Labels that an error names.
_LISTED = 20


@dataclasses.dataclass(frozen=True)
class TextTask(LabelledTask):
    """A class or a score for a text or a pair of texts.

    Args:
      name: as it is written in GLUE, for example "SST-2".
      splits: tuple of `(split, tables)`, see `bert_tf.data.examples.Table`.
      primary_metric: the metric that decides which checkpoint is best.
      labels: the classes as text, in the order of the logits; None for a regression.
      prediction_files: tuple of `(split, file name)` of a GLUE submission.
      score_range: `(lowest, highest)` score of a regression, or None for any.
      label_names: tuple of `(text in the file, label)` where they differ.
      class_names: published names of the classes, in the order of `labels`, where these are
        numbers; empty where they are names themselves.
      arguments: tuple of `(name, value)` of the other arguments of `get`, for `to_dict`.
    """

    primary_metric: str = "eval_accuracy"
    labels: tuple | None = None
    prediction_files: tuple = ()
    score_range: tuple | None = None
    label_names: tuple = ()
    class_names: tuple = ()

    @property
    def is_regression(self):
        """Whether a float is predicted."""
        return self.labels is None

    @property
    def num_outputs(self):
        """Width of the classifier."""
        return 1 if self.is_regression else len(self.labels)

    @property
    def num_texts(self):
        """1, or 2 for pairs of texts."""
        _, tables = self.splits[0]
        return len(tables[0].texts)

    @property
    def head(self):
        """A classifier of `num_outputs`, as fields of `EncoderConfig`."""
        return {"head": "classifier", "num_labels": self.num_outputs}

    @property
    def metrics(self):
        """Names that `bert_tf.tasks.metrics.score` returns."""
        return REGRESSION_METRICS if self.is_regression else CLASSIFICATION_METRICS

    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again, without looking at files."""
        labels = None if self.is_regression else list(self.labels)
        arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in self.arguments}
        return {"name": self.name, "labels": labels, **arguments}

    def read(self, data_dir, split):
        """Reads one split of the published layout.

        Args:
          data_dir: folder of the task, such as "glue/SST-2".
          split: one of the names in `splits`.

        Returns:
          `Examples`; the labels are None where a test file has none.

        Raises:
          ValueError: if the split, a file or a column is missing, or the
            content is empty, not UTF-8, too short or has an unknown label.
        """
        table = self.source(data_dir, split)
        texts, labels, ids, line_numbers = table.read(data_dir)
        if labels is not None:
            labels = self._parse(labels, line_numbers, f"{data_dir}/{table.file}")
            if split == "train" and not self.is_regression:
                class_counts.report(f"{data_dir}/{table.file}", self.labels, labels)
        return Examples(texts[0], texts[1] if len(texts) > 1 else None, labels, ids)

    @property
    def text_names(self):
        """`text`, or `text_a` and `text_b`."""
        return ("text",) if self.num_texts == 1 else ("text_a", "text_b")

    def texts(self, examples):
        """Returns the texts of `Examples` by name."""
        return dict(zip(self.text_names, (examples.texts_a, examples.texts_b), strict=False))

    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns the `EncodedExamples` of `Examples`; longer ones are cut."""
        return batching.encode(examples, tokenizer, max_seq_length)

    def score(self, logits, encoded):
        """Returns `eval_loss` and the metrics of logits `[N, num_outputs]`, a dict of floats."""
        scores = metrics.score(self, logits, encoded.labels)
        return {"eval_loss": metrics.loss(self, logits, encoded.labels), **scores}

    def classes(self, logits, encoded):
        """Returns the likeliest class of each example, None of a regression."""
        return None if self.is_regression else logits.argmax(axis=1)

    def by_class(self, logits, encoded):
        """Returns the scores of each class, see `bert_tf.tasks.metrics.by_class`."""
        if self.is_regression:
            return []
        return metrics.by_class(self._names, self.classes(logits, encoded), encoded.labels)

    def differences(self, examples, dense, model):
        """Returns the examples with other answers, see `Task`.

        The `difference` is half the sum of the absolute differences of the probabilities; of a
        regression, where all examples count, the absolute difference of the scores.
        """
        (dense, _), (model, _), texts = dense, model, self.texts(examples)
        if self.is_regression:
            answers = [examples.labels, dense[:, 0], model[:, 0]]
            difference = np.abs(answers[1] - answers[2])
            rows = np.arange(len(difference))
        else:
            answers = [examples.labels, dense.argmax(axis=1), model.argmax(axis=1)]
            difference = np.abs(_probabilities(dense) - _probabilities(model)).sum(axis=1) / 2
            rows = np.flatnonzero(answers[1] != answers[2])
        most = rows[np.argsort(-difference[rows], kind="stable")][: task.MOST_DIFFERENT]
        found = [
            {
                "texts": [texts[name][row] for name in self.text_names],
                **{
                    who: self._answer(given[row])
                    for who, given in zip(("label", "dense", "model"), answers, strict=True)
                },
                "difference": float(f"{difference[row]:.7g}"),
            }
            for row in most
        ]
        return {"number": len(rows), "examples": found}

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes what GLUE wants, see `bert_tf.tasks.predictions.write`."""
        predictions.write(self, split, examples.ids, logits, directory)

    @property
    def _names(self):
        """The names of the classes for people."""
        return self.class_names or self.labels

    def _answer(self, value):
        """Returns a score, or the name of a class, as people read it."""
        return float(f"{value:.7g}") if self.is_regression else self._names[value]

    def _parse(self, labels, line_numbers, path):
        """Turns label texts into int32 classes or float32 scores."""
        if self.is_regression:
            expected = (
                "a finite number such as 1.5"
                if self.score_range is None
                else "a number from {} to {}".format(*self.score_range)
            )
            values = [self._score(text) for text in labels]
        else:
            expected = f"one of {list(self.labels[:_LISTED])}"
            expected += f" and {len(self.labels) - _LISTED} others" * (len(self.labels) > _LISTED)
            classes = {label: i for i, label in enumerate(self.labels)}
            classes.update((text, classes[label]) for text, label in self.label_names)
            values = [classes.get(text.strip()) for text in labels]
        if None in values:
            row = values.index(None)
            raise ValueError(
                f"The data file {path!r} needs {expected} as a label, received "
                f"{labels[row][:80]!r} in line {line_numbers[row]}."
            )
        return np.array(values, np.float32 if self.is_regression else np.int32)

    def _score(self, text):
        """Returns the number in `text`, or None where it is not one that is expected."""
        if "_" in text or not text.isascii():  # Python reads "1_000" and digits of all scripts.
            return None
        try:
            value = float(text)
        except ValueError:
            return None
        low, high = self.score_range or (-_MOST, _MOST)
        return value if low <= value <= high else None  # NaN is not.


def _probabilities(logits):
    return special.softmax(logits.astype(np.float64), axis=1)
