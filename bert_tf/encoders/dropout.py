"""Dropout whose masks belong to a training step, see `flop_tf.randomness`."""

import tensorflow as tf

from flop_tf import randomness
from flop_tf.backend import keras


@keras.saving.register_keras_serializable("bert_tf")
class StepDropout(keras.layers.Layer):
    """`keras.layers.Dropout` that repeats its masks when a run is resumed.

    Args:
      rate: share of elements that are dropped, in [0, 1).
      seed: int or None, of the masks; None takes one from the layer's name.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: if the rate is not in [0, 1).
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"Argument `rate` must be in [0, 1), received {rate}.")
        self.rate = rate
        self.seed = seed

    def call(self, inputs, training=None):
        """Returns the inputs, in training with elements dropped and the rest scaled up.

        Args:
          inputs: float tensor of any shape.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        if not self.rate:
            return inputs
        return keras.backend.in_train_phase(
            lambda: self._dropped(inputs), lambda: inputs, training=training
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}

    def _dropped(self, inputs):
        seed = randomness.layer_seed(self.seed, self.name)
        examples_seed = randomness.examples_seed(seed)
        if examples_seed is None:
            return tf.nn.dropout(inputs, self.rate, seed=seed)
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, examples_seed)
