"""Gates with several masks, of which every batch has its own: one for each task of a model."""

import tensorflow as tf

from flop_tf.gates.base import register_gate
from flop_tf.gates.fixed import FixedMask
from flop_tf.scopes import Scope

_scope = Scope()


def mask_scope(index):
    """Chooses the mask of every `SwitchedMask` that is used inside of a `with` block.

    Args:
      index: k in [0, K), int or integer scalar tensor; a graph that was traced once takes any.
    """
    return _scope(index)


@register_gate("switched")
class SwitchedMask(FixedMask):
    """`y = x * values[k]`: a fixed mask out of K, chosen by the `mask_scope` around.

    The values are assigned from outside, 1 at first. Outside of a scope there is no mask to
    take, and none is guessed.

    >>> gate = SwitchedMask(axis=-1, num_masks=2)
    >>> gate.build([None, 2])
    >>> values = gate.values.assign([[1.0, 1.0], [0.0, 1.0]])
    >>> with mask_scope(1):
    ...     gate(tf.ones([1, 2])).numpy().tolist()
    [[0.0, 1.0]]

    Args:
      axis: see `Gate`.
      num_masks: K, at least 1. Defaults to 1.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: if `num_masks` is below 1; if the gate is used outside of a `mask_scope`.

    Reference:
      Super Tickets in Pre-Trained Language Models, arXiv 2105.12002: tickets
      of tasks that share a model.
    """

    def __init__(self, axis=-1, num_masks=1, **kwargs):
        super().__init__(axis=axis, **kwargs)
        if num_masks < 1:
            raise ValueError(f"Argument `num_masks` must be at least 1, received {num_masks}.")
        self.num_masks = num_masks

    def variable_shape(self, mask_shape):
        """Returns the shape of `values`: K masks.

        Args:
          mask_shape: tuple of ints.
        """
        return (self.num_masks, *mask_shape)

    def mask(self, training=None):
        """Returns the values of the chosen mask, cut to [0, 1]."""
        return tf.clip_by_value(self._chosen(), 0.0, 1.0)

    def keep(self):
        """Returns where the chosen mask is above 0."""
        return self._chosen() > 0

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_masks": self.num_masks}

    def _chosen(self):
        if _scope.current is None:
            raise ValueError(
                f"Gate {self.name!r} has {self.num_masks} masks and must be used inside of "
                "`gates.switched.mask_scope(index)`, received no index; where a model of several "
                "tasks is given, cut it to one of them first."
            )
        return tf.gather(self.values, _scope.current)
