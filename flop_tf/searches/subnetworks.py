"""Subnetworks to compare a found one with: bad, random, inverted, and shared by seeds.

Masks are boolean arrays of any shape, heads `[L, N]` or FFN blocks `[L]`, True for what is
kept; heads and blocks are drawn apart. M units, G of them kept by the good subnetwork.

Reference:
  When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import numpy as np


def random_subnetwork(good, rng):
    """Keeps as many units as `good`, all drawn alike.

    The paper's program keeps each with probability G / M, so its size varies.

    Args:
      good: boolean array.
      rng: a `np.random.Generator`.

    Returns:
      A boolean array in the shape of `good`.
    """
    return rng.permuted(np.asarray(good, bool))


def bad_subnetwork(good, rng):
    """Keeps as many units as `good`, of the units that it removes as long as there are any.

    Where G > M - G, the other 2 G - M are random ones of `good`.

    Args:
      good: boolean array.
      rng: a `np.random.Generator`.

    Returns:
      A boolean array in the shape of `good`.
    """
    good = np.asarray(good, bool)
    return _draw(np.count_nonzero(good), good, rng)


def inverted_subnetwork(mask):
    """Keeps what `mask` removes; a layer may be left without heads.

    Args:
      mask: boolean array.

    Returns:
      A boolean array in the shape of `mask`.
    """
    return ~np.asarray(mask, bool)


def super_good(masks):
    """Keeps what the masks of all seeds keep.

    Args:
      masks: boolean arrays of one shape, one for each seed.

    Returns:
      A boolean array of that shape.

    Raises:
      ValueError: if there is no mask or the shapes differ.
    """
    return np.all(_stacked(masks), axis=0)


def super_bad(masks, rng):
    """Keeps units that the masks of all seeds remove, as many as `super_good` keeps.

    Too many are thinned out at random; too few are filled up with random units that neither
    all masks keep nor all remove, then with any.

    Args:
      masks: boolean arrays of one shape, one for each seed.
      rng: a `np.random.Generator`.

    Returns:
      A boolean array of that shape.

    Raises:
      ValueError: if there is no mask or the shapes differ.
    """
    stacked = _stacked(masks)
    good, removed_by_all = stacked.all(axis=0), ~stacked.any(axis=0)
    choice = np.where(removed_by_all, 0, np.where(good, 2, 1))
    return _draw(np.count_nonzero(good), choice, rng)


def super_random(good, bad, rng):
    """Keeps units of neither `good` nor `bad`, as many as `good`; with too few of them also any.

    Args:
      good: what `super_good` returns.
      bad: what `super_bad` returns.
      rng: a `np.random.Generator`; the paper draws anew for each seed.

    Returns:
      A boolean array in the shape of `good`.
    """
    good = np.asarray(good, bool)
    return _draw(np.count_nonzero(good), good | np.asarray(bad, bool), rng)


def _draw(size, choice, rng):
    """Keeps `size` random units, of the lowest `choice` first."""
    order = np.lexsort((rng.random(choice.size), choice.ravel()))
    mask = np.zeros(choice.size, bool)
    mask[order[:size]] = True
    return mask.reshape(choice.shape)


def _stacked(masks):
    shapes = sorted({np.shape(mask) for mask in masks})
    if len(shapes) != 1:
        raise ValueError(
            f"Argument `masks` must have at least one mask, all of one shape, received {shapes}."
        )
    return np.stack([np.asarray(mask, bool) for mask in masks])
