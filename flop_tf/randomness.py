"""Random numbers that belong to a training step.

Inside `step_scope(seed, step)` every draw is a pure function of the run's seed,
the layer's seed and the step: all replicas of a step and all parts of its batch
share one gate draw, and a run that was stopped and resumed repeats the draws of an
unbroken one. Outside such a scope draws are TensorFlow's ordinary stateful ones.
"""

import zlib

import tensorflow as tf

from flop_tf.scopes import Scope

_scope = Scope()

# Keep the draws of replicas and parts apart: large primes, whose sums with a layer's seed differ.
_REPLICA_STRIDE = 15_485_863
_PART_STRIDE = 67_867_967


def step_scope(seed, step, part=0):
    """Ties the random draws made inside of a `with` block to a step.

    Args:
      seed: int, the run's seed.
      step: int or integer scalar tensor, the optimizer step.
      part: int or integer scalar tensor, which part of the batch it is, where
        gradients of several parts make one step.
    """
    return _scope((seed, step, part))


def step_seed(layer_seed):
    """Returns the `[2]` int64 seed of this layer's draw at this step, or None outside a scope.

    It is the same for all examples of the step, as a gate's must be.

    Args:
      layer_seed: int, of `layer_seed`.
    """
    if _scope.current is None:
        return None
    seed, step, _ = _scope.current
    return tf.stack([tf.constant((seed << 32) + layer_seed, tf.int64), tf.cast(step, tf.int64)])


def examples_seed(layer_seed):
    """Returns a seed as `step_seed`, but another one for each replica and each part of the batch.

    Dropout needs it: these hold other examples.

    Args:
      layer_seed: int, of `layer_seed`.
    """
    seed = step_seed(layer_seed)
    if seed is None:
        return None
    *_, part = _scope.current
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else context.replica_id_in_sync_group
    offset = tf.cast(replica, tf.int64) * _REPLICA_STRIDE + tf.cast(part, tf.int64) * _PART_STRIDE
    return seed + tf.stack([offset, tf.constant(0, tf.int64)])


def uniform(shape, seed, low=0.0, high=1.0):
    """Returns noise for the gates of a layer at this step; outside a scope TensorFlow's own.

    Args:
      shape: list of ints or integer tensor `[rank]`.
      seed: int, of `layer_seed`.
      low: float, the least value. Defaults to 0.
      high: float, above all values. Defaults to 1.

    Returns:
      A float32 tensor of that shape.
    """
    of_step = step_seed(seed)
    if of_step is None:
        return tf.random.uniform(shape, low, high, seed=seed)
    return tf.random.stateless_uniform(shape, of_step, low, high)


def layer_seed(seed, name):
    """Returns `seed`, or where it is None a 31-bit number made from the layer's name.

    Args:
      seed: int or None.
      name: text, of the layer.
    """
    return seed if seed is not None else zlib.crc32(name.encode()) & 0x7FFFFFFF
