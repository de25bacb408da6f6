"""The Lagrangian that steers the expected sparsity to its target."""

import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.budget.sparsity_ramp import sparsity_ramp


@keras.saving.register_keras_serializable("flop_tf")
class Lagrangian(keras.layers.Layer):
    """`lambda_1 (t - s) + lambda_2 (t - s)^2`, with multipliers that ascend from 0.

    s is the expected sparsity, t the ramp from the model's own sparsity at step
    0 to the target. Two rules keep the multipliers from winding up: they never
    go below 0, and lambda_2, whose ascent direction (t - s)^2 has no sign of its
    own, rises only while the sparsity is below its target. What ends the control is
    `FixGates`: once the target is reached nothing can reopen.

    >>> lagrangian = Lagrangian(0.6, start_sparsity=-0.4, warmup_steps=100)
    >>> [round(float(lagrangian.target(step)), 2) for step in (0, 50, 100, 200)]
    [-0.4, 0.1, 0.6, 0.6]

    Args:
      target_sparsity: in [0, 1).
      start_sparsity: the model's expected sparsity at step 0, may be negative.
      warmup_steps: steps of the ramp.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: if the target is not in [0, 1).

    Reference:
      Structured Pruning of Large Language Models, arXiv 1910.04732.
    """

    def __init__(self, target_sparsity, start_sparsity, warmup_steps, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if not 0 <= target_sparsity < 1:
            raise ValueError(
                f"Argument `target_sparsity` must be in [0, 1), received {target_sparsity}."
            )
        self.target_sparsity = target_sparsity
        self.warmup_steps = warmup_steps
        # A variable, because a checkpoint of the training must hold it.
        self._start_sparsity = self.add_weight(
            name="start_sparsity",
            shape=[],
            initializer=keras.initializers.Constant(start_sparsity),
            trainable=False,
        )
        multiplier = {
            "shape": [],
            "initializer": "zeros",
            "constraint": keras.constraints.NonNeg(),
            # Every replica makes the same update.
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self.lambda_1 = self.add_weight(name="lambda_1", **multiplier)
        self.lambda_2 = self.add_weight(name="lambda_2", **multiplier)
        self.built = True

    @property
    def multipliers(self):
        """The two variables, as the optimizer takes them."""
        return [self.lambda_1, self.lambda_2]

    @property
    def start_sparsity(self):
        """The sparsity from which the ramp starts, a float."""
        return float(self._start_sparsity.numpy())

    def target(self, step):
        """Returns t, the target sparsity at `step`.

        Args:
          step: int or integer scalar tensor, updates so far.
        """
        return sparsity_ramp(step, self._start_sparsity, self.target_sparsity, self.warmup_steps)

    def penalty(self, sparsity, target):
        """Returns `lambda_1 (t - s) + lambda_2 (t - s)^2`, a scalar.

        Args:
          sparsity: s, float scalar tensor, the expected sparsity.
          target: t, float scalar tensor.
        """
        behind = target - sparsity
        return self.lambda_1 * behind + self.lambda_2 * tf.square(behind)

    def gradients(self, sparsity, target):
        """Returns the gradients that a descending optimizer needs to ascend the multipliers.

        Args:
          sparsity: s, float scalar tensor, the expected sparsity.
          target: t, float scalar tensor.

        Returns:
          A list of two scalar tensors, as `multipliers`.
        """
        behind = target - sparsity
        return [-behind, -tf.square(tf.maximum(behind, 0.0))]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "target_sparsity": self.target_sparsity,
            "start_sparsity": self.start_sparsity,
            "warmup_steps": self.warmup_steps,
        }
