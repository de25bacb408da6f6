"""Fine-tuning of a difference whose positions are fixed: `theta = p0 + m w`.

Only the K values of w under the mask are stored and trained, so that a step costs little more than
that of the frozen model. Reference: Diff Pruning, arXiv 2012.07463, section 3.3.
"""

import contextlib
import math

import numpy as np
import tensorflow as tf

from flop_tf.diff_pruning import flat_gradients, holding


class FixedDiff(tf.Module):
    """A difference at fixed positions; all other entries stay p0, bit by bit.

    Attributes:
      base: list of the variables that hold p0; outside of `applied` they always do.
      dense: list of variables that are trained whole.
      trained: list of variables of the weights' optimizer: `dense` and w `[K]`.
      gates: an empty list.

    Args:
      base: list of model variables.
      positions: list of ascending flat positions, int `[K_i]`, one array for each of `base`.
      values: list of the starts of w, float `[K_i]`; None starts at 0.
      dense: list of model variables that are trained whole, such as the task head.

    Raises:
      ValueError: if there are no positions, or one is outside of its variable.
    """

    gates = ()

    def __init__(self, base, positions, values=None, dense=()):
        super().__init__()
        sizes = [math.prod(variable.shape) for variable in base]
        for variable, size, found in zip(base, sizes, positions, strict=True):
            if len(found) and not 0 <= found[0] <= found[-1] < size:
                raise ValueError(
                    f"Argument `positions` must be in [0, {size}) for {variable.name!r}, received "
                    f"{found[0]} to {found[-1]}."
                )
        number = sum(map(len, positions))
        if not number:
            raise ValueError(
                "Argument `positions` must have at least one entry to train, received none."
            )
        self._keep(list(base), list(dense), sizes, positions)
        start = np.zeros(number) if values is None else np.concatenate(values)
        self.weights = tf.Variable(start.astype(np.float32), name="weights")

    # Untracked: the variables belong to the model, the positions to the file they come from.
    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _keep(self, base, dense, sizes, positions):
        self.base, self.dense, self._sizes = base, dense, sizes
        self._numbers = [len(found) for found in positions]
        starts = np.cumsum([0, *sizes[:-1]])
        flat = [start + np.int64(found) for start, found in zip(starts, positions, strict=True)]
        self._positions = tf.constant(np.concatenate(flat))

    @property
    def trained(self):
        """Variables of the weights' optimizer."""
        return [*self.dense, self.weights]

    @contextlib.contextmanager
    def applied(self, seed, step):
        """Lets the model compute with theta for a `with` block; there is nothing random."""
        del seed, step
        with self.evaluated():
            yield None

    @contextlib.contextmanager
    def evaluated(self):
        """Lets the model compute with theta for a `with` block."""
        with holding(self.base, [v + d for v, d in zip(self.base, self.difference(), strict=True)]):
            yield

    def difference(self):
        """Returns theta - p0, a list of tensors as `base`."""
        flat = tf.scatter_nd(self._positions[:, tf.newaxis], self.weights, [sum(self._sizes)])
        return [
            tf.reshape(part, variable.shape)
            for part, variable in zip(tf.split(flat, self._sizes), self.base, strict=True)
        ]

    def values(self):
        """Returns w, a list of arrays `[K_i]` as `positions`."""
        return np.split(self.weights.numpy(), np.cumsum(self._numbers)[:-1])

    def gradients(self, noise, gradients):
        """Returns `dw = G m`, see `flop_tf.diff_pruning.LearnedDiff.gradients`."""
        del noise
        dense = len(gradients) - len(self.base)
        flat = flat_gradients(gradients[dense:], self._sizes)
        return [*gradients[:dense], tf.gather(flat, self._positions)], [], {}
