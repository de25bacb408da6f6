"""Training for a task while weights of small magnitude are masked, more and more of them."""

import contextlib

from flop_tf.training.task_objective import TaskObjective


class MagnitudeObjective(TaskObjective):
    """`task + L2`; between steps the masks of the gates follow the weights.

    >>> from flop_tf.backend import keras
    >>> from flop_tf.budget.budget import Budget
    >>> from flop_tf.layers.gated_dense import GatedDense
    >>> from flop_tf.training.gradual import GradualPruning
    >>> layer = GatedDense(4, gate="magnitude")
    >>> layer.build([None, 4])
    >>> budget = Budget([layer])
    >>> objective = MagnitudeObjective(GradualPruning(budget, 0.5, last_step=10))
    >>> with objective.scored(step=3):
    ...     float(budget.stored_sparsity())
    0.5
    >>> float(budget.stored_sparsity())
    0.0

    Args:
      gradual: the `flop_tf.training.gradual.GradualPruning` of the model.
      **task: of `TaskObjective`.
    """

    def __init__(self, gradual, **task):
        super().__init__(**task)
        self.gradual = gradual

    def callbacks(self):
        """Returns the callback that sets the masks."""
        return [self.gradual]

    def scored(self, step):
        """Returns a context in which the masks have the target sparsity, as they do at the end."""
        if step >= self.gradual.last_step:
            return contextlib.nullcontext()
        return self.gradual.sparsity.calibrated(self.gradual.target_sparsity)
