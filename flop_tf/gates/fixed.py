"""Constant gates, assigned from outside: by a search, an analysis or a file."""

import tensorflow as tf

from flop_tf.gates.base import Gate, register_gate


@register_gate("fixed")
class FixedMask(Gate):
    """`y = x * values`, with values in [0, 1] that are assigned from outside, 1 at first.

    They are a variable, so a graph that was traced once sees every new mask.

    >>> gate = FixedMask(axis=-1)
    >>> gate.build([None, 3])
    >>> gate.values.assign([1.0, 0.0, 0.5]).numpy().tolist()
    [1.0, 0.0, 0.5]
    >>> gate(tf.ones([1, 3])).numpy().tolist()
    [[1.0, 0.0, 0.5]]

    Args:
      axis: see `Gate`.
      **kwargs: of `keras.layers.Layer`.
    """

    variable_name = "values"

    def build_mask(self, shape):
        """Creates `values`, all 1."""
        self.values = self.add_constant("values", self.variable_shape(shape), 1, trainable=False)

    def mask(self, training=None):
        """Returns the values, cut to [0, 1]."""
        return tf.clip_by_value(self.values, 0.0, 1.0)

    def rows(self, table, indices, training=None):
        """Returns `table[indices] * mask[indices]`; only these rows are read and get a gradient.

        Args:
          table: `[V, H]`, a variable or a tensor.
          indices: ints of any shape.
          training: ignored.
        """
        rows = tf.gather(table, indices)
        mask = tf.clip_by_value(tf.gather(self.values, indices), 0.0, 1.0)
        return rows * tf.cast(mask, rows.dtype)

    def expected_active(self):
        """Returns the number of units that are not 0."""
        return tf.math.count_nonzero(self.keep(), dtype=tf.float32)

    def keep(self):
        """Returns where the values are above 0."""
        return self.values > 0
