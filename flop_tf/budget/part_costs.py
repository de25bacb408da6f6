"""What parts of a model cost by the units that are open: the terms of a budget.

I inputs, O outputs, R ranks of a projection, each a number or as many as units of a gate are open.
"""

import abc

import numpy as np
import tensorflow as tf

from flop_tf.budget.groups import Units
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.linalg import costs


class PartCost(abc.ABC):
    """What a part of a model costs by the units that are open: one of the terms of a budget.

    Where its parent, a gate of one unit, is closed, the part is removed and costs nothing: expected
    are `P(z_parent > 0)` times the costs of the part.

    >>> from flop_tf import gates
    >>> parent = gates.get("hard_concrete")
    >>> parent.build([None, 1])
    >>> cost = CurveCost([4], [2.0], parent=parent)
    >>> cost.stored_among({parent: 1}), cost.stored_among({parent: 0}), cost.full_without(parent)
    (2.0, 0, 0)

    Args:
      gates: list of the gates of its own units.
      parent: the built gate of one unit that all of it hangs on; default None.

    Attributes:
      gates: list of all gates on which the cost depends.
      parent: of the arguments.
    """

    def __init__(self, gates, parent=None):
        self.parent = parent
        self.gates = list(dict.fromkeys([*gates, *([] if parent is None else [parent])]))

    @property
    @abc.abstractmethod
    def full(self):
        """The cost as it stands, all gates open, a number."""

    @property
    def most(self):
        """The largest cost that is stored, a number; by default `full`."""
        return self.full

    @abc.abstractmethod
    def expected_of_units(self):
        """Returns `expected` where the parent is open."""

    @abc.abstractmethod
    def stored_of_units(self):
        """Returns `stored` where the parent is open."""

    @abc.abstractmethod
    def among_units(self, counts):
        """Returns `stored_among` where the parent is open.

        Args:
          counts: dict of ints by gate.
        """

    @abc.abstractmethod
    def full_without_units(self, gate):
        """Returns `full_without` for a gate that is not the parent.

        Args:
          gate: the gate.
        """

    def expected(self):
        """Returns the cost by `P(z > 0)`, a scalar tensor; a number without gates."""
        cost = self.expected_of_units()
        return cost if self.parent is None else cost * self.parent.expected_active()

    def stored(self):
        """Returns what removal stores by the keep rule, a scalar tensor; a number without gates."""
        cost = self.stored_of_units()
        if self.parent is None:
            return cost
        return cost * tf.reduce_sum(tf.cast(self.parent.keep(), tf.float32))

    def stored_among(self, counts):
        """Returns what is stored where so many units of each gate are open, a number.

        Args:
          counts: dict of ints by gate, of all `gates`.
        """
        if self.parent is not None and not counts[self.parent]:
            return 0
        return self.among_units(counts)

    def full_without(self, gate):
        """Returns the cost as it stands where no unit of a gate is open, a number.

        Args:
          gate: the gate.
        """
        return 0 if gate is self.parent else self.full_without_units(gate)


