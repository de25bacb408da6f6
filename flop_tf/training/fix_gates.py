"""The end of the gates' training."""

import functools

import tensorflow as tf

from flop_tf.backend import keras


class FixGates(keras.callbacks.Callback):
    """Fixes the gates once the target is reached, so that the weights recover under them.

    They are fixed after the first step whose stored sparsity, which the step logs, is the target,
    and at `last_step` at the latest. Either way they are first calibrated, so that the stored
    sparsity is the target. Where the gates alone are trained, that is the end of training.

    >>> from flop_tf.budget.budget import Budget
    >>> from flop_tf.layers.factorized_dense import FactorizedDense
    >>> layer = FactorizedDense(6, 4, gate="hard_concrete")
    >>> layer.build([None, 6])
    >>> FixGates(Budget([layer]), target_sparsity=0.5, last_step=100).is_fixed()
    False

    Args:
      sparsity: the `Budget` of the model.
      target_sparsity: float in [0, 1), the stored sparsity to reach.
      last_step: int, step by which the gates are fixed at the latest.

    Raises:
      ValueError: if there are no gates, or at `last_step`, if even without any gated rank the model
        is not that sparse.
    """

    def __init__(self, sparsity, target_sparsity, last_step):
        super().__init__()
        if not sparsity.gates and not sparsity.by_magnitude():
            raise ValueError(
                "Argument `sparsity` must have gates that can be fixed, received one without gates."
            )
        self.sparsity = sparsity
        self.target_sparsity = target_sparsity
        self.last_step = last_step

    @functools.cached_property
    def fixed(self):
        """Boolean `tf.Variable`, whether the gates are fixed; a checkpoint of the run holds it."""
        # Not made by the constructor: that may be called in the scope of a strategy.
        return tf.Variable(False)

    def is_fixed(self):
        """Returns whether the gates are fixed, a bool."""
        return bool(self.fixed.numpy())

    def on_train_batch_end(self, batch, logs=None):
        """Fixes the gates if it is time.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        if self.is_fixed():
            return
        reached = logs.get("stored_sparsity", 0.0) >= self.target_sparsity
        if reached or int(self.model.optimizer.iterations.numpy()) >= self.last_step:
            self.fix(self.sparsity.calibrate(self.target_sparsity))

    def fix(self, shift=0.0):
        """Fixes the gates now.

        Args:
          shift: float, what calibration added to every log_alpha.
        """
        self.shift = shift
        self.fixed.assign(True)
        self.model.fix_gates()
        if not self.model.objective.train_weights:
            self.model.stop_training = True
