"""Gates that measure how much the loss depends on each of their units.

With a gate xi in front of a tensor x, `y = xi x` and `g = dL/dy`, the loss changes by
`dL/dxi = sum g x` to first order. It is summed over what shares a unit; what becomes one
number before its absolute value is taken is the reducer's choice, as if every token, or
every example, had a gate of its own.

References: Are Sixteen Heads Really Better than One?, arXiv 1905.10650; Super Tickets in
Pre-Trained Language Models, arXiv 2105.12002; When BERT Plays the Lottery, arXiv 2005.00561.
"""

import tensorflow as tf

from flop_tf.gates.base import register_gate
from flop_tf.gates.fixed import FixedMask


def by_token(products, axis):
    """Returns `sum |sum over the axes after the units|`, one value per unit.

    Args:
      products: `g x`, such as `[B, T, U, W]`.
      axis: int, the axis of the units, U.
    """
    trailing = tf.reduce_sum(products, axis=range(axis + 1, products.shape.rank))
    return tf.reduce_sum(tf.abs(trailing), axis=range(axis))


def by_example(products, axis):
    """Returns `sum over the first axis |sum over the others but the units|`, see `by_token`.

    Args:
      products: as for `by_token`.
      axis: int, the axis of the units.
    """
    others = [one for one in range(1, products.shape.rank) if one != axis]
    return tf.reduce_sum(tf.abs(tf.reduce_sum(products, axis=others)), axis=range(min(axis, 1)))


def by_batch(products, axis):
    """Returns the sum over everything but the units, with its sign, see `by_token`.

    Args:
      products: as for `by_token`.
      axis: int, the axis of the units.
    """
    return tf.reduce_sum(products, axis=[i for i in range(products.shape.rank) if i != axis])


#: What becomes one number before its absolute value is taken.
REDUCERS = {"token": by_token, "example": by_example, "batch": by_batch}


@register_gate("importance")
class Importance(FixedMask):
    """A fixed mask whose `values` get the importance of their units as gradient.

    One backward pass measures all gates of a model, and nothing is stored for
    single tokens or examples. Units that are masked are measured too.

    >>> gate = Importance(axis=-1)
    >>> gate.build([None, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(gate.values)
    ...     loss = tf.reduce_sum(gate(tf.constant([[1.0, -2.0], [3.0, 4.0]])))
    >>> tape.gradient(loss, gate.values).numpy().tolist()
    [4.0, 6.0]

    Args:
      axis: see `Gate`; None measures every element by itself.
      reducer: a name of `REDUCERS`.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: if the reducer is unknown.
    """

    def __init__(self, axis=-1, reducer="token", **kwargs):
        super().__init__(axis=axis, **kwargs)
        if reducer not in REDUCERS:
            raise ValueError(
                f"Argument `reducer` must be one of {sorted(REDUCERS)}, received {reducer!r}."
            )
        self.reducer = reducer

    def call(self, inputs, training=None):
        """Returns `inputs * mask`; the gradient of `values` is the importance."""
        mask = self.broadcast_mask(self.mask(), inputs)

        @tf.custom_gradient
        def measured(inputs, values):
            def gradient(upstream):
                products = tf.cast(upstream, tf.float32) * tf.cast(inputs, tf.float32)
                if self.axis is not None:
                    axis = self.axis % inputs.shape.rank
                    products = REDUCERS[self.reducer](products, axis)
                return upstream * mask, products

            return inputs * mask, gradient

        return measured(inputs, tf.convert_to_tensor(self.values))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "reducer": self.reducer}
