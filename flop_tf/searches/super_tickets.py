"""Super tickets: masks of heads and FFN blocks, selected in one shot over levels of sparsity.

L layers, N heads. Masks are boolean, True for what is kept: heads `[L, N]`, blocks `[L]`.

Reference:
  Super Tickets in Pre-Trained Language Models: From Model Compression to Improving
  Generalization, arXiv 2105.12002.
"""

import numpy as np

from flop_tf.importance import scoring
from flop_tf.linalg.top_k import top_k

# The tickets of the paper go from (14, 1) to (115, 8) of 144 heads and 12 blocks and from (19, 1)
# to (153, 8) of 384 and 24: 5/6 as large a share of the blocks as of the heads.
_PERCENT_OF_ALL_BLOCKS = 120.0


def head_counts(percents, num_layers, num_heads, min_heads=1):
    """Returns how many heads to remove at each level, `n = floor(L N p / 100)`.

    The first level that asks for more than `N L - min_heads L` removes just these and is the
    last one; where the one before it removed as many, the two are equal.

    Args:
      percents: p of each level, ascending, in [0, 100].
      num_layers: L.
      num_heads: N, heads of a layer.
      min_heads: heads that each layer keeps. Defaults to 1.

    Returns:
      A list of ints, at most as many as `percents`.

    Raises:
      ValueError: if the percents are out of range or not ascending, or `min_heads` is not
        in [0, N].
    """
    _check_min_heads(min_heads, num_heads)
    _check_percents(percents)
    total, most = num_layers * num_heads, num_layers * (num_heads - min_heads)
    counts = [int(total * percent / 100) for percent in percents]
    within = [count for count in counts if count <= most]
    return within if len(within) == len(counts) else [*within, most]


def block_counts(percents, num_layers):
    """Returns how many blocks to remove next to the heads of each level, `k = floor(L p / 120)`.

    So are levels paired in the paper: 10 % of BERT-base's heads go with 1 of 12 blocks, 80 %
    with 8.

    Args:
      percents: p of each level of heads, ascending, in [0, 100].
      num_layers: L.

    Returns:
      A list of ints, as many as `percents`.

    Raises:
      ValueError: if the percents are out of range or not ascending.
    """
    _check_percents(percents)
    return [int(num_layers * percent / _PERCENT_OF_ALL_BLOCKS) for percent in percents]


def winning_mask(scores, num_removed, min_heads=0):
    """Removes the least important units; masks of rising `num_removed` are nested.

    Equal scores are taken by layer, then head. In each layer the `min_heads` most important
    heads stay.

    Args:
      scores: importances, array `[L, N]` or `[L]`.
      num_removed: units to remove, in [0, L (N - min_heads)].
      min_heads: heads that each layer keeps, 1 in the paper; only for scores `[L, N]`.
        Defaults to 0.

    Returns:
      A boolean array in the shape of the scores, True for what is kept.

    Raises:
      ValueError: if a score is not finite or a count is out of range.
    """
    scores = scoring.checked("scores", scores)
    check_num_removed(scores.shape, num_removed, min_heads)
    if min_heads:
        stays = np.stack([top_k([layer], min_heads)[0] for layer in scores])
        scores = np.where(stays, np.inf, scores)
    return top_k([scores], scores.size - num_removed)[0]


def check_num_removed(shape, num_removed, min_heads=0, name="num_removed"):
    """Raises ValueError where not so many units can go; see `winning_mask`.

    Args:
      shape: of the scores, `(L, N)` or `(L,)`.
      num_removed: as for `winning_mask`.
      min_heads: as for `winning_mask`.
      name: of the argument, for the error.
    """
    if min_heads and len(shape) != 2:
        raise ValueError(
            f"Argument `min_heads` must be 0 for scores that are not of shape [L, N], received "
            f"{min_heads} for shape {shape}."
        )
    if min_heads:
        _check_min_heads(min_heads, shape[1])
    most = int(np.prod(shape)) - min_heads * shape[0]
    if not 0 <= num_removed <= most:
        raise ValueError(
            f"Argument `{name}` must be in [0, {most}] for scores of shape {shape} of which each "
            f"layer keeps {min_heads}, received {num_removed}."
        )


def losing_mask(scores, num_removed, min_heads=0):
    """Removes the most important units; in each layer the `min_heads` least important stay.

    Args:
      scores: importances, array `[L, N]` or `[L]`.
      num_removed: as for `winning_mask`.
      min_heads: as for `winning_mask`.

    Returns:
      A boolean array in the shape of the scores, True for what is kept.

    Raises:
      ValueError: if a score is not finite or a count is out of range.
    """
    return winning_mask(-scoring.checked("scores", scores), num_removed, min_heads)


def random_mask(shape, num_removed, rng, min_heads=0):
    """Removes exactly `num_removed` units at random, all alike; the ticket of random scores.

    The paper's program draws with replacement and so removes fewer than its option names.

    Args:
      shape: `(L, N)` or `(L,)`.
      num_removed: as for `winning_mask`.
      rng: a `np.random.Generator`.
      min_heads: heads that each layer keeps. Defaults to 0.

    Returns:
      A boolean array of that shape, True for what is kept.

    Raises:
      ValueError: if a count is out of range.
    """
    return winning_mask(rng.random(shape), num_removed, min_heads)


def random_mask_by_layer(mask, rng):
    """Removes as many heads at random in each layer as `mask` does.

    Args:
      mask: boolean array `[L, N]`; of blocks `[L]` the total is kept.
      rng: a `np.random.Generator`.

    Returns:
      A boolean array in the shape of the mask, True for what is kept.
    """
    return rng.permuted(np.asarray(mask, bool), axis=-1)


def stack_masks(masks, tasks):
    """Stacks the masks of tasks that share an encoder, so that a task's index finds its own.

    Args:
      masks: dict of each task's boolean mask, all of one shape; a task that prunes nothing has
        a mask that is True everywhere.
      tasks: names in the order of training.

    Returns:
      A boolean array `[tasks, ...]`.

    Raises:
      ValueError: if there is no task, a task has no mask or the shapes differ.
    """
    missing = [task for task in tasks if task not in masks]
    if missing or not tasks:
        raise ValueError(
            f"Argument `masks` must have a mask for each of at least one task, received masks of "
            f"{sorted(masks)} for the tasks {list(tasks)}."
        )
    shapes = sorted({np.shape(masks[task]) for task in tasks})
    if len(shapes) > 1:
        raise ValueError(f"Argument `masks` must have masks of one shape, received {shapes}.")
    return np.stack([np.asarray(masks[task], bool) for task in tasks])


def mean_num_removed(masks):
    """Returns how many units tasks remove on average, rounded down, the size of shared tickets.

    Args:
      masks: dict of each task's boolean mask.

    Raises:
      ValueError: if there is no task or the shapes differ.
    """
    stacked = stack_masks(masks, list(masks))
    return int(np.count_nonzero(~stacked)) // len(stacked)


def _check_min_heads(min_heads, num_heads):
    if not 0 <= min_heads <= num_heads:
        raise ValueError(
            f"Argument `min_heads` must be in [0, {num_heads}], the heads of a layer, received "
            f"{min_heads}."
        )


def _check_percents(percents):
    bounded = [0, *percents, 100]
    if not all(low <= high for low, high in zip(bounded[:-1], bounded[1:], strict=True)):
        raise ValueError(
            f"Argument `percents` must ascend within [0, 100], received {list(percents)}."
        )
