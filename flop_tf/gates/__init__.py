"""The gate family: one file a method, found by name.

A new gate is a subclass of `Gate` in a file of its own, registered with
`keras.saving.register_keras_serializable("flop_tf")` and imported here.
"""

from flop_tf.backend import keras
from flop_tf.gates.base import Gate
from flop_tf.gates.fixed import FixedMask
from flop_tf.gates.hard_concrete import HardConcrete
from flop_tf.gates.importance import Importance
from flop_tf.gates.magnitude import Magnitude
from flop_tf.gates.straight_through import (
    StraightThrough,
    StraightThroughBernoulli,
    StraightThroughSign,
)
from flop_tf.gates.switched import SwitchedMask

#: Gates by the name that flags and configs use.
GATES = {
    "hard_concrete": HardConcrete,
    "fixed": FixedMask,
    "importance": Importance,
    "switched": SwitchedMask,
    "magnitude": Magnitude,
    "straight_through": StraightThrough,
    "straight_through_sign": StraightThroughSign,
    "straight_through_bernoulli": StraightThroughBernoulli,
}

#: Names of those over ranks, that the Lagrangian can steer to a target.
CALIBRATED = tuple(name for name, gate in GATES.items() if gate.calibrates)

#: Names of those over the weights of dense kernels, that a schedule closes up to a target.
BY_MAGNITUDE = tuple(name for name, gate in GATES.items() if gate.by_magnitude)

#: Names of those whose scores are trained while the weights are frozen.
STRAIGHT_THROUGH = tuple(name for name, gate in GATES.items() if issubclass(gate, StraightThrough))

#: Names of those that training brings to a target sparsity.
PRUNING = CALIBRATED + BY_MAGNITUDE


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
        f"{sorted(GATES)}, received {identifier!r}."
    )


def serialize(gate):
    """Returns plain data for `deserialize`: the gate's name and its arguments."""
    for name, cls in GATES.items():
        if type(gate) is cls:
            return {"name": name, "config": gate.get_config()}
    return keras.saving.serialize_keras_object(gate)


def deserialize(data):
    """Returns the gate that `serialize` described.

    Raises:
      ValueError: if the data names no gate.
    """
    if isinstance(data, dict) and data.get("name") in GATES:
        return GATES[data["name"]].from_config(data.get("config", {}))
    try:
        gate = keras.saving.deserialize_keras_object(data)
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(
            f"A serialized gate must name one of {sorted(GATES)}, received {data!r}."
        ) from error
    if not isinstance(gate, Gate):
        raise ValueError(f"A serialized gate must name one of {sorted(GATES)}, received {data!r}.")
    return gate


def variable_name(data):
    """Returns the name of the variable that makes the mask of a serialized gate."""
    return type(deserialize(data)).variable_name


def variable_shapes(data, mask_shape):
    """Returns the shapes of all variables of a serialized gate by name, a mask being so large."""
    return deserialize(data).variable_shapes(mask_shape)
