"""Scores of a run at its checkpoints, its best model and what it leaves behind."""

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
      options: `FinetuneOptions`.
      task: of `bert_tf.tasks.registry`.
      tokenizer: of the model.
      data: `RunData`.
      is_chief: whether this process writes files.
    """

    def __init__(self, options, task, tokenizer, data, is_chief):
        self._options, self._task, self._tokenizer = options, task, tokenizer
        self._data, self._is_chief = data, is_chief
        self.best = tf.Variable(-float("inf"), dtype=tf.float64)
        self.eval_time = 0.0

    def update(self, model, step, loss, writer):
        """Scores the model and keeps it if it is the best; returns the deciding score.

        Args:
          model: a `BertModel`.
          step: that was made last.
          loss: of that step.
          writer: of `tf.summary`.
        """
        scores = self._score(model)
        selected = scores[self._data.select_split][self._task.primary_metric]
        with writer.as_default(step):
            for split, values in scores.items():
                for key, value in values.items():
                    tag = key if split == self._data.report_split else f"{split}/{key}"
                    tf.summary.scalar(tag, value)
        callbacks.write_survivors(writer, step, model)
        if selected > float(self.best):
            self.best.assign(selected)
            self.save(model, step, loss, scores)
        return selected

    def score_untrained(self, model):
        """Scores and saves a model of a run without training."""
        self.save(model, 0, 0.0, self._score(model))

    def save(self, model, step, loss, scores):
        """Writes the model directory of the best model."""
        if not self._is_chief:
            return
        model_dir.save(
            self._options.output_dir,
            model,
            self._tokenizer,
            task=self._task.to_dict(),
            data_dir=os.path.abspath(self._options.data_dir),
            max_seq_length=self._options.max_seq_length,
            stage=model_dir.stage_after(self._options.init_checkpoint, model.config),
            step=step,
            loss=loss,
            stored_sparsity=float(model.budget().stored_sparsity()),
            scores=scores,
        )

    def finish(self, seconds):
        """Writes predictions and, last, the results of the best model; returns its scores.

        Args:
          seconds: that the run took since its last start.
        """
        folder = self._options.output_dir
        info = model_dir.load_info(folder)
        if self._options.do_predict:
            self._predict(folder)
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
        scores = evaluation.score(
            model, self._task, self._data.splits, batch_size, self._data.widths
        )
        self.eval_time += time.perf_counter() - began
        return scores

    def _predict(self, folder):
        best = self._best_model(folder)
        for split, examples in self._data.tests.items():
            encoded = self._task.encode(examples, self._tokenizer, self._options.max_seq_length)
            logits = evaluation.predict(best, encoded, self._options.predict_batch_size)
            self._task.write_predictions(split, examples, encoded, logits, folder)

    def _best_model(self, folder):
        return model_dir.load(folder)


def _brief(scores):
    return "; ".join(
        f"{split} " + ", ".join(f"{key} {value:.4f}" for key, value in values.items())
        for split, values in scores.items()
    )
