"""Copies of functional and Sequential models, layer by layer, into nested models at any depth."""

import collections

from absl import logging

from flop_tf.backend import Functional, connect_ancillary_layers, keras
from flop_tf.layers.factorized_attention import projections_of
from flop_tf.training.gated_model import GatedModel


def check_model(model):
    """Checks that a model is made of layers that can be copied one by one.

    Args:
      model: any object.

    Raises:
      ValueError: if it is a Keras 3 model, is not built, or is neither functional nor Sequential.
    """
    if any(cls.__module__.split(".")[0] == "keras" for cls in type(model).__mro__):
        raise ValueError(
            "Argument `model` must be a model of tf_keras (Keras 2), received the Keras 3 model "
            f"{type(model).__name__!r}; build it with `import tf_keras` in place of `keras`, or "
            "set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported if it is made by `tf.keras`."
        )
    if not is_graph(model):
        raise ValueError(
            "Argument `model` must be a built functional or Sequential model, received "
            f"{type(model).__name__!r}; other models are rebuilt from their config."
        )


def is_graph(layer):
    """Returns whether a layer is a built functional or Sequential model without own `call`.

    Args:
      layer: any Keras layer.
    """
    graph_calls = (Functional.call, keras.Sequential.call)
    return getattr(layer, "_is_graph_network", False) and type(layer).call in graph_calls


def named_layers(model, skip=()):
    """Returns the layers of a model, and of the functional and Sequential models nested in it.

    In place of a multi-head attention stand its projections, see `projections_of`.

    Args:
      model: a model that passes `check_model`.
      skip: names of layers to leave out; a nested model or an attention stands for all that is in
        it, and "outer.inner" distinguishes layers of one name.

    Returns:
      `{dotted path: layer}`, each layer once, by the first of its paths.

    Raises:
      ValueError: if a name to skip is unknown.
    """
    known, found = set(), {}
    for path, layer in _leaves(model):
        names = {*path, *(".".join(path[:depth]) for depth in range(1, len(path) + 1))}
        known |= names
        first, skipped = found.get(layer, (".".join(path), False))
        found[layer] = first, skipped or not names.isdisjoint(skip)
    unknown = sorted(set(skip) - known)
    if unknown:
        raise ValueError(
            f"Argument `skip` must name layers of the model, received the unknown {unknown}."
        )
    return {name: layer for layer, (name, skipped) in found.items() if not skipped}


def described(layers, test):
    """Returns names and classes of the layers that pass a test, or have a layer inside that does.

    Args:
      layers: `{name: layer}`.
      test: function of a layer that returns a bool.
    """
    return ", ".join(
        f"{name!r} ({' '.join([type(layer).__name__, getattr(layer, 'equation', '')]).strip()})"
        for name, layer in layers.items()
        if any(map(test, _with_inner(layer)))
    )


def from_config(layer):
    """Returns a new layer of the same class and config, without the weights.

    Args:
      layer: any Keras layer.

    Raises:
      ValueError: if the layer lacks a config that its constructor takes.
    """
    # Wrappers look their layers up by class names, registered or not.
    classes = {type(inner).__name__: type(inner) for inner in _with_inner(layer)}
    try:
        with keras.saving.custom_object_scope(classes):
            return type(layer).from_config(layer.get_config())
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"Layer {layer.name!r} must have a `get_config` that returns the arguments of its "
            f"class {type(layer).__name__!r}, because a model is copied layer by layer."
        ) from error


def clone(model, make):
    """Returns a copy of a model in which a layer or nested model used twice is one again.

    Args:
      model: a model that passes `check_model`.
      make: function of a layer that returns the new one, without the weights.

    Returns:
      A `GatedModel` of the same inputs and outputs, and the pairs `(old layer, new layer)` of the
      layers in `named_layers`.
    """
    tied = _tied(named_layers(model))
    if tied:
        logging.warning("Layers that have weights in common get weights of their own: %s.", tied)
    copies = {}

    def copy(layer):
        if layer not in copies:
            copies[layer] = _clone(layer, copy) if is_graph(layer) else make(layer)
        return copies[layer]

    cloned = _clone(model, copy)
    gated = GatedModel(cloned.input, cloned.output, name=model.name, trainable=model.trainable)
    connect_ancillary_layers(gated, {layer.name: layer for layer in cloned.layers})
    return gated, [pair for old, new in copies.items() for pair in _pairs(old, new)]


def _with_inner(layer):
    """Returns a layer and all layers inside of it, a list."""
    return [layer, *(one for one in layer.submodules if isinstance(one, keras.layers.Layer))]


def _pairs(old, new):
    """Returns the pairs of what is in an old and a new layer, as a list."""
    if is_graph(old):
        return []  # What is in it has been copied by itself.
    parts = projections_of(old)
    if not parts:
        return [(old, new)]
    return list(zip(parts.values(), projections_of(new).values(), strict=True))


def _tied(layers):
    """Returns the names of layers that have variables in common with others, as text."""
    owners = collections.defaultdict(list)
    for name, layer in layers.items():
        for variable in layer.weights:
            owners[id(variable)].append(name)
    groups = dict.fromkeys(tuple(names) for names in owners.values() if len(names) > 1)
    return ", ".join(" and ".join(map(repr, names)) for names in groups)


def _clone(model, copy):
    cloned = keras.models.clone_model(model, clone_function=copy)
    if not model.trainable:
        cloned.trainable = False
    return cloned


def _leaves(model):
    """Yields `(path, layer)`, the names of nested models down to each layer, a tuple."""
    for layer in model.layers:
        parts = [((name,), part) for name, part in projections_of(layer).items()]
        inside = _leaves(layer) if is_graph(layer) else parts or [((), layer)]
        for path, leaf in inside:
            yield (layer.name, *path), leaf
