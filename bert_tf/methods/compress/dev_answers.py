"""What models answer on dev: scores, also by class, and where they differ from the dense model."""

import functools

import numpy as np
from scipy import special

from bert_tf.checkpoints import model_dir
from bert_tf.runs import evaluation
from bert_tf.tasks import metrics
from bert_tf.tasks.text_task import TextTask

#: The most examples of `DevAnswers.of`.
MOST_EXAMPLES = 20


class DevAnswers:
    """The dev set of a task, and the dense model's answers to it.

    Each model has its own tokenizer: vocabularies may differ.

    Args:
      task: the `bert_tf.tasks.task.Task`; its first dev split is read.
      data_dir: its folder.
      max_seq_length: the most tokens of an example.
      batch_size: examples a batch.
      dense: folder of the dense model.
    """

    def __init__(self, task, data_dir, max_seq_length, batch_size, dense):
        self._task, self._data_dir, self._length = task, data_dir, max_seq_length
        self._batch_size, self._dense_folder = batch_size, dense
        self._encoded, self._found = {}, {}

    def of(self, folder):
        """Returns what a model answers, plain data; a folder is looked at once.

        Args:
          folder: of a model of the task.

        Returns:
          Dict of `scores` by metric; `classes`, see `bert_tf.tasks.metrics.by_class`, empty without
          classes; and `different`, None of a task without one class or score a text, else a dict of
          `number` and `examples`: how many examples have another class than by the dense model,
          and of a regression how many there are; and up to `MOST_EXAMPLES` of them, those with the
          largest `difference` first. That is half the sum of the absolute differences of the
          probabilities, and of a regression the absolute difference of the scores.

        Raises:
          ValueError: if a file or the model does not fit the task.
        """
        if folder not in self._found:
            is_dense = folder == self._dense_folder
            self._found[folder] = self._of(*(self._dense if is_dense else self._answered(folder)))
        return self._found[folder]

    @functools.cached_property
    def _examples(self):
        return self._task.read(self._data_dir, self._task.dev_splits[0])

    @functools.cached_property
    def _dense(self):
        return self._answered(self._dense_folder)

    def _of(self, logits, encoded):
        found, has_classes = self._task.score(logits, encoded), self._task.labels is not None
        return {
            # Logits are float32: later digits mean nothing, see `evaluation.score`.
            "scores": {key: float(f"{value:.7g}") for key, value in found.items()},
            "classes": metrics.by_class(self._task, logits, encoded.labels) if has_classes else [],
            "different": self._different(logits) if isinstance(self._task, TextTask) else None,
        }

    def _answered(self, folder):
        """Returns a model's logits, and the `EncodedExamples` that it received."""
        source = self._task.with_head(model_dir.read(folder), f"the model in {folder!r}")
        tokenizer = source.tokenizer()
        key = tokenizer.digest, str(tokenizer.rules)
        if key not in self._encoded:
            self._encoded[key] = self._task.encode(self._examples, tokenizer, self._length)
        encoded = self._encoded[key]
        return evaluation.predict(source.model(), encoded, self._batch_size), encoded

    def _different(self, logits):
        labels, regression = self._examples.labels, self._task.is_regression
        dense, texts = self._dense[0], self._task.texts(self._examples)
        if regression:
            answers = [labels, dense[:, 0], logits[:, 0]]
            difference = np.abs(answers[1] - answers[2])
            rows = np.arange(len(labels))
        else:
            answers = [labels, dense.argmax(axis=1), logits.argmax(axis=1)]
            difference = np.abs(_probabilities(dense) - _probabilities(logits)).sum(axis=1) / 2
            rows = np.flatnonzero(answers[1] != answers[2])
        most = rows[np.argsort(-difference[rows], kind="stable")][:MOST_EXAMPLES]
        names = None if regression else self._task.class_names or self._task.labels
        examples = [
            {
                "texts": [texts[name][row] for name in self._task.text_names],
                **{
                    who: float(f"{given[row]:.7g}") if regression else names[given[row]]
                    for who, given in zip(("label", "dense", "model"), answers, strict=True)
                },
                "difference": float(f"{difference[row]:.7g}"),
            }
            for row in most
        ]
        return {"number": len(rows), "examples": examples}


def _probabilities(logits):
    return special.softmax(logits.astype(np.float64), axis=1)
