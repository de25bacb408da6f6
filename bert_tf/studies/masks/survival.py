"""Which components survive: over tasks, and in two tasks at once, as mean over seeds.

S seeds, K tasks. A deviation is of a sample (n - 1); with one seed it is None.
"""

import numpy as np

from bert_tf import ranges

#: Components count as stable over tasks above this share of them: 5 of the 9 tasks of GLUE.
STABLE_SHARE = 5 / 9


def mean_and_deviation(values):
    """Returns the mean over the first axis and the sample deviation, None for one entry.

    Args:
      values: numbers `[S, ...]`.

    Returns:
      Two float64 arrays `[...]`, the second one None where S is 1.

    Raises:
      ValueError: if there is no entry.
    """
    values = np.asarray(values, np.float64)
    if not values.ndim or not len(values):
        raise ValueError(
            f"Argument `values` must have at least one entry, received shape {values.shape}."
        )
    return values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else None


def survival(masks):
    """Returns in how many tasks each component survives, as mean and deviation over seeds.

    Args:
      masks: bool `[K, S, ...]`, true where kept.

    Returns:
      Two float64 arrays `[...]`, the second one None where S is 1.

    Raises:
      ValueError: if there is no task or no seed.
    """
    return mean_and_deviation(_checked(masks).sum(axis=0))


def stable_over_tasks(masks, share=STABLE_SHARE):
    """Returns the components that survive in more than a share of the tasks, on average.

    Args:
      masks: bool `[K, S, ...]`, true where kept.
      share: in [0, 1]; the default means more than 5 of 9 tasks.

    Returns:
      The components, bool `[...]`.

    Raises:
      ValueError: if there is no task or no seed, or the share is out of range.
    """
    ranges.check("Argument `share`", share, float, ranges.SHARE)
    masks = _checked(masks)
    # In whole numbers, as far as they go: the mean of counts may miss 5 by a rounding.
    kept = masks.sum(axis=(0, 1))
    return kept > round(share * masks.shape[0] * masks.shape[1], 9)


def task_overlap(masks):
    """Returns how many components two tasks share, as mean and deviation over seeds.

    `count(m_1 and m_2)` of the masks of one seed; on the diagonal the number that a task keeps.

    Args:
      masks: bool `[K, S, n]`, true where kept.

    Returns:
      Two float64 arrays `[K, K]`, the second one None where S is 1.

    Raises:
      ValueError: if there is no task or no seed.
    """
    masks = _checked(masks)
    kept = masks.reshape([*masks.shape[:2], -1]).astype(np.int64)
    return mean_and_deviation(np.einsum("isn,jsn->sij", kept, kept))


def _checked(masks):
    masks = np.asarray(masks)
    if masks.dtype != bool or masks.ndim < 3 or not masks.size:
        raise ValueError(
            "Argument `masks` must be bool [tasks, seeds, ...], none of them empty, received "
            f"{masks.dtype} {list(masks.shape)}."
        )
    return masks
