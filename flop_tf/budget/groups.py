"""Groups of units that one gate switches, such as heads, neurons or ranks."""

import dataclasses
import math
import typing

import tensorflow as tf

from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense


@dataclasses.dataclass(frozen=True)
class Units:
    """Units of a gate that are inputs or outputs of a projection, such as heads.

    >>> from flop_tf import gates
    >>> gate = gates.get("hard_concrete")
    >>> gate.build([None, 3])
    >>> float(Units(gate, width=2).kept()), Units(gate, width=2).among({gate: 1})
    (6.0, 2)

    Args:
      gate: the built gate over them.
      width: int at least 1, how many inputs or outputs a unit has.
    """

    gate: typing.Any
    width: int = 1

    def expected(self):
        """Returns `width * sum P(z > 0)`, a float32 scalar tensor."""
        return self.gate.expected_active() * self.width

    def kept(self):
        """Returns how many inputs or outputs the keep rule keeps, a float32 scalar tensor."""
        return tf.math.count_nonzero(self.gate.keep(), dtype=tf.float32) * self.width

    def among(self, counts):
        """Returns how many inputs or outputs there are where so many units are open, an int.

        Args:
          counts: dict of ints by gate.
        """
        return counts[self.gate] * self.width


class Switched(typing.NamedTuple):
    """The gates that switch the inputs and outputs of a projection, and all of it.

    >>> from flop_tf import gates
    >>> gate = gates.get("hard_concrete")
    >>> gate.build([None, 3])
    >>> Switched(outputs=Units(gate, width=2)).inputs is None
    True

    Args:
      inputs: the `Units` that are its inputs, or None where no gate switches them.
      outputs: the same for its outputs.
      parent: the gate of one unit over the sublayer of the projection, or None. It scales the
        inputs of the sublayer's last projection.
    """

    inputs: Units | None = None
    outputs: Units | None = None
    parent: typing.Any = None


@dataclasses.dataclass(frozen=True)
class Group:
    """Units of one kind that a gate switches: ranks, weights of a kernel, heads or neurons.

    >>> layer = FactorizedDense(6, rank=4, gate="hard_concrete")
    >>> layer.build([None, 6])
    >>> group = Group(layer.gate, layer, open_cost=48, full_cost=36)
    >>> group.has_ranks, group.rows.shape.as_list(), group.num_units, group.unit_cost
    (True, [4, 6], 4, 12.0)

    Args:
      gate: the built gate.
      layer: the projection whose ranks or weights they are, or whose inputs.
      open_cost: number at least 0, what all units cost together while all others are open.
      full_cost: number at least 0, the largest cost that is stored: many ranks cost more than the
        kernel that takes their place.
      width: int at least 1, rows of the following matrix that a unit has.
    """

    gate: typing.Any
    layer: typing.Any
    open_cost: float
    full_cost: float
    width: int = 1

    @property
    def has_ranks(self):
        """Whether the units are ranks."""
        return isinstance(self.layer, FactorizedDense) and self.gate is self.layer.gate

    @property
    def rows(self):
        """The matrix of which each unit has `width` rows, a variable: Q, or what follows units."""
        if self.has_ranks:
            return self.layer.factor_out
        return (
            self.layer.factor_in if isinstance(self.layer, FactorizedDense) else self.layer.kernel
        )

    @property
    def num_units(self):
        """How many units there are, an int."""
        if isinstance(self.layer, GatedDense):
            return math.prod(self.layer.kernel.shape)
        return self.rows.shape[0] // self.width

    @property
    def unit_cost(self):
        """The cost of one unit while all others are open, a float at least 0."""
        return self.open_cost / max(1, self.num_units)
