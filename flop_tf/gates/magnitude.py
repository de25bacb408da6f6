"""Masks that keep the weights of largest magnitude."""

import numpy as np

from flop_tf.gates.base import register_gate
from flop_tf.gates.fixed import FixedMask
from flop_tf.linalg import magnitude


@register_gate("magnitude")
class Magnitude(FixedMask):
    """`y = x * values`, where `values` is 1 for the largest `|w|` and 0 for the others.

    Nothing trains the mask; `flop_tf.training.gradual.GradualPruning` closes more of it as
    training proceeds. A closed weight gets no gradient and keeps its value under the mask, so that
    it may come back as long as the mask changes, where others fall below it.

    >>> gate = Magnitude(axis=None)
    >>> gate.build([2, 2])
    >>> gate.keep_largest(np.array([[0.1, -3.0], [2.0, 0.0]]), num_kept=2)
    >>> gate.keep().numpy().tolist()
    [[False, True], [True, False]]

    Args:
      axis: see `Gate`; None is one value per weight.
      **kwargs: of `keras.layers.Layer`.

    Reference:
      To prune, or not to prune, arXiv 1710.01878.
    """

    by_magnitude = True

    def keep_largest(self, weights, num_kept):
        """Opens the mask where `|w|` is largest and closes the rest.

        Args:
          weights: array of the mask's shape.
          num_kept: how many to keep, exactly; of equal weights at the boundary the last ones.

        Raises:
          ValueError: if the count is out of range or a weight is NaN.
        """
        kept = magnitude.good_masks({self.name: weights}, num_kept)[self.name]
        self.values.assign(kept.astype(np.float32))