class ProjectionCost(PartCost):
    """What a projection costs: `a R (I + O) + b` in factors, `c I O` in a kernel.

    Removal stores a kernel above the break-even rank, else the cheaper one. With a = c = 1 and
    b = 0 these are kernel parameters; of a kernel under a mask they are the weights that the mask
    keeps. b falls away with the last rank, input or output.

    >>> layer = FactorizedDense(6, rank=4, gate="hard_concrete")
    >>> layer.build([None, 6])
    >>> cost = ProjectionCost(layer)
    >>> cost.full, float(cost.stored()), cost.stored_among({layer.gate: 2})
    (48, 36.0, 24)
    >>> ProjectionCost(layer, pair=3).stored_among({layer.gate: 2})
    27

    Args:
      layer: a built `FactorizedDense`, `GatedDense` or `keras.layers.Dense`.
      inputs: the `Units` that are its inputs, or None where no gate switches them.
      outputs: the same for its outputs.
      parent: see `PartCost`.
      factor_number: a, the cost of a number of the factors.
      pair: b, the cost of two products more than one.
      kernel_number: c, the cost of a number of the kernel.

    Attributes:
      layer: the projection.
      shape: `(I, O, R)` with all gates open, ints; R is None for a dense kernel.
    """

    def __init__(
        self,
        layer,
        inputs=None,
        outputs=None,
        parent=None,
        factor_number=1,
        pair=0,
        kernel_number=1,
    ):
        self.layer, self.shape = layer, shape(layer)
        self._prices = factor_number, pair, kernel_number
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
        super().__init__(found, parent)

    @property
    def has_own_gate(self):
        """Whether the gate of the projection itself switches ranks or weights that it has."""
        return getattr(self.layer, "gate", None) in self.gates

    @property
    def full(self):
        """The cost as it stands, all gates open, a number."""
        return self._standing(*self.shape)

    @property
    def most(self):
        """The cost of the kernel: no factors that are stored have more."""
        return self._standing(*self.shape[:2])

    def expected_of_units(self):
        """See `PartCost`."""
        if self._weights:
            return self._weights.expected()
        return self._standing(*self._each(Units.expected))

    def stored_of_units(self):
        """Returns what removal stores, the cheaper one of factors and kernel; see `PartCost`."""
        if self._weights:
            return self._weights.kept()
        if not any(isinstance(size, Units) for size in self._sizes):
            return self._stored(*self.shape)
        found = (tf.cast(size, tf.float32) for size in self._each(Units.kept) if size is not None)
        return self._stored(*found)

    def among_units(self, counts):
        """See `PartCost`."""
        if self._weights:
            return self._weights.among(counts)
        return self._stored(*self._each(lambda units: units.among(counts)))

    def full_without_units(self, gate):
        """See `PartCost`."""
        if self._weights:
            return 0 if self._weights.gate is gate else self.full
        sizes = [
            0 if isinstance(own, Units) and own.gate is gate else size
            for own, size in zip(self._sizes, self.shape, strict=True)
        ]
        return self._standing(*sizes)

    def _each(self, of_units):
        return [of_units(one) if isinstance(one, Units) else one for one in self._sizes]

    def _standing(self, inputs, outputs, rank=None):
        """Returns the cost of factors, or of a kernel where the rank is None."""
        factor_number, pair, kernel_number = self._prices
        if rank is None:
            return kernel_number * costs.dense_parameters(inputs, outputs)
        cost = factor_number * costs.factorized_parameters(inputs, outputs, rank)
        return cost + pair * _up_to_one(inputs * outputs * rank) if pair else cost

    def _stored(self, inputs, outputs, rank=None):
        """Returns the cost of the cheaper one of factors and kernel."""
        kernel = self._standing(inputs, outputs)
        if rank is None:
            return kernel
        factors = self._standing(inputs, outputs, rank)
        densely = costs.stored_densely(inputs, outputs, rank)
        if tf.is_tensor(factors):
            return tf.where(densely, kernel, tf.minimum(factors, kernel))
        return kernel if densely else min(factors, kernel)


class CurveCost(PartCost):
    """What a sublayer costs by how many of its units are open, `T(n)` with `T(0) = 0`.

    It is linear between the numbers of units whose cost is known.

    >>> from flop_tf import gates
    >>> gate = gates.get("hard_concrete")
    >>> gate.build([None, 4])
    >>> cost = CurveCost([1, 4], [2.0, 5.0], gate)
    >>> cost.full, cost.among_units({gate: 2}), round(float(cost.stored()), 3)
    (5.0, 3.0, 5.0)

    Args:
      sizes: increasing ints above 0, numbers of units; the last one is all of them.
      values: floats, the cost of each of `sizes`.
      gate: the built gate over its units; None where no gate switches them.
      parent: see `PartCost`.
    """

    def __init__(self, sizes, values, gate=None, parent=None):
        super().__init__([] if gate is None else [gate], parent)
        self._gate = gate
        self._sizes, self._values = [0, *sizes], [0.0, *values]

    @property
    def full(self):
        """See `PartCost`."""
        return self._values[-1]

    def expected_of_units(self):
        """See `PartCost`."""
        return self.full if self._gate is None else self._at(self._gate.expected_active())

    def stored_of_units(self):
        """See `PartCost`."""
        return self.full if self._gate is None else self._at(Units(self._gate).kept())

    def among_units(self, counts):
        """See `PartCost`."""
        if self._gate is None:
            return self.full
        return float(np.interp(counts[self._gate], self._sizes, self._values))

    def full_without_units(self, gate):
        """See `PartCost`."""
        return 0.0 if gate is self._gate else self.full

    def _at(self, number):
        """Returns the cost of a number of units, a float32 scalar tensor: a sum of ramps."""
        starts, lengths = np.float32(self._sizes[:-1]), np.float32(np.diff(self._sizes))
        ramps = tf.clip_by_value((number - starts) / lengths, 0.0, 1.0)
        return tf.reduce_sum(ramps * np.float32(np.diff(self._values)))


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


def _up_to_one(number):
    """Returns a number or scalar tensor of at least 0, at most 1."""
    return tf.clip_by_value(number, 0.0, 1.0) if tf.is_tensor(number) else min(1, number)
