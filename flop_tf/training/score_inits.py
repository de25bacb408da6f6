"""How trained scores start, so that a threshold t closes a share s of them.

S scores, W weights, t threshold, k zeros of a matrix, see `flop_tf.training.mask_rules`.

Reference:
  Learning to Win Lottery Tickets in BERT Transfer via Task-agnostic Mask Training, NAACL 2022.
"""

import math

import numpy as np

from flop_tf.linalg.top_k import kth_smallest
from flop_tf.training.mask_rules import num_zeros

#: Threshold of the first steps: a kept weight starts at twice of it, a dropped one at 0.
THRESHOLD = 0.01

#: How far random scores reach below 0.
INIT_SCALE = 0.02


def magnitude_scores(weights, sparsity, rng=None):
    """Returns `2 t` where `|W|` is above its k-th smallest value, else 0.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: ignored.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    size, cut = _sizes_and_cut(weights, sparsity)
    return np.where(size > cut, np.float32(2 * THRESHOLD), np.float32(0))


def proportional_scores(weights, sparsity, rng=None):
    """Returns `t |W| / c`, c the k-th smallest `|W|`: weights near the cut change sides first.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: ignored.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    size, cut = _sizes_and_cut(weights, sparsity)
    if not cut > 0:  # Nothing is dropped, or zeros alone.
        return magnitude_scores(weights, sparsity)
    return np.float32(THRESHOLD) * (size / cut).astype(np.float32)


def uniform_scores(weights, sparsity, rng):
    """Returns 0 at exactly k places, drawn without replacement, and `2 t` elsewhere.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: a `np.random.Generator`.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    scores = np.full(weights.size, 2 * THRESHOLD, np.float32)
    scores[rng.choice(weights.size, num_zeros(weights.size, sparsity), replace=False)] = 0
    return scores.reshape(weights.shape)


def double_uniform_scores(weights, sparsity, rng):
    """Returns U(.5 t, .9 t) at k places drawn with replacement, else U(1.1 t, 1.5 t).

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: a `np.random.Generator`.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    dropped = np.zeros(weights.size, bool)
    dropped[rng.integers(weights.size, size=num_zeros(weights.size, sparsity))] = True
    low, high = np.where(dropped, 0.5, 1.1), np.where(dropped, 0.9, 1.5)
    scores = THRESHOLD * rng.uniform(low, high)
    return scores.astype(np.float32).reshape(weights.shape)


def random_scores(weights, sparsity, rng):
    """Returns `U(-a, (a + t) / s - a)`: each score is at most t with probability s.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: a `np.random.Generator`.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    if not sparsity:
        return np.full(weights.shape, 2 * THRESHOLD, np.float32)
    scores = rng.uniform(-INIT_SCALE, random_scores_upper(sparsity), weights.shape)
    return scores.astype(np.float32)


def random_scores_upper(sparsity):
    """Returns `(a + t) / s - a`, the upper limit of random scores for s above 0.

    Args:
      sparsity: s, float in (0, 1).
    """
    return (INIT_SCALE + THRESHOLD) / sparsity - INIT_SCALE


def equal_scores(weights, sparsity, rng=None):
    """Returns `logit(1 - s)` everywhere: a Bernoulli draw closes a share s on average.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: ignored.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    return np.full(weights.shape, initial_logit(sparsity), np.float32)


def initial_logit(sparsity):
    """Returns `log((1 - s) / s)`, at most 20, where s is 0.

    Args:
      sparsity: s, float in [0, 1).
    """
    return min(20.0, math.log((1 - sparsity) / sparsity)) if sparsity else 20.0


def _sizes_and_cut(weights, sparsity):
    """Returns `|W|` and its k-th smallest value."""
    size = np.abs(weights)
    return size, kth_smallest(size, num_zeros(size.size, sparsity))


#: Ways to start the scores by name: functions of weights, sparsity and a NumPy generator.
INITS = {
    "magnitude": magnitude_scores,
    "proportional": proportional_scores,
    "uniform": uniform_scores,
    "double_uniform": double_uniform_scores,
    "random": random_scores,
    "equal": equal_scores,
}
