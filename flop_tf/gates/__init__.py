"""The gate family: one file a method, found by name.

A new gate is a subclass of `Gate` in a file of its own, with `@register_gate` next to it.
"""

import inspect
import typing

from flop_tf.backend import keras
from flop_tf.files import json_file
from flop_tf.gates.base import GATES, Gate
from flop_tf.gates.base import register_gate as register_gate
from flop_tf.gates.hard_concrete import HardConcrete as HardConcrete
from flop_tf.gates.straight_through import StraightThrough
from flop_tf.registry import nearest

#: Names of the gates over ranks, which the Lagrangian can steer to a target.
CALIBRATED = GATES.where(lambda gate: gate.calibrates)

#: Names of the gates over the weights of dense kernels, which a schedule closes up to a target.
BY_MAGNITUDE = GATES.where(lambda gate: gate.by_magnitude)

#: Names of the gates whose scores are trained while the weights are frozen.
STRAIGHT_THROUGH = GATES.where(lambda gate: issubclass(gate, StraightThrough))

#: Names of the gates that training brings to a target sparsity.
PRUNING = GATES.where(lambda gate: gate.calibrates or gate.by_magnitude)


class _Serialized(typing.TypedDict, total=False):
    """The form of `serialize`, and the form of Keras."""

    name: str
    registered_name: str | None
    class_name: str
    config: dict[str, str | bool | int | float | None]


def get(identifier, **defaults):
    """Returns a gate for None, a gate, a name of `GATES` or a serialized gate.

    Args:
      identifier: what to look up; None, a gate or a serialized gate stand for themselves.
      **defaults: arguments of the gate where only a name is given.

    Raises:
      ValueError: if the identifier is none of these.
    """
    if identifier is None or isinstance(identifier, Gate):
        return identifier
    if isinstance(identifier, str) and identifier in GATES:
        return GATES[identifier](**defaults)
    if isinstance(identifier, dict):
        return deserialize(identifier)
    raise ValueError(
        "Argument `gate` must be None, a Gate, a serialized gate or one of "
        f"{sorted(GATES)}, received {identifier!r}{nearest(identifier, GATES)}"
    )


def serialize(gate):
    """Returns plain data for `deserialize`: the gate's name and its arguments.

    Args:
      gate: a `Gate`.
    """
    name = GATES.name_of(type(gate))
    if name is None:
        return keras.saving.serialize_keras_object(gate)
    return {"name": name, "config": gate.get_config()}


def accepted(name, **arguments):
    """Returns the arguments that the constructor of a gate names, out of some.

    Args:
      name: of `GATES`.
      **arguments: what is offered: a gate may take a seed or a start, or not.

    Returns:
      The dict of the arguments that the gate takes.

    Raises:
      ValueError: if the name is unknown.
    """
    parameters = inspect.signature(GATES[name]).parameters
    return {key: value for key, value in arguments.items() if key in parameters}


def deserialize(data):
    """Returns the gate that `serialize` described.

    The data may come from a stranger, so nothing is imported or called by a name in them: the class
    is one of `GATES` or was registered by `keras.saving.register_keras_serializable`, and its
    arguments are numbers and texts.

    Args:
      data: dict of plain data, as `serialize` returns it or as Keras does.

    Raises:
      ValueError: if the data name no gate that is registered, or have other arguments.
    """
    json_file.check(data, _Serialized, "A serialized gate must be a name with numbers and texts")
    if data.get("name") in GATES:
        cls = GATES[data["name"]]
    else:
        cls = keras.saving.get_registered_object(data.get("registered_name") or "")
    if not (isinstance(cls, type) and issubclass(cls, Gate)):
        known = data.get("name") or data.get("registered_name") or data.get("class_name")
        raise ValueError(
            f"A serialized gate must name one of {sorted(GATES)}, or a class of gates that is "
            f"registered, received {known!r}."
        )
    try:
        return cls.from_config(data.get("config", {}))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"A serialized gate of {cls.__name__} must have its arguments: {error}."
        ) from error


def variable_name(data):
    """Returns the name of the variable that makes the mask of a serialized gate.

    Args:
      data: as for `deserialize`.
    """
    return type(deserialize(data)).variable_name


def variable_shapes(data, mask_shape):
    """Returns the shapes of all variables of a serialized gate by name, a mask being so large.

    Args:
      data: as for `deserialize`.
      mask_shape: tuple of ints, the shape of the mask.
    """
    return deserialize(data).variable_shapes(mask_shape)


# Now, because Keras finds the class of a saved gate only where its module has been imported.
list(GATES)
