"""Scores of a run at its checkpoints, and the files that it ends with."""

import os
import time

import tensorflow as tf
from absl import logging

from bert_tf.checkpoints import model_dir
from bert_tf.runs import callbacks, evaluation
from flop_tf import files

#: Written last; a folder with it holds a finished run.
RESULTS_FILE = "eval_results.txt"


class RunScores:
    """Scores a model at steps of its training; the best one so far lies in the run's folder.

    Attributes:
      best: variable with the highest score of the primary metric.
      eval_time: seconds that scoring took.

    Args:
      inputs: the `RunInputs` of the run.
      store: what keeps the best model, as `ModelStore`.
      is_chief: whether this process writes files.
    """

    def __init__(self, inputs, store, is_chief):
        self._options, self._task = inputs.options, inputs.task
        self._tokenizer, self._data = inputs.tokenizer, inputs.data
        self._store, self._is_chief = store, is_chief
        self.best = tf.Variable(-float("inf"), dtype=tf.float64)
        self.eval_time = 0.0

    def update(self, model, step, loss, writer):
        """Scores the model and keeps it if it is the best.

        Args:
          model: a `BertModel`.
          step: int, the number of updates so far.
          loss: float, of the last update.
          writer: of `tf.summary`.

        Returns:
          The deciding score, a float.
        """
        scores, task = self._score(model)
        selected = scores[self._data.select_split][self._task.primary_metric]
        with writer.as_default(step):
            for split, values in scores.items():
                for key, value in values.items():
                    tag = key if split == self._data.report_split else f"{split}/{key}"
                    tf.summary.scalar(tag, value)
        callbacks.write_survivors(writer, step, model)
        if self._store.keeps_last or selected > float(self.best):
            self.best.assign(selected)
            self.save(model, step, loss, scores, task)
        return selected

    def score_untrained(self, model):
        """Scores and saves a model of a run without training.

        Args:
          model: a `BertModel`.
        """
        self.save(model, 0, 0.0, *self._score(model))

    def save(self, model, step, loss, scores, task=None):
        """Stores the model, in the process that writes files; see `ModelStore.save`.

        Args:
          model: a `BertModel`.
          step: int, the number of updates so far.
          loss: float, of the last update.
          scores: dict of dicts by split.
          task: as tuned for the model; default as it is without scores.
        """
        if self._is_chief:
            self._store.save(model, step, loss, scores, task or self._task)

    def finish(self, seconds):
        """Writes predictions and, last, the results of the best model.

        Args:
          seconds: that the run took since its last start.

        Returns:
          Its scores by split, a dict of dicts.
        """
        folder = self._options.output_dir
        info = model_dir.load_info(folder)
        if self._options.do_predict:
            self._predict(folder, self._task.tuned_as(info))
        lines = [f"global_step = {info['step']}", f"loss = {info['loss']:.6f}"]
        for split, scores in info["scores"].items():
            prefix = "" if split == self._data.report_split else f"{split}_"
            lines += [f"{prefix}{key} = {value:.6f}" for key, value in sorted(scores.items())]
        lines += [f"train_time = {seconds - self.eval_time:.1f}"]
        lines += [f"eval_time = {self.eval_time:.1f}"]
        files.write_text(os.path.join(folder, RESULTS_FILE), "\n".join(lines) + "\n")
        logging.info("The model of step %d is kept: %s", info["step"], _brief(info["scores"]))
        return info["scores"]

    def _score(self, model):
        began = time.perf_counter()
        batch_size = self._options.eval_batch_size
        found = evaluation.score(
            model, self._task, self._data.splits, batch_size, self._data.widths
        )
        self.eval_time += time.perf_counter() - began
        return found

    def _predict(self, folder, task):
        best = self._store.load()
        for split, examples in self._data.tests.items():
            encoded = task.encode(examples, self._tokenizer, self._options.max_seq_length)
            logits = evaluation.predict(best, encoded, self._options.predict_batch_size)
            task.write_predictions(split, examples, encoded, logits, folder)


def _brief(scores):
    return "; ".join(
        f"{split} " + ", ".join(f"{key} {value:.4f}" for key, value in values.items())
        for split, values in scores.items()
    )
