"""Gates whose scores learn which weights to keep, with the gradient straight through the mask.

A score S measures how much a weight is wanted. The mask M of a step is binary, and its gradient is
handed to the score as it is, `dL/dS = dL/dM = dL/dW_eff * W`, for kept and dropped weights alike.
Three ways to make M from S are here: a threshold, the sign, and a Bernoulli draw. At inference
all of them are `M = 1[S > t]`, with the threshold t that `flop_tf.training.mask_training` sets.

Reference:
  Learning to Win Lottery Tickets in BERT Transfer via Task-agnostic Mask Training, NAACL 2022.
"""

import tensorflow as tf

from flop_tf import randomness
from flop_tf.backend import keras
from flop_tf.gates.base import Gate, register_gate


@tf.custom_gradient
def open_above(scores, threshold):
    """Returns `M = 1[S > t]` in float32, whose gradient goes to S.

    Args:
      scores: S, float32 tensor.
      threshold: t, float scalar tensor.
    """
    return tf.cast(scores > threshold, tf.float32), lambda upstream: (upstream, None)


@tf.custom_gradient
def open_by_sign(scores):
    """Returns `M = (sign(S) + 1) / 2`, whose gradient goes to S, but 0 where |S| >= 1.

    Args:
      scores: S, float32 tensor.
    """

    def gradient(upstream):
        return tf.where(tf.abs(scores) < 1.0, upstream, 0.0)

    return (tf.sign(scores) + 1.0) / 2.0, gradient


@tf.custom_gradient
def open_by_draw(scores, noise):
    """Returns `M = 1[u < sigmoid(S)]`, u uniform on [0, 1), whose gradient goes to S.

    Args:
      scores: S, float32 tensor.
      noise: u, a tensor of its shape.
    """
    return tf.cast(noise < tf.sigmoid(scores), tf.float32), lambda upstream: (upstream, None)


@register_gate("straight_through")
class StraightThrough(Gate):
    """`M = 1[S > t]`, strictly, in training and at inference.

    >>> gate = StraightThrough(axis=None)
    >>> gate.build([1, 2])
    >>> scores = gate.scores.assign([[0.02, 0.0]])
    >>> gate.mask().numpy().tolist()
    [[1.0, 0.0]]

    Args:
      axis: see `Gate`; None is one score per weight.
      initial_threshold: t before anything sets it. Defaults to .01.
      **kwargs: of `keras.layers.Layer`.
    """

    variable_name = "scores"
    #: What is done to the scores after every step, or None.
    score_constraint = None
    #: How scores start by default, a name of `flop_tf.training.score_inits.INITS`.
    default_init = "proportional"

    def __init__(self, axis=-1, initial_threshold=0.01, **kwargs):
        super().__init__(axis=axis, **kwargs)
        self.initial_threshold = initial_threshold

    def build_mask(self, shape):
        """Creates `scores`, all of them open, and `threshold`, a scalar that nothing trains."""
        start, constraint = self.initial_threshold, self.score_constraint
        self.scores = self.add_constant("scores", shape, start + 0.01, constraint=constraint)
        self.threshold = self.add_constant("threshold", [], start, trainable=False)

    def variable_shapes(self, mask_shape):
        """Returns the shapes of scores and threshold by name.

        Args:
          mask_shape: tuple of ints.
        """
        return {**super().variable_shapes(mask_shape), "threshold": ()}

    def mask(self, training=None):
        """Returns the mask of the step, at inference `1[S > t]`."""
        return self._mask_of(tf.convert_to_tensor(self.scores), training)

    def training_mask(self, scores):
        """Returns the mask of a training step, with the gradient of this binarizer.

        Args:
          scores: S, float32 variable or tensor.
        """
        return open_above(scores, self.threshold)

    def rows(self, table, indices, training=None):
        """Returns `table[indices] * mask[indices]`; only these rows of the scores get a gradient.

        A row that occurs several times is masked once, so that its gradient is one row.

        Args:
          table: `[V, H]`, a variable or a tensor.
          indices: ints of any shape.
          training: bool, whether to take the mask of a training step.
        """
        unique, places = tf.unique(tf.reshape(indices, [-1]))
        mask = self._mask_of(tf.gather(self.scores, unique), training)
        rows = tf.gather(table, unique)
        return tf.gather(rows * tf.cast(mask, rows.dtype), tf.reshape(places, tf.shape(indices)))

    def expected_active(self):
        """Returns how many units a step keeps on average."""
        return tf.math.count_nonzero(self.training_mask(self.scores), dtype=tf.float32)

    def keep(self):
        """Returns where a score is above the threshold."""
        return self.scores > self.threshold

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "initial_threshold": self.initial_threshold}

    def _mask_of(self, scores, training):
        if not self.trainable:
            return open_above(scores, self.threshold)
        return keras.backend.in_train_phase(
            lambda: self.training_mask(scores),
            lambda: open_above(scores, self.threshold),
            training=training,
        )


@register_gate("straight_through_sign")
class StraightThroughSign(StraightThrough):
    """`M = (sign(S) + 1) / 2` in training, 1/2 at exactly 0; S stays in [-1, 1].

    >>> gate = StraightThroughSign(axis=None)
    >>> gate.build([1, 2])
    >>> float(gate.expected_active())  # Scores start above 0.
    2.0

    Args:
      axis: see `Gate`.
      initial_threshold: of inference, see `StraightThrough`. Defaults to 0.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, axis=-1, initial_threshold=0.0, **kwargs):
        super().__init__(axis=axis, initial_threshold=initial_threshold, **kwargs)

    @staticmethod
    def score_constraint(scores):
        """Cuts scores to [-1, 1].

        Args:
          scores: S, float32 tensor.

        Returns:
          The tensor of the scores in [-1, 1].
        """
        return tf.clip_by_value(scores, -1.0, 1.0)

    def training_mask(self, scores):
        """Returns `(sign(S) + 1) / 2`, see `StraightThrough`."""
        return open_by_sign(tf.convert_to_tensor(scores))


@register_gate("straight_through_bernoulli")
class StraightThroughBernoulli(StraightThrough):
    """`M ~ Bernoulli(sigmoid(S))` in training, one draw a step.

    In a `flop_tf.randomness.step_scope` the draw follows from the seeds of run and gate and from
    the step. Outside of one, as in Keras' own training step, it is TensorFlow's stateful draw with
    the gate's seed: each call draws anew, and a program that is started again repeats its draws.

    >>> gate = StraightThroughBernoulli(axis=None, seed=0)
    >>> gate.build([1, 1000])
    >>> round(float(gate.expected_active()))  # sigmoid(.01) of them.
    502

    Args:
      axis: see `Gate`.
      initial_threshold: of inference, see `StraightThrough`. Defaults to 0.
      seed: int or None, of the draws; None takes one from the layer's name.
      **kwargs: of `keras.layers.Layer`.
    """

    draws = True
    default_init = "equal"

    def __init__(self, axis=-1, initial_threshold=0.0, seed=None, **kwargs):
        super().__init__(axis=axis, initial_threshold=initial_threshold, **kwargs)
        self.seed = seed

    def expected_active(self):
        """Returns `sum sigmoid(S)`."""
        return tf.reduce_sum(tf.sigmoid(self.scores))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}

    def training_mask(self, scores):
        """Returns a draw, see `StraightThrough`."""
        seed = randomness.layer_seed(self.seed, self.name)
        noise = randomness.uniform(tf.shape(scores), seed)
        return open_by_draw(tf.convert_to_tensor(scores), noise)
