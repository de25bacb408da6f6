"""The weights of one projection: of factors from a kernel, and compact ones from gated ones."""

from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import costs, factorization


def factorize_kernel(kernel, spec, split=factorization.svd):
    """Returns the weights of a projection made by `spec`, `{name: array}`, from its kernel.

    Args:
      kernel: array `[I, O]`.
      spec: the `ProjectionSpec` of the new projection.
      split: function `(kernel, rank) -> (P, Q)`.
    """
    if spec.rank is None:
        return {"kernel": kernel}
    if spec.rank == 0:
        return {}
    factor_in, factor_out = split(kernel, spec.rank)
    return {"factor_in": factor_in, "factor_out": factor_out}


def compact_projection(layer):
    """Folds a projection's gate, drops what the keep rule drops and picks how to store the rest.

    Args:
      layer: a built `FactorizedDense`, `GatedDense` or `keras.layers.Dense`.

    Returns:
      `(ProjectionSpec, {name: array})`: balanced factors, or a kernel `[I, O]` above the
      break-even rank.
    """
    if isinstance(layer, GatedDense):
        return ProjectionSpec(), {"kernel": (layer.kernel * layer.gate.mask(False)).numpy()}
    if not isinstance(layer, FactorizedDense):
        return ProjectionSpec(), {"kernel": layer.kernel.numpy()}
    if not layer.rank:
        return ProjectionSpec(rank=0), {}
    factors = layer.factor_in.numpy(), layer.factor_out.numpy()
    if layer.gate is not None:
        factors = factorization.fold(*factors, layer.gate.mask(training=False).numpy())
    rank = factors[0].shape[1]
    if costs.stored_densely(layer.inputs, layer.units, rank):
        return ProjectionSpec(), {"kernel": factorization.merge(*factors)}
    if not rank:
        return ProjectionSpec(rank=0), {}
    factor_in, factor_out = factorization.balance(*factors)
    return ProjectionSpec(rank=rank), {"factor_in": factor_in, "factor_out": factor_out}
