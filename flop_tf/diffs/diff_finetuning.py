"""Fine-tuning of a difference whose positions are fixed: `theta = p0 + m w`.

Only the K values of w under the mask are stored and trained, so that a step costs little more than
a step of the frozen model. Reference: Diff Pruning, arXiv 2012.07463, section 3.3.
"""

import contextlib

import numpy as np
import tensorflow as tf

from flop_tf.diffs.trained_diff import TrainedDiff, flat_gradients


class FixedDiff(TrainedDiff):
    """A difference at fixed positions; all other entries stay p0, bit by bit.

    >>> kernel = tf.Variable(tf.zeros([2, 2]))
    >>> diff = FixedDiff([kernel], positions=[[1, 2]], values=[[0.5, -0.5]])
    >>> diff.difference()[0].numpy().tolist()
    [[0.0, 0.5], [-0.5, 0.0]]

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
        super().__init__(base, dense)
        for variable, size, found in zip(self.base, self._sizes, positions, strict=True):
            if len(found) and not 0 <= found[0] <= found[-1] < size:
                raise ValueError(
                    f"Argument `positions` must be in [0, {size}) for {variable.name!r}, received "
                    f"{found[0]} to {found[-1]}."
                )
        self._ends = np.cumsum([len(found) for found in positions])
        if not sum(map(len, positions)):
            raise ValueError(
                "Argument `positions` must have at least one entry to train, received none."
            )
        starts = np.cumsum([0, *self._sizes[:-1]])
        flat = [start + np.int64(found) for start, found in zip(starts, positions, strict=True)]
        self._positions = tf.constant(np.concatenate(flat))
        start = np.zeros(len(self._positions)) if values is None else np.concatenate(values)
        self.weights = tf.Variable(start.astype(np.float32), name="weights")

    @contextlib.contextmanager
    def applied(self, seed, step):
        """Lets the model compute with theta for a `with` block; there is nothing random.

        Args:
          seed: int, of the run.
          step: integer scalar tensor.
        """
        del seed, step
        with self.evaluated():
            yield None

    def difference(self):
        """Returns theta - p0, a list of tensors as `base`."""
        flat = tf.scatter_nd(self._positions[:, tf.newaxis], self.weights, [sum(self._sizes)])
        return [
            tf.reshape(part, variable.shape)
            for part, variable in zip(tf.split(flat, self._sizes), self.base, strict=True)
        ]

    def values(self):
        """Returns w, a list of arrays `[K_i]` as `positions`."""
        return np.split(self.weights.numpy(), self._ends[:-1])

    def gradients(self, noise, gradients):
        """Returns `dw = G m`, see `TrainedDiff.gradients`.

        Args:
          noise: None.
          gradients: list of tensors at theta, as `dense` and `base`.
        """
        del noise
        dense = len(gradients) - len(self.base)
        flat = flat_gradients(gradients[dense:], self._sizes)
        return [*gradients[:dense], tf.gather(flat, self._positions)], [], {}
