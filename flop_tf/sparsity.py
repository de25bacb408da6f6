"""How sparse a model is: expected in training, stored after removal, and the shift between them.

The base is always the kernels of the original dense projections, so a model at
full rank has a negative sparsity: its factors are larger than its kernels.
"""

import contextlib

import numpy as np
import tensorflow as tf

from flop_tf import budget
from flop_tf.factorized import FactorizedDense
from flop_tf.gated_dense import GatedDense

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
    """

    def __init__(self, projections, original_parameters=None):
        self.projections = list(projections)
        self._shapes = [_shape(layer) for layer in self.projections]
        if original_parameters is None:
            original_parameters = sum(i * o for i, o, _ in self._shapes)
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

    def _masked(self):
        """Returns the gates over the weights of kernels."""
        return [layer.gate for layer in self.projections if isinstance(layer, GatedDense)]

    @property
    def factorized_parameters(self):
        """Parameters of all factors and kernels as they stand, gates open."""
        return sum(
            budget.kernel_parameters(inputs, outputs, rank)
            for inputs, outputs, rank in self._shapes
        )

    def expected_parameters(self):
        """Returns the expected parameters, `L0 * (I + O)` for a gated projection; a scalar."""
        gated = [
            layer.gate.expected_active() * budget.unit_parameters(inputs, outputs)
            for layer, inputs, outputs in self.gated()
        ]
        masked = [gate.expected_active() for gate in self._masked()]
        return tf.add_n([tf.constant(float(self._fixed_parameters())), *gated, *masked])

    def expected_sparsity(self):
        """Returns `1 - expected parameters / original parameters`, a scalar."""
        return 1.0 - self.expected_parameters() / self.original_parameters

    def stored_parameters(self):
        """Returns what removal would store under the keep rule, a scalar tensor."""
        total = tf.constant(float(self._fixed_parameters(stored=True)))
        for gate in self._masked():
            total += tf.math.count_nonzero(gate.keep(), dtype=tf.float32)
        for layer, inputs, outputs in self.gated():
            kept = tf.reduce_sum(tf.cast(layer.gate.keep(), tf.float32))
            factors = kept * budget.unit_parameters(inputs, outputs)
            total += tf.minimum(factors, float(budget.dense_parameters(inputs, outputs)))
        return total

    def stored_sparsity(self):
        """Returns `1 - stored parameters / original parameters`, a scalar tensor."""
        return 1.0 - self.stored_parameters() / self.original_parameters

    def survivors(self):
        """Returns the kept ranks of each projection; None for a dense one."""
        return [
            int(np.sum(layer.gate.keep())) if rank and layer.gate is not None else rank
            for layer, (_, _, rank) in zip(self.projections, self._shapes, strict=True)
        ]

    def calibrate(self, target_sparsity):
        """Adds one number to every log_alpha so that the stored sparsity meets the target.

        Where no number gives the target exactly, the result is the nearest one that
        is at least as sparse. The gates need a `log_alpha` and a `closes_at`.

        Args:
          target_sparsity: the stored sparsity to reach.

        Returns:
          The number b that was added, a float.

        Raises:
          ValueError: if the target is out of reach even with all gates closed.
        """
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

    @contextlib.contextmanager
    def calibrated(self, target_sparsity):
        """Calibrates for the time of a `with` block, then puts every log_alpha back."""
        original = [gate.log_alpha.numpy() for gate in self.gates]
        try:
            yield self.calibrate(target_sparsity)
        finally:
            for gate, log_alpha in zip(self.gates, original, strict=True):
                gate.log_alpha.assign(log_alpha)

    def _opening(self):
        """Returns the shifts at which gates open, ascending, and what is stored below each.

        The second array has one entry more: what is stored with all gates open.
        """
        opens_at, added = [np.zeros(0)], [np.zeros(0)]
        for layer, inputs, outputs in self.gated():
            log_alpha = layer.gate.log_alpha.numpy().astype(np.float64)
            opens_at.append(np.sort(layer.gate.closes_at - log_alpha))
            ranks = np.arange(log_alpha.size + 1) * budget.unit_parameters(inputs, outputs)
            added.append(np.diff(np.minimum(ranks, budget.dense_parameters(inputs, outputs))))
        opens_at, added = np.concatenate(opens_at), np.concatenate(added)
        order = np.argsort(opens_at, kind="stable")
        fixed = self._fixed_parameters(stored=True)
        return opens_at[order], np.concatenate([[0.0], np.cumsum(added[order])]) + fixed

    def _fixed_parameters(self, stored=False):
        count = budget.stored_parameters if stored else budget.kernel_parameters
        return sum(
            budget.dense_parameters(inputs, outputs)
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
