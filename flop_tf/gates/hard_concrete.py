"""Hard-concrete gates (Louizos, Welling and Kingma 2018, arXiv 1712.01312)."""

import math

import numpy as np
import tensorflow as tf

from flop_tf import randomness
from flop_tf.backend import keras
from flop_tf.gates.base import Gate, register_gate


def sample(log_alpha, noise, temperature=1.0, low=-0.1, high=1.1):
    """Returns a draw of the gate.

    `s = sigmoid((log u - log(1 - u) + log_alpha) / temperature)`,
    `z = clip(s * (high - low) + low, 0, 1)`.

    Args:
      log_alpha: float32 tensor, the location of each gate.
      noise: u, a tensor of the same shape, uniform on (0, 1).
      temperature: beta > 0.
      low: l < 0, lower limit of the stretched gate.
      high: r > 1, its upper limit.

    Returns:
      z, a tensor of the shape of `log_alpha`, in [0, 1].
    """
    logit = tf.math.log(noise) - tf.math.log1p(-noise)
    return _stretch(tf.sigmoid((logit + log_alpha) / temperature), low, high)


def sample_with_slope(log_alpha, noise, low, high):
    """Returns a draw at temperature 1 and its derivative.

    `s = sigmoid(log u - log(1 - u) + log_alpha) = u / (u + (1 - u) exp(-log_alpha))`,
    `z = clip(s (high - low) + low, 0, 1)`, `dz/dlog_alpha = (high - low) s (1 - s)` where
    0 < z < 1. The second form of s needs no logarithms, which over all weights of a model cost
    more than all the rest; it rounds otherwise than `sample`.

    Args:
      log_alpha: float32 tensor, the location of each gate.
      noise: u, a tensor of its shape, uniform on (0, 1).
      low: float below 0, lower limit of the stretched gate.
      high: float above 1, its upper limit.

    Returns:
      `(z, dz/dlog_alpha)`, tensors of the shape of `log_alpha`.
    """
    share = noise / (noise + (1 - noise) * tf.exp(-log_alpha))
    gate = _stretch(share, low, high)
    slope = (high - low) * share * (1 - share)
    return gate, tf.where((gate > 0) & (gate < 1), slope, 0.0)


def inference_gate(log_alpha, low=-0.1, high=1.1):
    """Returns `clip(sigmoid(log_alpha) * (high - low) + low, 0, 1)`, the gate without noise.

    Args:
      log_alpha: float32 tensor, the location of each gate.
      low: float below 0. Defaults to -.1.
      high: float above 1. Defaults to 1.1.
    """
    return _stretch(tf.sigmoid(log_alpha), low, high)


def probability_active(log_alpha, temperature=1.0, low=-0.1, high=1.1):
    """Returns `P(z > 0) = sigmoid(log_alpha - temperature * log(-low / high))`.

    Args:
      log_alpha: float32 tensor, the location of each gate.
      temperature: float above 0. Defaults to 1.
      low: float below 0. Defaults to -.1.
      high: float above 1. Defaults to 1.1.
    """
    return tf.sigmoid(log_alpha - temperature * math.log(-low / high))


def _stretch(gate, low, high):
    return tf.clip_by_value(gate * (high - low) + low, 0.0, 1.0)


@register_gate("hard_concrete")
class HardConcrete(Gate):
    """A gate that is exactly 0 or 1 with positive probability, and differentiable.

    One draw a step is shared by all positions of the batch. A unit survives at
    inference if and only if its inference gate is above `threshold`.

    >>> gate = HardConcrete(axis=0)
    >>> gate.build([3, 4])
    >>> gate.shift([0.0, -5.0, -10.0])  # From 5 to 5, 0 and -5.
    >>> gate.mask(training=False).numpy().round(2).tolist(), gate.keep().numpy().tolist()
    ([1.0, 0.5, 0.0], [True, True, False])

    Args:
      axis: see `Gate`.
      initial_log_alpha: start of every log_alpha. Defaults to 5, as in the original.
      temperature: beta > 0. Defaults to 1 (Louizos et al.: 2/3).
      low: l < 0. Defaults to -0.1.
      high: r > 1. Defaults to 1.1.
      threshold: in [0, 1); inference gates up to it are 0. Defaults to 0.
      seed: int or None, of the draws; None takes one from the layer's name.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: if an argument is out of its range.

    Reference:
      Learning Sparse Neural Networks through L0 Regularization, arXiv 1712.01312.
    """

    variable_name = "log_alpha"
    draws = True
    calibrates = True

    def __init__(
        self,
        axis=-1,
        initial_log_alpha=5.0,
        temperature=1.0,
        low=-0.1,
        high=1.1,
        threshold=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(axis=axis, **kwargs)
        if temperature <= 0:
            raise ValueError(f"Argument `temperature` must be above 0, received {temperature}.")
        if low >= 0 or high <= 1:
            raise ValueError(
                "Arguments `low` and `high` must lie below 0 and above 1, received "
                f"{low} and {high}."
            )
        if not 0 <= threshold < 1:
            raise ValueError(f"Argument `threshold` must be in [0, 1), received {threshold}.")
        self.initial_log_alpha = initial_log_alpha
        self.temperature = temperature
        self.low = low
        self.high = high
        self.threshold = threshold
        self.seed = seed

    def build_mask(self, shape):
        """Creates `log_alpha`, one value per mask value."""
        self.log_alpha = self.add_constant("log_alpha", shape, self.initial_log_alpha)

    def mask(self, training=None):
        """Returns a draw when `training` and trainable, else the inference gate."""
        if not self.trainable:
            return self._inference_mask()
        return keras.backend.in_train_phase(self._draw, self._inference_mask, training=training)

    def expected_active(self):
        """Returns the expected L0 norm, `sum P(z > 0)`."""
        return tf.reduce_sum(
            probability_active(self.log_alpha, self.temperature, self.low, self.high)
        )

    def keep(self):
        """Returns where the inference gate is above the threshold."""
        return self._inference_mask() > 0

    def opens_at(self):
        """Returns `closes_at - log_alpha`, the shifts at which units open, float64."""
        return self.closes_at - self.log_alpha.numpy().astype(np.float64)

    @property
    def closes_at(self):
        """The log_alpha up to which a gate is closed at inference; -2.397895 by default."""
        return math.log((self.threshold - self.low) / (self.high - self.threshold))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "initial_log_alpha": self.initial_log_alpha,
            "temperature": self.temperature,
            "low": self.low,
            "high": self.high,
            "threshold": self.threshold,
            "seed": self.seed,
        }

    def _inference_mask(self):
        gate = inference_gate(self.log_alpha, self.low, self.high)
        return tf.where(gate > self.threshold, gate, 0.0)

    def _draw(self):
        # Keeps log u and log(1 - u) finite.
        tiny = 1e-7
        seed = randomness.layer_seed(self.seed, self.name)
        noise = randomness.uniform(tf.shape(self.log_alpha), seed, tiny, 1 - tiny)
        return sample(self.log_alpha, noise, self.temperature, self.low, self.high)
