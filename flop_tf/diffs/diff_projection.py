"""Projection of a difference to the entries of largest magnitude, exactly as many as the target.

Diff Pruning, arXiv 2012.07463, section 3.3. The released code bisects a threshold between 0 and 1
by steps of 1e-6; this one takes exactly the largest, of equal ones the first.
"""

import numpy as np

from flop_tf.linalg.top_k import share_of, top_k

_SAMPLED = 64


def largest(differences, num_entries):
    """Returns where the entries of largest magnitude are.

    Args:
      differences: dict of arrays by name; entries of 0 are never taken.
      num_entries: k, how many to take at most; of equal magnitudes the first, in the
        order of the dict and of the flat arrays, C order.

    Returns:
      Dict of ascending flat positions, int64 `[K]`, by name; names without any are there too.

    Raises:
      ValueError: if an entry is no number or `num_entries` is below 0.
    """
    if num_entries < 0:
        raise ValueError(f"Argument `num_entries` must be at least 0, received {num_entries}.")
    names = list(differences)
    sizes = [np.size(differences[name]) for name in names]
    magnitudes = np.empty(sum(sizes), np.float32)
    ends = np.cumsum(sizes)
    for name, size, end in zip(names, sizes, ends, strict=True):
        np.abs(np.reshape(differences[name], -1), out=magnitudes[end - size : end])
    if np.isnan(magnitudes.max(initial=0)):
        raise ValueError("Argument `differences` must have numbers, received NaN among them.")
    found = _candidates(magnitudes, num_entries)
    if num_entries < len(found):
        found = found[top_k([magnitudes[found]], num_entries, ties="first")[0]]
    starts = dict(zip(names, ends - sizes, strict=True))
    parts = np.split(found, np.searchsorted(found, ends[:-1]))
    return {
        name: part.astype(np.int64) - starts[name] for name, part in zip(names, parts, strict=True)
    }


def budget(target_density, num_parameters):
    """Returns `floor(target_density * num_parameters)`, how many entries a difference may have.

    Args:
      target_density: float in (0, 1].
      num_parameters: int.

    Raises:
      ValueError: if the density is not in (0, 1].
    """
    if not 0 < target_density <= 1:
        raise ValueError(f"Argument `target_density` must be in (0, 1], received {target_density}.")
    return share_of(num_parameters, target_density)


def _candidates(magnitudes, number):
    """Returns ascending positions with the `number` largest among them, of all that are not 0.

    Of many entries every 64th bounds which are surely too small, so that few are sorted.
    """
    sample = magnitudes[::_SAMPLED]
    rank = 2 * number // _SAMPLED + _SAMPLED
    if rank < len(sample):
        bound = np.partition(sample, len(sample) - rank)[len(sample) - rank]
        found = np.flatnonzero(magnitudes >= bound)
        if bound > 0 and len(found) >= number:
            return found
    return np.flatnonzero(magnitudes)
