"""Importance scores of heads `[L, N]` and FFN blocks `[L]`: their mean over batches, their scale.

L layers, N heads. The functions may follow one another: the lottery normalizes heads by layer,
then over the model.
"""

import numpy as np

# Keeps a layer whose scores are all 0 at 0.
_TINY_NORM = 1e-20


def mean_importance(batch_scores, sizes=None, accumulate=False):
    """Returns the mean absolute score over batches, `I = 1/T sum_t |s_t|`.

    With sizes B_t it is `sum_t B_t |s_t| / sum_t B_t`, which for scores of single tokens or
    examples does not depend on how the examples lie in batches.

    With `accumulate` it is `1/T sum_t |sum_{j<=t} s_j|`, what the programs of both papers compute:
    they never clear the gradients, so early batches count most and the order of batches matters.
    The lottery leaves out 1/T, which changes neither the ranking nor normalized scores.

    Args:
      batch_scores: s, array `[T, ...]`: a score for each of T batches, signed where it is the
        gradient of a whole batch.
      sizes: B, the examples of each batch; None counts all batches alike. `accumulate` does so
        in any case.
      accumulate: whether to repeat the papers' programs. Defaults to False.

    Returns:
      A float64 array `[...]`.

    Raises:
      ValueError: if there is no batch or a score is not finite.

    Reference:
      Super Tickets in Pre-Trained Language Models, arXiv 2105.12002; When BERT Plays the Lottery,
      All Tickets Are Winning, arXiv 2005.00561.
    """
    scores = checked("batch_scores", batch_scores)
    if scores.ndim == 0 or not len(scores):
        raise ValueError(
            "Argument `batch_scores` must have at least one batch along its first axis, received "
            f"shape {scores.shape}."
        )
    if accumulate:
        return np.abs(np.cumsum(scores, axis=0)).mean(axis=0)
    return np.average(np.abs(scores), axis=0, weights=sizes)


def normalize_by_layer(scores):
    """Divides each layer by its L2 norm: `I_lh / (sqrt(sum_h I_lh^2) + 1e-20)`.

    Block scores `[L]` are divided by the norm of all of them, which keeps their ranking.

    Args:
      scores: I, array `[L, N]` or `[L]`.

    Returns:
      A float64 array of the same shape.

    Raises:
      ValueError: if a score is not finite.
    """
    scores = checked("scores", scores)
    return scores / (np.sqrt(np.square(scores).sum(axis=-1, keepdims=True)) + _TINY_NORM)


def normalize_globally(scores):
    """Maps scores to [0, 1]: `(I - min I) / (max I - min I)`; where all are equal, to 0.

    Args:
      scores: I, array `[L, N]` or `[L]`.

    Returns:
      A float64 array of the same shape.

    Raises:
      ValueError: if a score is not finite.
    """
    scores = checked("scores", scores)
    if not scores.size:
        return scores
    spread = scores.max() - scores.min()
    return (scores - scores.min()) / (spread if spread else 1.0)


def checked(name, scores):
    """Returns scores as a float64 array.

    Args:
      name: of the argument, for the error.
      scores: anything that is an array of numbers.

    Raises:
      ValueError: if a score is not finite.
    """
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        amount = np.count_nonzero(~np.isfinite(scores))
        raise ValueError(
            f"Argument `{name}` must be finite, received {amount} NaN or infinite values of "
            f"{scores.size}."
        )
    return scores
