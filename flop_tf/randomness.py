"""Random numbers that belong to a training step.

Inside `step_scope(seed, step)` every draw is a pure function of the run's seed,
the layer's seed and the step: all replicas of a step share one gate draw, and a
run that was stopped and goes on repeats the draws of an unbroken one. Outside
such a scope draws are TensorFlow's ordinary stateful ones.
"""

import contextlib
import threading
import zlib

import tensorflow as tf

_scopes = threading.local()


@contextlib.contextmanager
def step_scope(seed, step):
    """Ties the random draws made inside to a step.

    Args:
      seed: int, the run's seed.
      step: int or integer scalar tensor, the optimizer step.
    """
    previous = getattr(_scopes, "current", None)
    _scopes.current = (seed, step)
    try:
        yield
    finally:
        _scopes.current = previous


def step_seed(layer_seed):
    """Returns the `[2]` int64 seed of this layer's draw at this step, or None outside a scope."""
    scope = getattr(_scopes, "current", None)
    if scope is None:
        return None
    seed, step = scope
    return tf.stack([tf.constant((seed << 32) + layer_seed, tf.int64), tf.cast(step, tf.int64)])


def layer_seed(seed, name):
    """Returns `seed`, or where it is None a 31-bit number made from the layer's name."""
    return seed if seed is not None else zlib.crc32(name.encode()) & 0x7FFFFFFF
