"""What models answer on dev: scores, also by class, and where they differ from the dense model."""

import functools

import numpy as np

from bert_tf.checkpoints import model_dir
from bert_tf.runs import evaluation

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
          Dict of `scores` by metric; `classes`, see `Task.by_label`; and `different`, None of a
          task whose answers `Task.compared` does not show, else a dict of `number` and `examples`:
          how many answers differ from the dense model's, and up to `MOST_EXAMPLES` of them, those
          with the largest `difference` first.

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

    def _of(self, task, logits, encoded):
        found = task.score(logits, encoded)
        return {
            # Logits are float32: later digits mean nothing, see `evaluation.score`.
            "scores": {key: float(f"{value:.7g}") for key, value in found.items()},
            "classes": task.by_label(logits, encoded),
            "different": self._different(task, (logits, encoded)),
        }

    def _answered(self, folder):
        """Returns the task as tuned for a model, its logits, and what it received."""
        source = self._task.with_head(model_dir.read(folder), f"the model in {folder!r}")
        tokenizer = source.tokenizer()
        key = tokenizer.digest, str(tokenizer.rules)
        if key not in self._encoded:
            self._encoded[key] = self._task.encode(self._examples, tokenizer, self._length)
        encoded = self._encoded[key]
        logits = evaluation.predict(source.model(), encoded, self._batch_size)
        return self._task.tuned_as(source.info), logits, encoded

    def _different(self, task, answers):
        first, *own = self._dense
        compared = first.compared(self._examples, own, task, answers)
        if compared is None:
            return None
        differing, difference, shown = compared
        rows, texts = np.flatnonzero(differing), task.texts(self._examples)
        most = rows[np.argsort(-difference[rows], kind="stable")][:MOST_EXAMPLES]
        examples = [
            {
                "texts": [texts[name][row] for name in task.text_names],
                **{
                    who: given[row] if isinstance(given[row], str) else float(f"{given[row]:.7g}")
                    for who, given in zip(("label", "dense", "model"), shown, strict=True)
                },
                "difference": float(f"{difference[row]:.7g}"),
            }
            for row in most
        ]
        return {"number": len(rows), "examples": examples}
