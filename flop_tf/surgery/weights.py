"""Weights of built models by object path: read, and assigned with every one accounted for."""

import numpy as np


def named_variables(model):
    """Returns every weight of a built model as `{object path: variable}`.

    Args:
      model: a built Keras model.
    """
    weights = {id(weight) for weight in model.weights}
    # The paths of a compiled model lead to its optimizer's variables too.
    return {path: v for path, v in model.get_weight_paths().items() if id(v) in weights}


def named_weights(model):
    """Returns every weight of a built model as `{object path: array}`.

    Args:
      model: a built Keras model.
    """
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
