"""How much of a model's cost is removed: expected in training, stored after it, and calibration.

A cost may be parameters, seconds or anything else that is a sum over parts of a model.
"""

import contextlib

import numpy as np
import tensorflow as tf

from flop_tf.budget import calibration
from flop_tf.budget.groups import Group

# Share of the dense model's cost by which a target may be missed where `1 - target` is not exact.
_ROUNDING = 1e-9


class CostBudget:
    """The cost of a model whose units gates switch; its sparsity is the share that is removed.

    >>> from flop_tf import gates
    >>> from flop_tf.backend import keras
    >>> from flop_tf.budget.part_costs import CurveCost
    >>> gate, following = gates.get("hard_concrete"), keras.layers.Dense(3)
    >>> gate.build([None, 4])
    >>> following.build([None, 4])
    >>> budget = CostBudget([CurveCost([1, 4], [2.0, 5.0], gate)], 8.0, fixed_cost=3.0)
    >>> budget.add_group(gate, following)
    >>> shift = budget.calibrate(0.25)
    >>> round(float(budget.stored_cost()), 3), float(budget.stored_sparsity())
    (3.0, 0.625)

    Args:
      costs: list of `flop_tf.budget.part_costs.PartCost`.
      dense_cost: number above 0, the cost of the dense model.
      fixed_cost: what does not depend on any unit; default 0.

    Attributes:
      groups: list of `Group`, what gates switch.
      dense_cost: of the arguments.
    """

    def __init__(self, costs, dense_cost, fixed_cost=0.0):
        self._costs, self._fixed = list(costs), fixed_cost
        self._parents = {cost.parent for cost in self._costs} - {None}
        self.dense_cost, self.groups = dense_cost, []

    def add_group(self, gate, layer, width=1):
        """Adds units that a gate switches: they cost what they add to all parts.

        Args:
          gate: the built gate.
          layer: see `Group`.
          width: see `Group`.
        """
        sizes = [(cost, cost.full - cost.full_without(gate)) for cost in self._costs]
        full = sum(min(added, cost.most) for cost, added in sizes if added)
        self.groups.append(Group(gate, layer, sum(added for _, added in sizes), full, width))

    @property
    def steered(self):
        """The groups that a Lagrangian steers and calibration shifts; by default all."""
        return self.groups

    @property
    def gates(self):
        """The gates of `steered`."""
        return [group.gate for group in self.steered]

    def by_magnitude(self):
        """Returns the groups of weights whose gate goes by their magnitude."""
        return [group for group in self.groups if group.gate.by_magnitude]

    def expected_cost(self):
        """Returns the cost by `P(z > 0)` of all units, a scalar tensor."""
        fixed = self._fixed + sum(cost.full for cost in self._costs if not cost.gates)
        gated = (cost.expected() for cost in self._costs if cost.gates)
        return tf.add_n([tf.constant(float(fixed)), *gated])

    def expected_sparsity(self):
        """Returns `1 - expected cost / cost of the dense model`, a scalar tensor."""
        return 1.0 - self.expected_cost() / self.dense_cost

    def stored_cost(self):
        """Returns the cost that removal stores under the keep rule, a scalar tensor.

        Of a kernel under a mask these are the weights that the mask keeps, though they are
        stored among zeros; see `Budget.zero_parameters`.
        """
        fixed = self._fixed + sum(cost.stored() for cost in self._costs if not cost.gates)
        total = tf.constant(float(fixed))
        for cost in self._costs:
            if cost.gates:
                total += cost.stored()
        return total

    def stored_sparsity(self):
        """Returns `1 - stored cost / cost of the dense model`, a scalar tensor."""
        return 1.0 - self.stored_cost() / self.dense_cost

    def calibrate(self, target_sparsity):
        """Shifts the gates of `steered` by one number so that the stored sparsity meets the target.

        Where none meets it, the result is the nearest above. A sublayer that is next to open but
        costs more than what is left stays closed, its gate shifted less, and smaller units open in
        its place.

        Args:
          target_sparsity: float below 1, the stored sparsity to reach.

        Returns:
          The number b by which the other gates were shifted, a float.

        Raises:
          ValueError: if the target is out of reach even with all gates closed.
        """
        moved = [gate for gate in self.gates if gate.calibrates]
        stored = self._stored_with(moved)
        fixed = stored(dict.fromkeys(moved, 0))
        allowed = (1.0 - target_sparsity + _ROUNDING) * self.dense_cost
        if fixed > allowed:
            raise ValueError(
                "Argument `target_sparsity` must be at most the sparsity with all gates closed, "
                f"{1.0 - fixed / self.dense_cost:.6f}, received {target_sparsity}."
            )
        closed, others = {}, moved
        while True:
            shift, blocking = calibration.shift_to(
                others, lambda counts: stored(closed | counts), allowed
            )
            if blocking not in self._parents:
                break
            closed[blocking] = 0
            others = [gate for gate in others if gate is not blocking]
        for gate in others:
            gate.shift(shift)
        for gate in closed:
            gate.shift(min(shift, calibration.just_below(float(gate.opens_at()[0]))))
        return shift

    @contextlib.contextmanager
    def calibrated(self, target_sparsity):
        """Calibrates for the time of a `with` block, then puts every gate back.

        Args:
          target_sparsity: as for `calibrate`.

        Yields:
          The number by which the gates are shifted meanwhile, a float.

        Raises:
          ValueError: as `calibrate`.
        """
        gates = [group.gate for group in self.groups]
        variables = [getattr(gate, gate.variable_name) for gate in gates]
        original = [variable.numpy() for variable in variables]
        try:
            yield self.calibrate(target_sparsity)
        finally:
            for variable, array in zip(variables, original, strict=True):
                variable.assign(array)

    def _stored_with(self, gates):
        """Returns a function of how many units of some gates are open: the stored cost."""
        others = [gate for cost in self._costs for gate in cost.gates if gate not in gates]
        fixed = {gate: int(np.count_nonzero(gate.keep())) for gate in dict.fromkeys(others)}
        return lambda counts: (
            self._fixed + sum(cost.stored_among(fixed | counts) for cost in self._costs)
        )
