"""New models from old ones: a changed architecture, and the weights carried over by path.

No live model is edited: Keras would keep the old graph and forget the change at
the next reload.
"""

import numpy as np
from absl import logging

from flop_tf import gates
from flop_tf.layers import factorized_attention, projection
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import factorization
from flop_tf.surgery import cloning
from flop_tf.surgery.projections import compact_projection, factorize_kernel

# What a Dense layer may have and a factorized one lacks.
_NOT_OF_FACTORS = (
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)


def factorize(model, rank="full", density=None, gate=None, skip=()):
    """Factorizes the Dense, EinsumDense and MultiHeadAttention layers of a model.

    They are found in nested functional and Sequential models at any depth; a layer or nested
    model that is used twice stays one. An EinsumDense must be a product, see
    `factorized_einsum.contracted_axes`; a MultiHeadAttention must have inputs of rank 3 and
    becomes a `FactorizedMultiHeadAttention`. Other layers with kernels, such as recurrent layers,
    wrappers and layers of one's own, are left as they are and logged by name.

    Args:
      model: a built functional or Sequential model.
      rank: "full" for min(I, O), or an int.
      density: D times the break-even rank instead; from 1 up a layer stays dense.
      gate: None, or the name or serialized form of a gate for every factorized layer.
      skip: names of layers to leave as they are, such as the task head, at any depth; a nested
        model or an attention stands for all that is in it, and "outer.inner" distinguishes layers
        of one name, such as "attention.query".

    Returns:
      A new `GatedModel` with the same outputs as the original, up to truncation.

    Raises:
      ValueError: if the model is of another kind or has nothing to factorize, a name in `skip` is
        unknown, a layer has a regularizer or constraint, or a rank is given next to a density.
    """
    cloning.check_model(model)
    layers, kept = cloning.named_layers(model), cloning.named_layers(model, skip)
    dense = {name for name, layer in layers.items() if projection.is_product(layer)}
    others = {name: layer for name, layer in kept.items() if name not in dense}
    left = cloning.described(others, projection.has_kernel)
    if not dense:
        raise ValueError(
            "Argument `model` must have a Dense, EinsumDense or MultiHeadAttention layer that can "
            f"be factorized, received {left or 'one without'}."
        )
    if left:
        logging.warning(
            "Layers that stay as they are, because only Dense layers, products by EinsumDense and "
            "MultiHeadAttention of inputs of rank 3 that stand in functional and Sequential models "
            "are factorized: %s.",
            left,
        )
    projections = {}
    for name, layer in kept.items():
        if name in dense:
            kernel = projection.kernel_matrix(layer)
            chosen = factorization.choose_rank(*kernel.shape, rank, density)
            if chosen is not None:
                spec = _spec(name, layer, chosen, gate)
                projections[layer] = spec, factorize_kernel(kernel, spec)
    if not projections:
        logging.warning("No layer is factorized: `skip` and `density` leave all of them dense.")
    return _rebuild(model, projections)


def compact(model):
    """Removes the gates of a functional or Sequential model and stores what is left.

    Factorized and gated layers are found in nested functional and Sequential models at any
    depth; what lies in other layers is left as it is and logged by name.

    Args:
      model: a built model, as `factorize` returns and training has changed.

    Returns:
      A new `GatedModel` without gates, equal to the original at inference.

    Raises:
      ValueError: if the model is not built, or neither functional nor Sequential.
    """
    cloning.check_model(model)
    layers = cloning.named_layers(model)
    found = {name: v for name, v in layers.items() if isinstance(v, FactorizedDense | GatedDense)}
    others = {name: layer for name, layer in layers.items() if name not in found}
    left = cloning.described(others, _is_gated)
    if left:
        logging.warning("Layers that keep their gates and factors: %s.", left)
    if not found:
        logging.warning("Nothing is made compact: no layer of the model is factorized or gated.")
    return _rebuild(model, {layer: compact_projection(layer) for layer in found.values()})


def _is_gated(layer):
    return isinstance(layer, FactorizedDense | GatedDense | gates.Gate)


def _spec(name, layer, rank, gate):
    """Returns the `ProjectionSpec` of a layer to factorize."""
    lost = [part for part in _NOT_OF_FACTORS if getattr(layer, part) is not None]
    if lost:
        raise ValueError(
            f"Layer {name!r} must have no {lost[0]} to be factorized, because factors "
            "have none; name it in `skip` or take that away."
        )
    if gate is None:
        return ProjectionSpec(rank)
    data = gates.serialize(gates.get(gate, axis=0))
    # The name makes the seed: draws of its own for each gate, the same in every process.
    data["config"]["name"] = f"{name}_gate"
    return ProjectionSpec(rank, data)


def _rebuild(model, projections):
    """Copies a graph with new projections, `{old layer: (ProjectionSpec, {name: array})}`."""

    def make(layer):
        if layer in projections:
            return projection.remake(layer, projections[layer][0])
        parts = factorized_attention.projections_of(layer).values()
        if projections.keys().isdisjoint(parts):
            return cloning.from_config(layer)
        return factorized_attention.remake(layer, map(make, parts))

    result, pairs = cloning.clone(model, make)
    for old, new in pairs:
        if old not in projections:
            new.set_weights(old.get_weights())
            continue
        arrays = dict(projections[old][1])
        if getattr(old, "bias", None) is not None:
            arrays["bias"] = old.bias.numpy()
        for name, array in arrays.items():
            variable = getattr(new, name)
            variable.assign(np.reshape(array, variable.shape))
    return result
