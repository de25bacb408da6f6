"""Subnetworks to compare a found one with: bad, random, inverted, and those that seeds share.

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
    """Keeps as many units as `good`, of those that it removes as long as there are any.

    Where G > M - G, the other 2 G - M are random ones of `good`.

    Args:
      good: boolean array.
      rng: a `np.random.Generator`.

    Returns:
      A boolean array in the shape of `good`.
    """
    good = np.asarray(good, bool)
    return _draw(np.count_nonzero(good), good, rng)


def inverted_subnetwork(mask, rng=None, min_heads=0):
    """Keeps what `mask` removes.

    Args:
      mask: boolean array.
      rng: a `np.random.Generator`, needed with `min_heads`.
      min_heads: heads `[L, N]` that each layer keeps; a layer left with fewer gets random ones
        back, 1 where the paper retrains. Defaults to 0.

    Returns:
      A boolean array in the shape of `mask`.

    Raises:
      ValueError: if a layer does not have so many heads or there is no `rng` to draw them.
    """
    inverted = ~np.asarray(mask, bool)
    if not min_heads:
        return inverted
    if inverted.ndim != 2 or not 0 <= min_heads <= inverted.shape[1] or rng is None:
        raise ValueError(
            "Argument `min_heads` must be 0, or at most the heads of a layer of a mask [L, N] with "
            f"`rng` to draw them, received {min_heads} for shape {inverted.shape} and rng {rng}."
        )
    return np.stack([_draw(max(min_heads, np.count_nonzero(row)), ~row, rng) for row in inverted])


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
    """Keeps `size` random units, those of the lowest `choice` first."""
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
