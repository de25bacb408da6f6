"""Groups of units that one gate switches, and what projections cost by the units that are open.

I inputs, O outputs, R ranks of a projection, each a number or as many as units of a gate are open.
"""

import dataclasses
import math
import typing

import tensorflow as tf

from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.linalg import costs


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


class ProjectionCost:
    """Kernel parameters of a projection: `R (I + O)` in factors, `I O` in a kernel.

    Of a kernel under a mask they are the weights that the mask keeps.

    >>> layer = FactorizedDense(6, rank=4, gate="hard_concrete")
    >>> layer.build([None, 6])
    >>> cost = ProjectionCost(layer)
    >>> cost.full, float(cost.stored()), cost.stored_among({layer.gate: 2})
    (48, 36.0, 24)

    Args:
      layer: a built `FactorizedDense`, `GatedDense` or `keras.layers.Dense`.
      inputs: the `Units` that are its inputs, or None where no gate switches them.
      outputs: the same for its outputs.

    Attributes:
      layer: the projection.
      shape: `(I, O, R)` with all gates open, ints; R is None for a dense kernel.
      gates: list of the gates on which the cost depends.
    """

    def __init__(self, layer, inputs=None, outputs=None):
        self.layer, self.shape = layer, shape(layer)
        own = Units(layer.gate) if getattr(layer, "gate", None) is not None else None
        has_mask = isinstance(layer, GatedDense)
        sizes = (inputs, outputs, None if has_mask else own)
        if has_mask and (inputs or outputs):
            raise ValueError(
                f"Argument `inputs` must be None of {layer.name!r}, whose weights have a mask of "
                "their own, as `outputs`."
            )
        self._weights = own if has_mask else None
        # The sizes of the kernel, each a number or the `Units` that make it up.
        self._sizes = [
            size if units is None or not size else units
            for size, units in zip(self.shape, sizes, strict=True)
        ]
        found = [one.gate for one in [self._weights, *self._sizes] if isinstance(one, Units)]
        self.gates = list(dict.fromkeys(found))

    @property
    def has_own_gate(self):
        """Whether the gate of the projection itself switches ranks or weights that it has."""
        return getattr(self.layer, "gate", None) in self.gates

    @property
    def full(self):
        """The parameters as they stand, all gates open, an int."""
        return costs.kernel_parameters(*self.shape)

    def expected(self):
        """Returns the parameters by `P(z > 0)`, a scalar tensor; an int without gates."""
        if self._weights:
            return self._weights.expected()
        return costs.kernel_parameters(*self._each(Units.expected))

    def stored(self):
        """Returns what removal stores, `min(I O, R (I + O))`, a scalar; an int without gates."""
        if self._weights:
            return self._weights.kept()
        if not self.gates:
            return costs.stored_parameters(*self.shape)
        inputs, outputs, rank = self._each(Units.kept)
        full = tf.cast(costs.dense_parameters(inputs, outputs), tf.float32)
        if rank is None:
            return full
        return tf.minimum(costs.factorized_parameters(inputs, outputs, rank), full)

    def stored_among(self, counts):
        """Returns what is stored where so many units of each gate are open, an int.

        Args:
          counts: dict of ints by gate, of all `gates`.
        """
        if self._weights:
            return self._weights.among(counts)
        return costs.stored_parameters(*self._each(lambda units: units.among(counts)))

    def full_without(self, gate):
        """Returns the parameters as they stand where no unit of a gate is open, an int.

        Args:
          gate: the gate.
        """
        if self._weights:
            return 0 if self._weights.gate is gate else self.full
        sizes = [
            0 if isinstance(own, Units) and own.gate is gate else size
            for own, size in zip(self._sizes, self.shape, strict=True)
        ]
        return costs.kernel_parameters(*sizes)

    def _each(self, of_units):
        return [of_units(one) if isinstance(one, Units) else one for one in self._sizes]


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
