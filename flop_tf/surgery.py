"""New models from old ones: a changed architecture, and the weights carried over by path.

No live model is edited: Keras would keep the old graph and forget the change at
the next reload.
"""

import numpy as np

from flop_tf import budget, factorization, gates
from flop_tf.backend import keras
from flop_tf.factorized import FactorizedDense
from flop_tf.gated_dense import GatedDense
from flop_tf.projection import ProjectionSpec
from flop_tf.training import GatedModel

# What a Dense layer may have and a factorized one has not.
_NOT_OF_FACTORS = (
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)


def named_variables(model):
    """Returns every weight of a built model as `{object path: variable}`."""
    weights = {id(weight) for weight in model.weights}
    # The paths of a compiled model lead to its optimizer's variables too.
    return {path: v for path, v in model.get_weight_paths().items() if id(v) in weights}


def named_weights(model):
    """Returns every weight of a built model as `{object path: array}`."""
    return {path: variable.numpy() for path, variable in named_variables(model).items()}


def assign_weights(model, weights, new=()):
    """Assigns arrays to a built model's weights by path.

    Args:
      model: a built model.
      weights: `{object path: array}`.
      new: paths that keep their initial values, where `weights` has nothing for them.

    Raises:
      ValueError: if a weight is missing, left over or of another shape; lists the paths.
    """
    variables = named_variables(model)
    missing = sorted(set(variables) - set(weights) - set(new))
    unused = sorted(set(weights) - set(variables))
    shapes = [
        f"{path} {tuple(variables[path].shape)} from {np.shape(weights[path])}"
        for path in sorted(set(weights) & set(variables))
        if tuple(variables[path].shape) != np.shape(weights[path])
    ]
    problems = [
        f"{kind}: {', '.join(names)}"
        for kind, names in (
            ("missing", missing),
            ("left over", unused),
            ("of another shape", shapes),
        )
        if names
    ]
    if problems:
        raise ValueError(f"The weights do not fit the model; {'; '.join(problems)}.")
    for path, variable in variables.items():
        if path in weights:
            variable.assign(weights[path])


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
      `(ProjectionSpec, {name: array})`: balanced factors, or a kernel above the break-even rank.
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
    if budget.stored_densely(layer.inputs, layer.units, rank):
        return ProjectionSpec(), {"kernel": factorization.merge(*factors)}
    if not rank:
        return ProjectionSpec(rank=0), {}
    factor_in, factor_out = factorization.balance(*factors)
    return ProjectionSpec(rank=rank), {"factor_in": factor_in, "factor_out": factor_out}


def factorize(model, rank="full", density=None, gate=None, skip=()):
    """Factorizes the Dense layers of a functional or Sequential model.

    Args:
      model: a built functional or Sequential model; its Dense layers must stand
        at the top level.
      rank: "full" for min(I, O), or an int.
      density: D times the break-even rank instead; from 1 up a layer stays dense.
      gate: None, or the name or serialized form of a gate for every factorized layer.
      skip: names of Dense layers to leave as they are, such as the task head.

    Returns:
      A new `GatedModel` with the same outputs as the original, up to truncation.

    Raises:
      ValueError: if the model is of another kind, a name in `skip` is unknown or a
        layer has a regularizer or constraint.
    """
    _check_layers(model, skip)

    def spec(layer):
        if type(layer) is not keras.layers.Dense or layer.name in skip:
            return None
        chosen = factorization.choose_rank(*layer.kernel.shape.as_list(), rank, density)
        if chosen is None:
            return None
        lost = [name for name in _NOT_OF_FACTORS if getattr(layer, name) is not None]
        if lost:
            raise ValueError(
                f"Layer {layer.name!r} must have no {lost[0]} to be factorized, because factors "
                "have none; name it in `skip` or take that away."
            )
        return ProjectionSpec(chosen, serialized_gate(layer))

    def serialized_gate(layer):
        if gate is None:
            return None
        data = gates.serialize(gates.get(gate, axis=0))
        # The name makes the seed: draws of its own for each gate, the same in every process.
        data["config"]["name"] = f"{layer.name}_gate"
        return data

    def arrays(layer):
        return factorize_kernel(layer.kernel.numpy(), spec(layer))

    return _rebuild(model, spec, arrays)


def compact(model):
    """Removes the gates of a functional or Sequential model and stores what is left.

    Args:
      model: a built model, as `factorize` returns and training has changed.

    Returns:
      A new `GatedModel` without gates, equal to the original at inference.

    Raises:
      ValueError: if the model is not built, or neither functional nor Sequential.
    """
    _check_layers(model, ())
    compacted = {
        layer.name: compact_projection(layer)
        for layer in model.layers
        if isinstance(layer, FactorizedDense | GatedDense)
    }

    def spec(layer):
        return compacted[layer.name][0] if layer.name in compacted else None

    def arrays(layer):
        return compacted[layer.name][1]

    return _rebuild(model, spec, arrays)


def _check_layers(model, skip):
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(
            "Argument `model` must be a built functional or Sequential model, received "
            f"{type(model).__name__!r}; other models are rebuilt from their config."
        )
    unknown = sorted(set(skip) - {layer.name for layer in model.layers})
    if unknown:
        raise ValueError(
            f"Argument `skip` must name layers of the model, received the unknown {unknown}."
        )


def _rebuild(model, spec, arrays):
    """Clones a graph with projections made by `spec(layer)`, None for an unchanged layer."""

    def clone(layer):
        made = spec(layer)
        if made is None:
            return layer.__class__.from_config(layer.get_config())
        return made.make(
            layer.units,
            activation=layer.activation,
            use_bias=layer.use_bias,
            kernel_initializer=layer.kernel_initializer,
            bias_initializer=layer.bias_initializer,
            trainable=layer.trainable,
            name=layer.name,
            dtype=layer.dtype_policy if hasattr(layer, "dtype_policy") else layer.dtype,
        )

    cloned = keras.models.clone_model(model, clone_function=clone)
    for old, new in zip(model.layers, cloned.layers, strict=True):
        if spec(old) is None:
            new.set_weights(old.get_weights())
            continue
        for name, array in arrays(old).items():
            getattr(new, name).assign(array)
        if old.use_bias:
            new.bias.assign(old.bias)
    return GatedModel(cloned.inputs, cloned.outputs, name=model.name)
