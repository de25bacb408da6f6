"""The target sparsity over steps."""

import tensorflow as tf


def sparsity_ramp(step, start, target, warmup_steps):
    """Returns the target sparsity at `step`.

    `start + (target - start) * min(1, step / warmup)`. A model at full rank has
    more parameters in its factors than in its kernels, so `start` may be negative.

    Args:
      step: number of updates so far, an integer or scalar tensor.
      start: the model's own expected sparsity at step 0.
      target: the sparsity to reach.
      warmup_steps: steps of the ramp; with 0 the target holds at once.
    """
    progress = tf.minimum(1.0, tf.cast(step, tf.float32) / max(1, warmup_steps))
    if warmup_steps == 0:
        progress = 1.0
    return start + (target - start) * progress
