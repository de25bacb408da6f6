"""What a projection is made of, as plain data: dense or factorized, with or without a gate."""

import dataclasses
import math

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.factorized_einsum import FactorizedEinsumDense, contracted_axes
from flop_tf.layers.gated_dense import GatedDense


@dataclasses.dataclass(frozen=True)
class ProjectionSpec:
    """How one projection `[.., I] -> [.., O]` is stored.

    >>> type(ProjectionSpec().make(4)).__name__, type(ProjectionSpec(rank=2).make(4)).__name__
    ('Dense', 'FactorizedDense')

    Args:
      rank: None for a dense kernel `[I, O]`; otherwise R >= 0 for factors
        `[I, R]` and `[R, O]`. With R = 0 only the bias is left.
      gate: serialized gate (`flop_tf.gates.serialize`) over the R ranks, or over
        the weights of a dense kernel, or None.

    Raises:
      ValueError: if the rank is negative or the gate is no dict.
    """

    rank: int | None = None
    gate: dict | None = None

    def __post_init__(self):
        if self.rank is not None and self.rank < 0:
            raise ValueError(f"Argument `rank` must be None or at least 0, received {self.rank}.")
        if not isinstance(self.gate, dict | None):
            raise ValueError(
                f"Argument `gate` must be None or a serialized gate, received {self.gate!r}."
            )

    def make(self, units, **kwargs):
        """Returns the layer with `units` outputs: a `Dense`, `GatedDense` or `FactorizedDense`.

        Args:
          units: O, int at least 0.
          **kwargs: of the layer.

        Raises:
          ValueError: if an argument of the layer or the gate is out of its range.
        """
        gate = None if self.gate is None else gates.deserialize(self.gate)
        if self.rank is None:
            dense = keras.layers.Dense
            return dense(units, **kwargs) if gate is None else GatedDense(units, gate, **kwargs)
        return FactorizedDense(units, self.rank, gate=gate, **kwargs)


def is_product(layer):
    """Returns whether a Keras layer is a product of its inputs with a matrix, and a bias.

    Dense layers are, and EinsumDense layers with such an equation, but none of a subclass.

    Args:
      layer: any Keras layer.
    """
    if type(layer) is keras.layers.EinsumDense:
        return contracted_axes(layer.equation, layer.bias_axes) > 0
    return type(layer) is keras.layers.Dense


def has_kernel(layer):
    """Returns whether a layer has a weight of two axes or more, but for a table of embeddings.

    Args:
      layer: any Keras layer.
    """
    is_table = isinstance(layer, keras.layers.Embedding)
    return not is_table and any(weight.shape.rank > 1 for weight in layer.weights)


def kernel_matrix(layer):
    """Returns the kernel of a layer that `is_product` as an array `[I, O]`.

    Args:
      layer: a built layer that `is_product`.
    """
    kernel = layer.kernel.numpy()
    if type(layer) is keras.layers.Dense:
        return kernel
    axes = contracted_axes(layer.equation, layer.bias_axes)
    return kernel.reshape(math.prod(kernel.shape[:axes]), -1)


def remake(layer, spec):
    """Returns a layer made by `spec` that is otherwise as an old one, without its weights.

    Args:
      layer: a layer that `is_product`, a `GatedDense` or a `FactorizedDense`.
      spec: a `ProjectionSpec`.
    """
    arguments = {
        "activation": layer.activation,
        # A copy: Keras warns of one initializer that two layers draw from.
        "kernel_initializer": keras.initializers.serialize(layer.kernel_initializer),
        "bias_initializer": keras.initializers.serialize(layer.bias_initializer),
        "trainable": layer.trainable,
        "name": layer.name,
        "dtype": layer.dtype_policy if hasattr(layer, "dtype_policy") else layer.dtype,
    }
    if not isinstance(layer, keras.layers.EinsumDense | FactorizedEinsumDense):
        return spec.make(layer.units, use_bias=layer.use_bias, **arguments)
    arguments |= {
        "equation": layer.equation,
        "output_shape": layer.partial_output_shape,
        "bias_axes": layer.bias_axes,
    }
    if spec.rank is None:
        return keras.layers.EinsumDense(**arguments)
    return FactorizedEinsumDense(rank=spec.rank, gate=spec.gate, **arguments)
