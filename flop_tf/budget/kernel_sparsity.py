"""How sparse a model is: expected in training, stored after removal, and the shift between them.

The base is always the kernels of the original dense projections, so a model at
full rank has a negative sparsity: its factors are larger than its kernels.
"""

import contextlib
import math

import numpy as np
import tensorflow as tf

from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.linalg import costs

# How far below the shift at which a gate opens it is surely closed, relative to that shift.
_MARGIN = 1e-6
# Parameters by which a target may be missed where `1 - target` is not exact.
_ROUNDING = 0.01


class KernelSparsity:
    """Counts the kernel parameters of a model's projections.

    Args:
      projections: built layers, `FactorizedDense`, `GatedDense` or `keras.layers.Dense`.
      original_parameters: kernel parameters of the original dense model. None
        sums `I * O` over `projections`, right while no head or neuron is gone.

    Raises:
      ValueError: if there are no original parameters.
    """

    def __init__(self, projections, original_parameters=None):
        self.projections = list(projections)
        self._shapes = [_shape(layer) for layer in self.projections]
        if original_parameters is None:
            original_parameters = sum(i * o for i, o, _ in self._shapes)
        if not original_parameters:
            raise ValueError(
                "Argument `projections` must have at least one layer with a kernel, received "
                f"{len(self.projections)} layers without parameters."
            )
        self.original_parameters = original_parameters

    @property
    def gates(self):
        """The gates over ranks."""
        return [layer.gate for layer, *_ in self.gated()]

    def gated(self):
        """Yields `(layer, I, O)` of every projection with gated ranks, in the order of `gates`."""
        for layer, (inputs, outputs, rank) in zip(self.projections, self._shapes, strict=True):
            if rank and layer.gate is not None:
                yield layer, inputs, outputs

    def by_magnitude(self):
        """Returns the projections whose gate goes by the magnitude of their weights."""
        masked = [layer for layer in self.projections if isinstance(layer, GatedDense)]
        return [layer for layer in masked if layer.gate.by_magnitude]

    def _masked(self):
        """Returns the gates over the weights of kernels."""
        return [layer.gate for layer in self.projections if isinstance(layer, GatedDense)]

    @property
    def factorized_parameters(self):
        """Parameters of all factors and kernels as they stand, gates open."""
        return sum(
            costs.kernel_parameters(inputs, outputs, rank) for inputs, outputs, rank in self._shapes
        )

    def expected_parameters(self):
        """Returns the expected parameters, `L0 * (I + O)` for a gated projection; a scalar."""
        gated = [
            layer.gate.expected_active() * costs.unit_parameters(inputs, outputs)
            for layer, inputs, outputs in self.gated()
        ]
        masked = [gate.expected_active() for gate in self._masked()]
        return tf.add_n([tf.constant(float(self._fixed_parameters())), *gated, *masked])

    def expected_sparsity(self):
        """Returns `1 - expected parameters / original parameters`, a scalar."""
        return 1.0 - self.expected_parameters() / self.original_parameters

    def stored_parameters(self):
        """Returns what removal would store under the keep rule, a scalar tensor.

        Of a kernel under a mask these are the weights that the mask keeps, though they are
        stored among zeros; see `zero_parameters`.
        """
        total = tf.constant(float(self._fixed_parameters(stored=True)))
        for gate in self._masked():
            total += tf.math.count_nonzero(gate.keep(), dtype=tf.float32)
        for layer, inputs, outputs in self.gated():
            kept = tf.reduce_sum(tf.cast(layer.gate.keep(), tf.float32))
            factors = kept * costs.unit_parameters(inputs, outputs)
            total += tf.minimum(factors, float(costs.dense_parameters(inputs, outputs)))
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
        """Returns the kept ranks of each projection; None for a dense one."""
        return [
            int(np.sum(layer.gate.keep())) if rank and layer.gate is not None else rank
            for layer, (_, _, rank) in zip(self.projections, self._shapes, strict=True)
        ]

    def calibrate(self, target_sparsity):
        """Adds one number to every log_alpha so that the stored sparsity meets the target.

        Where no number gives the target exactly, the result is the nearest one that
        is at least as sparse. The gates need a `log_alpha` and a `closes_at`. Gates that go by
        magnitude are brought to the target by `keep_largest` instead.

        Args:
          target_sparsity: the stored sparsity to reach.

        Returns:
          The number b that was added, a float.

        Raises:
          ValueError: if the target is out of reach even with all gates closed, or for gates that
            go by magnitude with all of them open.
        """
        if self.by_magnitude():
            self.keep_largest(target_sparsity)
            return 0.0
        opens_at, parameters = self._opening()
        allowed = (1.0 - target_sparsity) * self.original_parameters + _ROUNDING
        most = 1.0 - parameters[0] / self.original_parameters
        if parameters[0] > allowed:
            raise ValueError(
                "Argument `target_sparsity` must be at most the sparsity with all gates closed, "
                f"{most:.6f}, received {target_sparsity}."
            )
        if not opens_at.size:
            return 0.0
        too_many = np.searchsorted(parameters, allowed, side="right")
        # Just below where one gate too many opens, or above all.
        edge = opens_at[too_many - 1] if too_many < len(parameters) else opens_at[-1] + 1.0
        shift = float(np.float32(edge - _MARGIN * max(1.0, abs(edge))))
        for gate in self.gates:
            gate.log_alpha.assign_add(tf.fill(gate.log_alpha.shape, shift))
        return shift

    def keep_largest(self, target_sparsity):
        """Keeps the weights of largest magnitude, the same share of every kernel.

        The kernels are those of `by_magnitude`. Each keeps its share to half a weight, and one
        weight at least.

        Args:
          target_sparsity: the stored sparsity to reach.

        Raises:
          ValueError: if the target is out of reach of these masks, or a weight is NaN.
        """
        layers = self.by_magnitude()
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
        layers = self.by_magnitude()
        others = [layer for layer in self.projections if layer not in layers]
        stored = float(KernelSparsity(others, self.original_parameters).stored_parameters())
        masked = sum(math.prod(layer.kernel.shape) for layer in layers)
        return (
            1.0 - (stored + masked) / self.original_parameters,
            1.0 - stored / self.original_parameters,
        )

    @contextlib.contextmanager
    def calibrated(self, target_sparsity):
        """Calibrates for the time of a `with` block, then puts every gate back."""
        gates = self.gates + [layer.gate for layer in self.by_magnitude()]
        variables = [getattr(gate, gate.variable_name) for gate in gates]
        original = [variable.numpy() for variable in variables]
        try:
            yield self.calibrate(target_sparsity)
        finally:
            for variable, array in zip(variables, original, strict=True):
                variable.assign(array)

    def _opening(self):
        """Returns the shifts at which gates open, ascending, and what is stored below each.

        The second array has one entry more: what is stored with all gates open.
        """
        opens_at, added = [np.zeros(0)], [np.zeros(0)]
        for layer, inputs, outputs in self.gated():
            log_alpha = layer.gate.log_alpha.numpy().astype(np.float64)
            opens_at.append(np.sort(layer.gate.closes_at - log_alpha))
            ranks = np.arange(log_alpha.size + 1) * costs.unit_parameters(inputs, outputs)
            added.append(np.diff(np.minimum(ranks, costs.dense_parameters(inputs, outputs))))
        opens_at, added = np.concatenate(opens_at), np.concatenate(added)
        order = np.argsort(opens_at, kind="stable")
        fixed = self._fixed_parameters(stored=True)
        return opens_at[order], np.concatenate([[0.0], np.cumsum(added[order])]) + fixed

    def _fixed_parameters(self, stored=False):
        count = costs.stored_parameters if stored else costs.kernel_parameters
        return sum(
            costs.dense_parameters(inputs, outputs)
            if rank is None
            else count(inputs, outputs, rank)
            for layer, (inputs, outputs, rank) in zip(self.projections, self._shapes, strict=True)
            if getattr(layer, "gate", None) is None
        )


def _shape(layer):
    """Returns `(I, O, R)` of a projection, R None for a dense one."""
    if isinstance(layer, FactorizedDense):
        return layer.inputs, layer.units, layer.rank
    return (*layer.kernel.shape.as_list(), None)
