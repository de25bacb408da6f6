"""The lottery's search: removes heads and FFN blocks step by step while the score stays high.

L layers, N heads. Masks are boolean, True for what is kept: heads `[L, N]`, blocks `[L]`.

Reference:
  When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

from typing import NamedTuple

import numpy as np

from flop_tf.importance import scoring
from flop_tf.linalg.top_k import top_k


class Units(NamedTuple):
    """An array for the heads `[L, N]` and one for the blocks `[L]`: masks or importances.

    >>> whole = Units(heads=np.ones([2, 4], bool), blocks=np.ones(2, bool))
    >>> whole.heads.size, whole.blocks.size
    (8, 2)
    """

    heads: np.ndarray
    blocks: np.ndarray


class Phase(NamedTuple):
    """How many heads and blocks one step of the search removes.

    >>> joint_phases(num_heads=144)
    [Phase(heads=14, blocks=1), Phase(heads=7, blocks=0), Phase(heads=0, blocks=1)]
    """

    heads: int
    blocks: int


def heads_phases(num_heads, amount=0.1):
    """Returns the phases of a search for heads: `n = max(1, floor(amount num_heads))` a step.

    Args:
      num_heads: L N, heads of the model.
      amount: share of them that goes in one step, in (0, 1]. Defaults to .1.

    Raises:
      ValueError: if the amount is out of range.
    """
    if not 0 < amount <= 1:
        raise ValueError(f"Argument `amount` must be in (0, 1], received {amount}.")
    return [Phase(max(1, int(amount * num_heads)), 0)]


def blocks_phases():
    """Returns the phases of a search for blocks, one a step."""
    return [Phase(0, 1)]


def joint_phases(num_heads, amount=0.1):
    """Returns the phases of a joint search: n heads and a block a step, n/2 heads, one block.

    Args:
      num_heads: L N, heads of the model.
      amount: as for `heads_phases`.

    Raises:
      ValueError: if the amount is out of range.
    """
    (first,) = heads_phases(num_heads, amount)
    return [Phase(first.heads, 1), Phase(max(1, first.heads // 2), 0), Phase(0, 1)]


def search(evaluate, importance, shape, phases, threshold=0.9, steps=()):
    """Removes the least important units while `score >= threshold * score of the whole model`.

    A phase starts from the last masks that passed and ends when masks fail or there is nothing
    left of what it removes; so the search may end without heads and blocks. Importances are
    always those under the masks that passed last, also where a phase starts; the paper's program
    takes those under the masks that failed.

    Args:
      evaluate: function of masks, `Units`, that returns the score, a float.
      importance: function of masks that returns importances, `Units`; values of removed units are
        ignored, of a kind that no phase removes they may be None. It is called at most once
        after an evaluation, for masks that passed: before the next evaluation or never.
      shape: `(L, N)`.
      phases: of `joint_phases`, `heads_phases` or `blocks_phases`.
      threshold: in (0, 1]. Defaults to .9.
      steps: what this search yielded before it was stopped; it resumes after these.

    Yields:
      Each evaluation as a dict of plain data, the whole model first: `phase`, an index; `heads`
      and `blocks`, the masks as nested lists; `score`; `passed`.

    Raises:
      ValueError: if the threshold is out of range, the score of the whole model is not above 0
        (no share of it is a bound), or the steps or importances have another shape.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"Argument `threshold` must be in (0, 1], received {threshold}.")
    if steps:
        full_score, masks = steps[0]["score"], _checked_masks(steps, shape)
        phase = steps[-1]["phase"] + (not steps[-1]["passed"])
    else:
        masks = Units(np.ones(shape, bool), np.ones(shape[0], bool))
        full_score, phase = evaluate(masks), 0
    if not full_score > 0:
        raise ValueError(
            "The score of the whole model must be above 0 for a threshold that is a share of it, "
            f"received {full_score}."
        )
    if not steps:
        yield _step(phase, masks, full_score, passed=True)

    scores = None
    while phase < len(phases):
        if not _has_survivors(masks, phases[phase]):
            phase += 1
            continue
        scores = importance(masks) if scores is None else scores
        smaller = _remove(masks, scores, phases[phase])
        score = evaluate(smaller)
        passed = bool(score >= threshold * full_score)
        yield _step(phase, smaller, score, passed)
        if passed:
            masks, scores = smaller, None
        else:
            phase += 1


def one_pass(measure):
    """Splits one function into the two that `search` takes, without a second pass over the data.

    Args:
      measure: function of masks that returns `(score, importances)`.

    Returns:
      `(evaluate, importance)`; the second returns what the last call of the first has found, and
      measures again only for other masks, as where a search resumes.
    """
    last = {}

    def evaluate(masks):
        score, last["importance"] = measure(masks)
        last["masks"] = masks
        return score

    def importance(masks):
        same = last and all(map(np.array_equal, masks, last["masks"]))
        return last["importance"] if same else measure(masks)[1]

    return evaluate, importance


def final_masks(steps):
    """Returns the last masks that passed, the good subnetwork, as `Units`.

    Args:
      steps: what `search` has yielded, or the same read from a JSON file.

    Raises:
      ValueError: if there is no step that passed.
    """
    passed = [step for step in steps if step["passed"]]
    if not passed:
        raise ValueError(
            f"Argument `steps` must have a step that passed, received {len(steps)} steps."
        )
    return Units(np.array(passed[-1]["heads"], bool), np.array(passed[-1]["blocks"], bool))


def _checked_masks(steps, shape):
    masks = final_masks(steps)
    if masks.heads.shape != tuple(shape) or masks.blocks.shape != (shape[0],):
        raise ValueError(
            f"Argument `steps` must be of a model with heads {tuple(shape)}, received masks of "
            f"shape {masks.heads.shape} and {masks.blocks.shape}."
        )
    return masks


def _step(phase, masks, score, passed):
    return {
        "phase": phase,
        "heads": np.asarray(masks.heads, int).tolist(),
        "blocks": np.asarray(masks.blocks, int).tolist(),
        "score": float(score),
        "passed": passed,
    }


def _has_survivors(masks, phase):
    """Whether each kind that the phase removes has any."""
    return all(mask.any() for mask, amount in zip(masks, phase, strict=True) if amount)


def _remove(masks, scores, phase):
    return Units(*map(_without_lowest, Units._fields, masks, scores, phase))


def _without_lowest(name, mask, scores, amount):
    """Removes the `amount` kept units of lowest scores, ties by position, or all that are left."""
    if not amount:
        return mask
    if np.shape(scores) != mask.shape:
        raise ValueError(
            f"The importances of {name} must be of shape {mask.shape}, received {np.shape(scores)}."
        )
    scores = scoring.checked(f"importance.{name}", np.asarray(scores)[mask])
    smaller = mask.copy()
    (smaller[mask],) = top_k([scores], max(0, scores.size - amount))
    return smaller
