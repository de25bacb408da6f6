"""How many weights a mask closes and which, by trained scores.

S scores, W weights, t threshold, n weights of a matrix, k zeros of it, s = k / n its sparsity.

Reference:
  Learning to Win Lottery Tickets in BERT Transfer via Task-agnostic Mask Training, NAACL 2022.
"""

import numpy as np

from flop_tf.linalg.top_k import kth_smallest, share_of, top_k


def num_zeros(size, sparsity):
    """Returns `k = floor(n s)`, the zeros of a trained mask over n weights.

    Args:
      size: n, int.
      sparsity: s, float in [0, 1).
    """
    return share_of(size, sparsity)


def num_pruned(size, sparsity):
    """Returns `round(n s)`, halves to even: the zeros of a one-shot mask over n weights.

    Args:
      size: n, int.
      sparsity: s, float in [0, 1).
    """
    return share_of(size, sparsity, round)


def threshold(scores, sparsity):
    """Returns the t for which `S > t` closes k scores, or as near to that as ties allow.

    It is the k-th smallest score, which closes all scores that are equal to it. Where that is
    further from k than closing none of them, it is the next smaller score. Scores of words that
    no text has shown stay where they started, thousands of them, so this is no rare case.

    Args:
      scores: S, a float32 array.
      sparsity: s in [0, 1).

    Returns:
      A float32; `-inf` where nothing is closed.
    """
    k = num_zeros(scores.size, sparsity)
    found = kth_smallest(scores, k)
    below = scores < found
    num_below = np.count_nonzero(below)
    num_closed = np.count_nonzero(scores <= found)
    if num_closed - k <= k - num_below:
        return np.float32(found)
    return np.float32(scores[below].max()) if num_below else np.float32(-np.inf)


def project(scores, weights, sparsity):
    """Returns the mask that closes the k weights of lowest score, of equal ones the smallest.

    Args:
      scores: S, an array.
      weights: W, of the same shape.
      sparsity: s in [0, 1).

    Returns:
      A boolean array, True for what is kept.

    Raises:
      ValueError: if a score is NaN.
    """
    if num_nan := np.count_nonzero(np.isnan(scores)):
        raise ValueError(
            f"Argument `scores` must be without NaN, received {num_nan} NaN of {scores.size}; the "
            "training has diverged, take lower rates."
        )
    k = num_zeros(scores.size, sparsity)
    cut = kth_smallest(scores, k)
    kept = np.array(scores > cut)
    equal = np.flatnonzero(scores == cut)
    num_kept = kept.size - k - np.count_nonzero(kept)
    (chosen,) = top_k([np.abs(weights.ravel()[equal])], num_kept)
    kept.flat[equal[chosen]] = True
    return kept


def cubic_sparsity(start, end, progress):
    """Returns `end + (start - end) (1 - p)^3`, the sparsity at a share p of the ramp.

    Args:
      start: float, the sparsity at the start of the ramp.
      end: float, the sparsity at its end.
      progress: p, float; below 0 it counts as 0 and above 1 as 1.
    """
    return end + (start - end) * (1.0 - min(1.0, max(0.0, progress))) ** 3


def zero_rate(masks):
    """Returns the share of zeros in masks by name, over all of them together.

    Args:
      masks: dict of boolean arrays.

    Returns:
      A float in [0, 1].
    """
    return 1.0 - sum(map(np.count_nonzero, masks.values())) / sum(map(np.size, masks.values()))


def check_sparsity(sparsity):
    """Raises ValueError if a sparsity is not in [0, 1).

    Args:
      sparsity: any number.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"Argument `sparsity` must be in [0, 1), received {sparsity}.")
