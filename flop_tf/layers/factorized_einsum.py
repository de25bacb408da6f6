"""An einsum layer whose kernel, as a matrix, is a product of two factors."""

import math
import re

import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.layers.factorized_dense import FactorizedDense

_EQUATION = re.compile(r"(\.\.\.|)([a-zA-Z]*),([a-zA-Z]+)->\1([a-zA-Z]+)")


def contracted_axes(equation, bias_axes=None):
    """Returns how many axes a product of inputs with a kernel sums over, 0 if it is none.

    In a product the kernel has the last axes of the inputs, then the last axes of the outputs,
    such as "abc,cd->abd", "abc,cde->abde", "abcd,cde->abe" or "...x,xy->...y". So it is a matrix
    to which both sides are reshaped.

    Args:
      equation: of a `keras.layers.EinsumDense`.
      bias_axes: None or the axes of the bias, which must be the axes that the kernel makes.
    """
    match = _EQUATION.fullmatch(equation)
    if not match:
        return 0
    dots, inputs, kernel, outputs = match.groups()
    axes = sum(axis in inputs for axis in kernel)
    free, made = inputs[: len(inputs) - axes], kernel[axes:]
    is_product = (
        (dots or free)
        and made
        and inputs == free + kernel[:axes]
        and outputs == free + made
        and len({*free, *kernel}) == len(free) + len(kernel)
        and (bias_axes is None or "".join(sorted(bias_axes)) == "".join(sorted(made)))
    )
    return axes if is_product else 0


@keras.saving.register_keras_serializable("flop_tf")
class FactorizedEinsumDense(FactorizedDense):
    """`y = activation(x · P · diag(z) · Q + bias)`, a low-rank `keras.layers.EinsumDense`.

    The axes that the equation sums over count as one axis of size I and those
    that the kernel makes as one of size O; between them it is a `FactorizedDense`.

    >>> layer = FactorizedEinsumDense("abc,cde->abde", [None, 2, 3], rank=2, bias_axes="de")
    >>> layer(tf.ones([1, 5, 4])).shape.as_list()
    [1, 5, 2, 3]

    Args:
      equation: a product as of `contracted_axes`.
      output_shape: as in `keras.layers.EinsumDense`.
      rank: as in `FactorizedDense`.
      bias_axes: None for no bias, or the axes of the outputs that the kernel makes.
      **kwargs: of `FactorizedDense`.

    Raises:
      ValueError: if the equation is not such a product, or an argument of `FactorizedDense` is
        out of range.
    """

    def __init__(self, equation, output_shape, rank, bias_axes=None, **kwargs):
        self._contracted = contracted_axes(equation, bias_axes)
        if not self._contracted:
            raise ValueError(
                "Argument `equation` must be a product over the last axes of the inputs with a "
                "bias over the new axes, such as 'abc,cde->abde' with 'de', received "
                f"{equation!r} with {bias_axes!r}."
            )
        sizes = [output_shape] if isinstance(output_shape, int) else list(output_shape)
        made = len(equation.split(",")[1].split("->")[0]) - self._contracted
        self._made = sizes[-made:]
        super().__init__(math.prod(self._made), rank, use_bias=bias_axes is not None, **kwargs)
        self.equation = equation
        self.partial_output_shape = sizes
        self.bias_axes = bias_axes
        # As `EinsumDense`: a mask of the inputs may not fit the outputs.
        self.supports_masking = False

    def build(self, input_shape):
        """Creates the factors, the gate's variables and the bias."""
        shape = tf.TensorShape(input_shape)
        summed = shape[-self._contracted :]
        super().build(shape[: -self._contracted] + [summed.num_elements()])
        # A saved layer is built again by the last shape that Keras has been given.
        keras.layers.Layer.build(self, shape)
        axes = dict(zip(range(-self._contracted, 0), summed, strict=True))
        self.input_spec = keras.layers.InputSpec(min_ndim=self._contracted + 1, axes=axes)

    def call(self, inputs, training=None):
        """Returns the product of inputs `[..., *summed axes]`, of shape `[..., *made axes]`.

        Args:
          inputs: float tensor `[..., *summed axes]`.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        outputs = self.project(self._reshape(inputs, self._contracted, [self.inputs]), training)
        outputs = self._reshape(outputs, 1, self._made)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the outputs for inputs of `input_shape`.

        Args:
          input_shape: of the inputs, `[..., I]`.
        """
        return tf.TensorShape(input_shape)[: -self._contracted] + self._made

    def get_config(self):
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["units"], config["use_bias"]
        return {
            **config,
            "equation": self.equation,
            "output_shape": self.partial_output_shape,
            "bias_axes": self.bias_axes,
        }

    def _reshape(self, tensor, axes, sizes):
        """Returns a tensor with axes of `sizes` in place of its last `axes`."""
        shape = tf.concat([tf.shape(tensor)[:-axes], sizes], 0)
        return tf.ensure_shape(tf.reshape(tensor, shape), tensor.shape[:-axes] + sizes)
