"""Groups of units that one gate switches, and what they cost."""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.linalg import costs


@dataclasses.dataclass(frozen=True)
class Group:
    """Units of one kind that a gate switches: ranks of a projection, or weights of a kernel.

    >>> layer = FactorizedDense(6, rank=4, gate="hard_concrete")
    >>> layer.build([None, 6])
    >>> group = parameter_group(layer)
    >>> group.unit_cost, group.full_cost, float(group.stored_cost())
    (12, 36, 36.0)

    Args:
      layer: the built layer whose `gate` switches the units.
      unit_cost: number at least 0, the cost of one unit.
      full_cost: number at least 0, the largest cost that is stored: many ranks cost more than the
        kernel that takes their place.
    """

    layer: typing.Any
    unit_cost: float
    full_cost: float

    @property
    def gate(self):
        """The gate over the units."""
        return self.layer.gate

    @property
    def has_ranks(self):
        """Whether the units are ranks."""
        return isinstance(self.layer, FactorizedDense)

    def expected_cost(self):
        """Returns `unit_cost * sum P(z > 0)`, a float32 scalar tensor."""
        return self.gate.expected_active() * self.unit_cost

    def stored_cost(self):
        """Returns `min(full_cost, unit_cost * units kept)`, a float32 scalar tensor."""
        kept = tf.math.count_nonzero(self.gate.keep(), dtype=tf.float32)
        return tf.minimum(kept * self.unit_cost, float(self.full_cost))

    def opening(self):
        """Returns when units open and what is stored for each of them.

        Returns:
          `(shifts [U], costs [U])`, float64 arrays: the shifts of the gate at which units open,
          ascending, and the cost that each of them adds.
        """
        shifts = np.sort(self.gate.opens_at(), axis=None)
        stored = np.minimum(np.arange(shifts.size + 1) * self.unit_cost, self.full_cost)
        return shifts, np.diff(stored)


def parameter_group(layer):
    """Returns the gated units of a projection with the kernel parameters that they cost.

    Args:
      layer: a built `FactorizedDense`, `GatedDense` or `keras.layers.Dense`.

    Returns:
      The `Group` of its ranks or weights, or None where no gate switches any.
    """
    inputs, outputs, rank = shape(layer)
    full = costs.dense_parameters(inputs, outputs)
    if isinstance(layer, GatedDense):
        return Group(layer, 1, full)
    if rank and layer.gate is not None:
        return Group(layer, costs.unit_parameters(inputs, outputs), full)
    return None


def shape(layer):
    """Returns the sizes of a projection.

    Args:
      layer: a built `FactorizedDense`, `GatedDense` or `keras.layers.Dense`.

    Returns:
      `(I, O, R)`, ints; R is None for a dense kernel.
    """
    if isinstance(layer, FactorizedDense):
        return layer.inputs, layer.units, layer.rank
    return (*layer.kernel.shape.as_list(), None)
