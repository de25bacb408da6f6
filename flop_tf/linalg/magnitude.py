"""Magnitude pruning over all weights of a model at once: one ranking by `|w|`, masks by path.

The caller chooses the weights, a dict of arrays by path. The lottery takes the kernels and biases
of query, key, value, attention output and FFN in, and the kernel of FFN out. Masks are boolean,
True for what is kept.

Reference:
  When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import numpy as np

from flop_tf.linalg.top_k import top_k

# So many that where the ranking is cut, two weights hardly ever have the same.
_RANDOM_SCORES = 2**32


def survivor_counts(num_weights, amount=0.1, num_steps=9, of_total=False, min_survivors=0):
    """Returns how many weights survive each step, `n_k = n_{k-1} - round(amount * n_{k-1})`.

    Weights do not change between the steps, so the mask of a step is the one-shot mask that
    keeps its count. The default 9 steps keep .9^9 = 38.7 %, where the paper's program stops.

    Args:
      num_weights: n_0.
      amount: share that goes in one step, in (0, 1]: of the survivors, or with `of_total` of n_0.
      num_steps: steps at most.
      of_total: whether each step removes `round(amount * n_0)`. Defaults to False.
      min_survivors: a step that would keep fewer keeps these and is the last. Defaults to 0.

    Returns:
      A list of strictly falling ints; it is shorter than `num_steps` where the floor is reached
      or a step would remove nothing.

    Raises:
      ValueError: if the amount is out of range or there are fewer weights than must survive.
    """
    if not 0 < amount <= 1:
        raise ValueError(f"Argument `amount` must be in (0, 1], received {amount}.")
    if not 0 <= min_survivors <= num_weights:
        raise ValueError(
            f"Argument `min_survivors` must be in [0, {num_weights}], the number of weights, "
            f"received {min_survivors}."
        )
    counts, survivors = [], num_weights
    for _ in range(num_steps):
        removed = round(amount * (num_weights if of_total else survivors))
        smaller = max(min_survivors, survivors - removed)
        if smaller == survivors:
            break
        survivors = smaller
        counts.append(survivors)
    return counts


def good_masks(weights, num_kept):
    """Keeps the weights of largest magnitude; of equal ones at the boundary the last by position.

    Args:
      weights: dict of float arrays of any shape by path; its order is the order of positions.
      num_kept: weights to keep of all of them, exactly.

    Returns:
      A dict of boolean arrays by path, in the shapes of the weights.

    Raises:
      ValueError: if the count is out of range or a weight is NaN.
    """
    return _largest({path: np.abs(w) for path, w in weights.items()}, num_kept)


def bad_masks(weights, num_kept):
    """Keeps the weights of smallest magnitude.

    Args:
      weights: as for `good_masks`.
      num_kept: as for `good_masks`.

    Returns:
      A dict of boolean arrays by path, in the shapes of the weights.

    Raises:
      ValueError: if the count is out of range or a weight is NaN.
    """
    return _largest({path: -np.abs(w) for path, w in weights.items()}, num_kept)


def random_masks(weights, num_kept, rng):
    """Keeps exactly `num_kept` weights at random, all alike.

    Args:
      weights: as for `good_masks`.
      num_kept: as for `good_masks`.
      rng: a `np.random.Generator`.

    Returns:
      A dict of boolean arrays by path, in the shapes of the weights.

    Raises:
      ValueError: if the count is out of range.
    """
    scores = {
        path: rng.integers(_RANDOM_SCORES, size=np.shape(w), dtype=np.uint32)
        for path, w in weights.items()
    }
    return _largest(scores, num_kept)


def search(evaluate, weights, survivors, threshold=0.9, steps=()):
    """Prunes as far as `score >= threshold * score of the whole model`.

    Args:
      evaluate: function of masks, a dict as of `good_masks`, that returns the score, a float.
      weights: as for `good_masks`.
      survivors: of `survivor_counts`.
      threshold: in (0, 1]. Defaults to .9.
      steps: what this search yielded before it was stopped; it resumes after these.

    Yields:
      Each evaluation as a dict of plain data, the whole model first: `num_kept`, `score`,
      `passed`. The good masks are the masks of the last step that passed.

    Raises:
      ValueError: if the threshold is out of range or the score of the whole model is not above 0.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"Argument `threshold` must be in (0, 1], received {threshold}.")
    counts = [sum(np.size(w) for w in weights.values()), *survivors]
    steps = list(steps)
    while len(steps) < len(counts) and (not steps or steps[-1]["passed"]):
        num_kept = counts[len(steps)]
        score = float(evaluate(good_masks(weights, num_kept)))
        full_score = steps[0]["score"] if steps else score
        if not full_score > 0:
            raise ValueError(
                "The score of the whole model must be above 0 for a threshold that is a share of "
                f"it, received {full_score}."
            )
        steps.append(
            {"num_kept": num_kept, "score": score, "passed": score >= threshold * full_score}
        )
        yield steps[-1]


def _largest(scores, num_kept):
    """Returns the masks of the largest scores, a dict; checks the arguments."""
    size = sum(score.size for score in scores.values())
    if not 0 <= num_kept <= size:
        raise ValueError(
            f"Argument `num_kept` must be in [0, {size}], the number of weights, received "
            f"{num_kept}."
        )
    amount = sum(np.count_nonzero(np.isnan(score)) for score in scores.values())
    if amount:
        raise ValueError(
            f"Argument `weights` must be without NaN, received {amount} NaN of {size} weights."
        )
    return dict(zip(scores, top_k(list(scores.values()), num_kept), strict=True))
