"""How sparse a model is: expected in training, stored after removal, and the shift between them.

The base is always the kernels of the original dense projections, so a model at
full rank has a negative sparsity: its factors are larger than its kernels.
"""

import contextlib
import math

import numpy as np
import tensorflow as tf

from flop_tf.budget import calibration
from flop_tf.budget.groups import Group, ProjectionCost
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense

# Share by which rounding may miss the lowest sparsity of masks.
_MARGIN = 1e-6
# Parameters by which a target may be missed where `1 - target` is not exact.
_ROUNDING = 0.01


class Budget:
    """Counts the kernel parameters of a model's projections.

    >>> layer = FactorizedDense(6, rank=4, gate="hard_concrete")
    >>> layer.build([None, 6])
    >>> layer.gate.shift([0.0, 1.0, 2.0, 3.0])
    >>> budget = Budget([layer])
    >>> shift = budget.calibrate(0.3)  # A rank has 12 of the 36 parameters.
    >>> budget.survivors(), round(float(budget.stored_sparsity()), 3)
    ([2], 0.333)

    Args:
      projections: built layers, `FactorizedDense`, `GatedDense` or `keras.layers.Dense`.
      original_parameters: int at least 1, kernel parameters of the original dense model. None
        sums `I * O` over `projections`, right as long as no head or neuron is removed.
      units: for projections whose inputs or outputs are under gates `{layer: (inputs, outputs)}`,
        each a `flop_tf.budget.groups.Units` or None; default none.

    Attributes:
      groups: list of `Group`, what gates switch: ranks and weights in the order of the projections,
        then the units that are inputs of projections.

    Raises:
      ValueError: if there are no original parameters.
    """

    def __init__(self, projections, original_parameters=None, units=None):
        self.projections = list(projections)
        units = units or {}
        self._costs = [ProjectionCost(layer, *units.get(layer, ())) for layer in self.projections]
        if original_parameters is None:
            original_parameters = sum(i * o for i, o, _ in (cost.shape for cost in self._costs))
        if not original_parameters:
            raise ValueError(
                "Argument `projections` must have at least one layer with a kernel, received "
                f"{len(self.projections)} layers without parameters."
            )
        self.original_parameters = original_parameters
        layers = (cost.layer for cost in self._costs if cost.has_own_gate)
        self.groups = [self._group(layer.gate, layer) for layer in layers]
        following = [(layer, pair[0]) for layer, pair in units.items() if pair[0] is not None]
        self.groups += [self._group(one.gate, layer, one.width) for layer, one in following]

    @property
    def ranks(self):
        """The groups of ranks."""
        return [group for group in self.groups if group.has_ranks]

    @property
    def steered(self):
        """The groups that a Lagrangian steers and calibration shifts: all but those of weights."""
        return [group for group in self.groups if not isinstance(group.layer, GatedDense)]

    @property
    def gates(self):
        """The gates of `steered`."""
        return [group.gate for group in self.steered]

    def by_magnitude(self):
        """Returns the groups of weights whose gate goes by their magnitude."""
        return [group for group in self.groups if group.gate.by_magnitude]

    @property
    def factorized_parameters(self):
        """Parameters of all factors and kernels as they stand, gates open."""
        return sum(cost.full for cost in self._costs)

    def expected_parameters(self):
        """Returns the expected parameters, `L0 * (I + O)` for a gated projection; a scalar.

        Inputs and outputs under gates count by their own L0.
        """
        fixed = sum(cost.full for cost in self._costs if not cost.gates)
        gated = (cost.expected() for cost in self._costs if cost.gates)
        return tf.add_n([tf.constant(float(fixed)), *gated])

    def expected_sparsity(self):
        """Returns `1 - expected parameters / original parameters`, a scalar."""
        return 1.0 - self.expected_parameters() / self.original_parameters

    def stored_parameters(self):
        """Returns the parameters that removal stores under the keep rule, a scalar tensor.

        Of a kernel under a mask these are the weights that the mask keeps, though they are
        stored among zeros; see `zero_parameters`.
        """
        total = tf.constant(float(sum(cost.stored() for cost in self._costs if not cost.gates)))
        for cost in self._costs:
            if cost.gates:
                total += cost.stored()
        return total

    def stored_sparsity(self):
        """Returns `1 - stored parameters / original parameters`, a scalar tensor."""
        return 1.0 - self.stored_parameters() / self.original_parameters

    def zero_parameters(self):
        """Returns how many weights of dense kernels are 0 or under a closed mask, an int."""
        zeros = 0
        for layer in self.projections:
            if not isinstance(layer, FactorizedDense):
                kernel = layer.kernel.numpy()
                if isinstance(layer, GatedDense):
                    kernel = kernel * layer.gate.keep().numpy()
                zeros += kernel.size - np.count_nonzero(kernel)
        return int(zeros)

    def survivors(self):
        """Returns the kept ranks of each projection, a list of ints; None for a dense one."""
        kept = {group.layer: int(np.sum(group.gate.keep())) for group in self.ranks}
        return [
            kept.get(layer, cost.shape[-1])
            for layer, cost in zip(self.projections, self._costs, strict=True)
        ]

    def calibrate(self, target_sparsity):
        """Shifts all gates of `steered` by one number so that the stored sparsity meets the target.

        Where none meets it, the result is the nearest above. For gates that go by magnitude it
        calls `keep_largest` instead.

        Args:
          target_sparsity: float below 1, the stored sparsity to reach.

        Returns:
          The number b by which the gates were shifted, a float.

        Raises:
          ValueError: if the target is out of reach even with all gates closed, or for gates that
            go by magnitude with all of them open.
        """
        if self.by_magnitude():
            self.keep_largest(target_sparsity)
            return 0.0
        moved = [gate for gate in self.gates if gate.calibrates]
        stored = self._stored_with(moved)
        fixed = stored(dict.fromkeys(moved, 0))
        allowed = (1.0 - target_sparsity) * self.original_parameters + _ROUNDING
        if fixed > allowed:
            raise ValueError(
                "Argument `target_sparsity` must be at most the sparsity with all gates closed, "
                f"{1.0 - fixed / self.original_parameters:.6f}, received {target_sparsity}."
            )
        shift = calibration.shift_to(moved, stored, allowed)
        for gate in moved:
            gate.shift(shift)
        return shift

    def keep_largest(self, target_sparsity):
        """Keeps the weights of largest magnitude, the same share of every kernel.

        The kernels are those of `by_magnitude`. Each keeps its share to half a weight, and one
        weight at least.

        Args:
          target_sparsity: float, the stored sparsity to reach.

        Raises:
          ValueError: if the target is out of reach of these masks, or a weight is NaN.
        """
        layers = [group.layer for group in self.by_magnitude()]
        sizes = [math.prod(layer.kernel.shape) for layer in layers]
        least, most = self.sparsity_by_magnitude()
        if not least <= target_sparsity + _MARGIN or not target_sparsity <= most:
            raise ValueError(
                f"Argument `target_sparsity` must be in [{least:.6f}, {most:.6f}], the sparsities "
                f"with open and with closed masks, received {target_sparsity}."
            )
        density = (most - target_sparsity) * self.original_parameters / sum(sizes)
        for layer, size in zip(layers, sizes, strict=True):
            num_kept = max(1, min(size, round(density * size)))
            layer.gate.keep_largest(layer.kernel.numpy(), num_kept)

    def sparsity_by_magnitude(self):
        """Returns the stored sparsity with the masks of `by_magnitude` open and with them closed.

        Both are floats; what is already removed, such as heads, counts in both.
        """
        masked = self.by_magnitude()
        gates = [group.gate for group in masked]
        stored = self._stored_with(gates)(dict.fromkeys(gates, 0))
        weights = sum(group.full_cost for group in masked)
        return (
            1.0 - (stored + weights) / self.original_parameters,
            1.0 - stored / self.original_parameters,
        )

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
        """Returns a function of how many units of some gates are open: the stored parameters."""
        others = [gate for cost in self._costs for gate in cost.gates if gate not in gates]
        fixed = {gate: int(np.count_nonzero(gate.keep())) for gate in dict.fromkeys(others)}
        return lambda counts: sum(cost.stored_among(fixed | counts) for cost in self._costs)

    def _group(self, gate, layer, width=1):
        """Returns the `Group` of a gate: its units cost what they add to all projections."""
        sizes = [(cost, cost.full - cost.full_without(gate)) for cost in self._costs]
        full = sum(min(added, math.prod(cost.shape[:2])) for cost, added in sizes if added)
        return Group(gate, layer, sum(added for _, added in sizes), full, width)
