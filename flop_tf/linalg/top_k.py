"""The k largest of many numbers and which of equal ones: the one rule of all that prunes."""

import fractions
import math

import numpy as np

#: Which of equal numbers at the boundary are kept, by their position.
TIES = ("last", "first")


def top_k(scores, num_kept, ties="last"):
    """Finds the largest numbers of several arrays together, exactly so many.

    Pruning removes the first of equal numbers, so that "last" are kept. A difference keeps the
    "first", as its specification says.

    Args:
      scores: list of arrays of any shapes, without NaN; positions count through all of them.
      num_kept: k, int from 0 to the number of all entries.
      ties: one of `TIES`. Defaults to "last".

    Returns:
      A list of boolean arrays in the shapes of the scores, True for the k largest.
    """
    flat = np.concatenate([np.ravel(score) for score in scores] or [np.zeros(0)])
    num_removed = flat.size - num_kept
    if not num_removed:
        return [np.ones(np.shape(score), bool) for score in scores]
    flat.partition(num_removed - 1)
    boundary = flat[num_removed - 1]
    del flat
    kept = [np.asarray(score > boundary) for score in scores]
    equal = [np.flatnonzero(score == boundary) for score in scores]
    # How many of the equal ones to pass over, from the front or after the kept ones.
    wanted = num_kept - sum(map(np.count_nonzero, kept))
    start = sum(map(len, equal)) - wanted if ties == "last" else 0
    for mask, places in zip(kept, equal, strict=True):
        mask.flat[places[max(0, start) : max(0, start + wanted)]] = True
        start -= len(places)
    return kept


def kth_smallest(scores, k):
    """Returns the k-th smallest number of an array, `-inf` for k = 0.

    Args:
      scores: array of any shape.
      k: int from 0 to the number of entries.
    """
    if not k:
        return -np.inf
    return np.partition(scores, k - 1, axis=None)[k - 1]


def share_of(number, share, rounding=math.floor):
    """Returns a share of a number of things, `n s`, computed exactly and rounded once.

    Args:
      number: n, int at least 0.
      share: s, float in [0, 1], taken as the decimal number that it is written as: .29 of 100 is
        29, though `.29 * 100` is less in floating point.
      rounding: `math.floor`, or `round` for the nearest, halves to even. Defaults to the first.

    Returns:
      The rounded share, an int.
    """
    return rounding(number * fractions.Fraction(str(share)))
