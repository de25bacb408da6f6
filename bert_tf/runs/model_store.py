"""The best model of a run in its folder."""

import os

from bert_tf.checkpoints import model_dir
from bert_tf.runs.task_objectives import budget_of


class ModelStore:
    """Keeps the best model of a run as a model directory, which is the run's folder.

    Attributes:
      keeps_last: whether the last model is kept in place of the best one.

    Args:
      inputs: the `RunInputs` of the run.
    """

    keeps_last = False

    def __init__(self, inputs):
        self._options, self._tokenizer = inputs.options, inputs.tokenizer
        self._origin = inputs.source.info

    def save(self, model, step, loss, scores, task):
        """Writes the model directory.

        Args:
          model: a `BertModel`.
          step: int, the number of updates so far.
          loss: float, of the last update.
          scores: dict of dicts by split.
          task: as tuned for the model.
        """
        options, latency = self._options, {}
        if options.latency_table:  # What the target is of; sparsity is of kernel parameters.
            latency["stored_latency"] = 1 - float(budget_of(model, options).stored_sparsity())
        model_dir.save(
            options.output_dir,
            model,
            self._tokenizer,
            task=task.to_dict(),
            data_dir=os.path.abspath(options.data_dir),
            max_seq_length=options.max_seq_length,
            stage=model_dir.stage_after(self._origin, model.config),
            step=step,
            loss=loss,
            stored_sparsity=float(model.budget().stored_sparsity()),
            scores=scores,
            **latency,
            **model_dir.family_of(self._origin),
        )

    def load(self):
        """Returns the model that was saved last."""
        return model_dir.load(self._options.output_dir)
