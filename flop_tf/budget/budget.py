"""How sparse a model is: the budget of its parameters.

The base is always the kernels of the original dense projections, so a model at
full rank has a negative sparsity: its factors are larger than its kernels.
"""

import math

import numpy as np

from flop_tf.budget.cost_budget import CostBudget
from flop_tf.budget.part_costs import ProjectionCost, shape
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense

# Share by which rounding may miss the lowest sparsity of masks.
_MARGIN = 1e-6


class Budget(CostBudget):
    """The kernel parameters of a model's projections.

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
      units: `flop_tf.budget.groups.Switched` by projection, of those whose inputs or outputs are
        under gates; default none.

    Attributes:
      groups: list of `Group`, what gates switch: ranks and weights in the order of the projections,
        then the units that are inputs of projections, then their parents.

    Raises:
      ValueError: if there are no original parameters.
    """

    def __init__(self, projections, original_parameters=None, units=None):
        self.projections = list(projections)
        units = units or {}
        costs = [ProjectionCost(layer, *units.get(layer, ())) for layer in self.projections]
        if original_parameters is None:
            original_parameters = sum(i * o for i, o, _ in (cost.shape for cost in costs))
        if not original_parameters:
            raise ValueError(
                "Argument `projections` must have at least one layer with a kernel, received "
                f"{len(self.projections)} layers without parameters."
            )
        super().__init__(costs, original_parameters)
        for cost in costs:
            if cost.has_own_gate:
                self.add_group(cost.layer.gate, cost.layer)
        for layer, switched in units.items():
            if switched.inputs is not None:
                self.add_group(switched.inputs.gate, layer, switched.inputs.width)
        last = {switched.parent: layer for layer, switched in units.items()}
        last.pop(None, None)
        for parent, layer in last.items():
            self.add_group(parent, layer, shape(layer)[0])

    @property
    def original_parameters(self):
        """Kernel parameters of the original dense model, an int."""
        return self.dense_cost

    @property
    def ranks(self):
        """The groups of ranks."""
        return [group for group in self.groups if group.has_ranks]

    @property
    def steered(self):
        """All groups but those of weights, see `CostBudget`."""
        return [group for group in self.groups if not isinstance(group.layer, GatedDense)]

    @property
    def factorized_parameters(self):
        """Parameters of all factors and kernels as they stand, gates open."""
        return sum(cost.full for cost in self._costs)

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
        """Shifts all gates so that the stored sparsity meets a target, see `CostBudget.calibrate`.

        For gates that go by magnitude it calls `keep_largest` instead.

        Args:
          target_sparsity: float below 1, the stored sparsity to reach.

        Returns:
          The number by which the gates were shifted, a float.

        Raises:
          ValueError: as `CostBudget.calibrate`, or for gates that go by magnitude if the target is
            out of reach with all of them open.
        """
        if self.by_magnitude():
            self.keep_largest(target_sparsity)
            return 0.0
        return super().calibrate(target_sparsity)

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
