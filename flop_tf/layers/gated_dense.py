"""A dense layer with a gate over every weight of its kernel."""

import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import keras


@keras.saving.register_keras_serializable("flop_tf")
class GatedDense(keras.layers.Dense):
    """`y = activation(x · (W ∘ z) + bias)`, a `keras.layers.Dense` with a mask on its kernel.

    The gate is applied once a step to the kernel, for any batch; weights
    that a fixed mask closes get no gradient.

    >>> layer = GatedDense(2, gate="fixed")
    >>> outputs = layer(tf.ones([1, 3]))
    >>> layer.gate.values.shape.as_list()
    [3, 2]

    Args:
      units: O, size of the output.
      gate: a gate with `axis=None`, the name of one or a serialized one.
      **kwargs: of `keras.layers.Dense`.

    Inputs have shape `[..., I]`, outputs `[..., O]`. W is `kernel [I, O]`.

    Raises:
      ValueError: if the gate is None or has an axis.
    """

    def __init__(self, units, gate, **kwargs):
        super().__init__(units, **kwargs)
        self.gate = gates.get(gate, axis=None)
        if self.gate is None or self.gate.axis is not None:
            raise ValueError(
                "Argument `gate` must be a gate with `axis=None`, over all weights of the kernel, "
                f"received {'None' if self.gate is None else f'axis={self.gate.axis}'}."
            )

    def build(self, input_shape):
        """Creates the kernel, the gate's variables and the bias.

        Args:
          input_shape: of the inputs, `[..., I]`.
        """
        super().build(input_shape)
        self.gate.build(self.kernel.shape)

    def call(self, inputs, training=None):
        """Returns the projection of `inputs [..., I]`, of shape `[..., O]`.

        Args:
          inputs: float tensor `[..., I]`.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        kernel = self.gate(tf.convert_to_tensor(self.kernel), training=training)
        tokens = tf.reshape(inputs, [-1, inputs.shape[-1]])
        outputs = tf.matmul(tokens, tf.cast(kernel, inputs.dtype))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        if inputs.shape.rank == 2:
            return outputs
        shape = tf.concat([tf.shape(inputs)[:-1], [self.units]], 0)
        return tf.ensure_shape(tf.reshape(outputs, shape), inputs.shape[:-1] + [self.units])

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "gate": gates.serialize(self.gate)}
