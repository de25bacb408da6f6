"""Gradual magnitude pruning: masks that close more and more during training.

Of tensorflow-model-optimization these are the schedules. Its masks are ours (a test compares
them): they keep too many weights where some are equal, all of them where the weight at the
boundary is 0, and sorting whole kernels takes ten times as long as finding the boundary.
"""

import tensorflow_model_optimization as tfmot

from flop_tf.backend import keras

# By default so many updates, so many steps apart at least.
_UPDATES = 100
_UPDATE_STEPS = 10


class GradualPruning(keras.callbacks.Callback):
    """Keeps the weights of largest magnitude, fewer at every update, up to a target.

    `s(t) = target + (start - target) (1 - t / ramp)^3`, with the sparsity at the start of
    training as `start`. It is the sparsity of each kernel alone, to half a weight. At `last_step`
    it is the target, and from then on the masks stay as they are.

    The masks change between steps, from the weights alone, so that all replicas have the same,
    and a run that resumes from a checkpoint has the masks of an unbroken one. `logs` get
    `target_sparsity` and `stored_sparsity`, for the callbacks after this one.

    >>> from flop_tf.budget.budget import Budget
    >>> from flop_tf.layers.gated_dense import GatedDense
    >>> layer = GatedDense(4, gate="magnitude")
    >>> layer.build([None, 4])
    >>> pruning = GradualPruning(Budget([layer]), target_sparsity=0.5, last_step=100)
    >>> pruning.target_at(50), pruning.target_at(100)
    (0.4375, 0.5)

    Args:
      sparsity: the `Budget` of the model; it has gates that go by magnitude.
      target_sparsity: the stored sparsity to reach.
      last_step: step of the last update, at least 1.
      ramp_steps: steps in which the sparsity grows; 0 takes the target at once. None is
        `last_step`.
      update_steps: steps between two updates, at least 1. None is a hundredth of `last_step`, at
        least 10: on two cores an update of MiniLM takes half as long as a step.

    Raises:
      ValueError: if there is no such gate or the target is out of reach, or while training if a
        weight is NaN.

    Reference:
      To prune, or not to prune, arXiv 1710.01878.
    """

    def __init__(self, sparsity, target_sparsity, last_step, ramp_steps=None, update_steps=None):
        super().__init__()
        if not sparsity.by_magnitude():
            raise ValueError(
                "Argument `sparsity` must have gates that go by magnitude, received one without."
            )
        self.sparsity = sparsity
        self.target_sparsity = target_sparsity
        self.last_step = last_step
        self.ramp_steps = last_step if ramp_steps is None else ramp_steps
        self.update_steps = update_steps or max(_UPDATE_STEPS, last_step // _UPDATES)
        with sparsity.calibrated(target_sparsity):
            pass  # Raises now rather than in the middle of the run if it is out of reach.
        start = float(sparsity.stored_sparsity())
        self.schedule = tfmot.sparsity.keras.ConstantSparsity(target_sparsity, 0)
        if self.ramp_steps:
            self.schedule = tfmot.sparsity.keras.PolynomialDecay(
                max(0.0, start), target_sparsity, 0, self.ramp_steps
            )

    def target_at(self, step):
        """Returns the target after a number of steps, a float.

        Args:
          step: int, updates so far.
        """
        if step >= self.last_step:
            return self.target_sparsity
        return float(self.schedule(step)[1])

    def on_train_begin(self, logs=None):
        """Makes the update of the step from which training starts or resumes.

        Args:
          logs: dict of scalars of the step, or None.
        """
        self.step = int(self.model.optimizer.iterations.numpy())
        self._maybe_update(self.step - 1)
        self.stored = float(self.sparsity.stored_sparsity())

    def on_train_batch_end(self, batch, logs=None):
        """Makes an update where it is time.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        before, self.step = self.step, int(self.model.optimizer.iterations.numpy())
        self._maybe_update(before)
        logs["target_sparsity"] = self.target_at(self.step)
        logs["stored_sparsity"] = self.stored

    def _maybe_update(self, before):
        """Updates the masks if one of the steps after `before` is one of an update."""
        every = self.update_steps
        ends = before < self.last_step <= self.step
        if ends or (self.step < self.last_step and self.step // every > before // every):
            self.sparsity.keep_largest(self.target_at(self.step))
            self.stored = float(self.sparsity.stored_sparsity())
            if ends:
                self.finish()

    def finish(self):
        """Is called after the last update."""
