"""How alike masks are: overlap of what they keep, over all weights or matrix by matrix.

A and B are masks of one model, boolean arrays by name, True for what is kept.
"""

import numpy as np


def jaccard(one, other):
    """Returns `|A and B| / |A or B|` of two boolean arrays; 1 where neither keeps anything.

    Args:
      one: boolean array.
      other: boolean array of its shape.

    Returns:
      A float in [0, 1].
    """
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def hamming(one, other):
    """Returns the share of places at which two boolean arrays differ.

    Args:
      one: boolean array.
      other: boolean array of its shape.

    Returns:
      A float in [0, 1].
    """
    return np.count_nonzero(one != other) / one.size


def similarity(one, other):
    """Compares two masks.

    Args:
      one: dict of boolean arrays by name.
      other: the same names and shapes.

    Returns:
      A dict of floats: `macro_jaccard`, the mean over arrays of `jaccard`, each with the same
      weight, as published; `pooled_jaccard` over all places together; `hamming` over all places.

    Raises:
      ValueError: if the masks have other names or shapes.
    """
    check_alike(one, other)
    both = sum(np.count_nonzero(one[name] & other[name]) for name in one)
    either = sum(np.count_nonzero(one[name] | other[name]) for name in one)
    differing = sum(np.count_nonzero(one[name] != other[name]) for name in one)
    return {
        "macro_jaccard": float(np.mean([jaccard(one[name], other[name]) for name in one])),
        "pooled_jaccard": both / either if either else 1.0,
        "hamming": differing / sum(mask.size for mask in one.values()),
    }


def check_alike(one, other):
    """Raises ValueError where two masks have other names or shapes.

    Args:
      one: dict of boolean arrays by name.
      other: dict of boolean arrays by name.
    """
    shapes, others = ({name: mask.shape for name, mask in each.items()} for each in (one, other))
    if shapes != others:
        name = min(n for n in shapes.keys() | others.keys() if shapes.get(n) != others.get(n))
        raise ValueError(
            "The masks must have the same names and shapes, received "
            f"{shapes.get(name, 'no mask')} and {others.get(name, 'no mask')} for {name!r}; "
            "compare masks over the same weights of one model."
        )
