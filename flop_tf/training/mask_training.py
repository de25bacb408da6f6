"""Binary masks that are trained while the weights stay as they are: scores and their thresholds.

The scores lie in gates of `flop_tf.gates.straight_through`. Here is what happens to them apart
from the gradient: how they start, and how a threshold for each matrix is set again and again, so
that the share of zeros stays at its target. S scores, W weights, t threshold, n weights of
a matrix, k zeros of it.

Reference:
  Learning to Win Lottery Tickets in BERT Transfer via Task-agnostic Mask Training, NAACL 2022.
"""

import contextlib
import math

import numpy as np

from flop_tf.backend import keras
from flop_tf.linalg.top_k import kth_smallest, share_of, top_k

#: Threshold of the first steps: a kept weight starts at twice of it, a dropped one at 0.
THRESHOLD = 0.01

#: How far random scores reach below 0.
INIT_SCALE = 0.02


def num_zeros(size, sparsity):
    """Returns `k = floor(n s)`, the zeros of a trained mask over n weights.

    Args:
      size: n, int.
      sparsity: s, float in [0, 1).
    """
    return share_of(size, sparsity)


def num_pruned(size, sparsity):
    """Returns `round(n s)`, halves to even: the zeros of a one-shot mask over n weights.

    Args:
      size: n, int.
      sparsity: s, float in [0, 1).
    """
    return share_of(size, sparsity, round)


def magnitude_scores(weights, sparsity, rng=None):
    """Returns `2 t` where `|W|` is above its k-th smallest value, else 0.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: ignored.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    size = np.abs(weights)
    cut = kth_smallest(size, num_zeros(size.size, sparsity))
    return np.where(size > cut, np.float32(2 * THRESHOLD), np.float32(0))


def proportional_scores(weights, sparsity, rng=None):
    """Returns `t |W| / c`, c the k-th smallest `|W|`: weights near the cut change sides first.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: ignored.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    size = np.abs(weights)
    cut = kth_smallest(size, num_zeros(size.size, sparsity))
    if not cut > 0:  # Nothing is dropped, or zeros alone.
        return magnitude_scores(weights, sparsity)
    return np.float32(THRESHOLD) * (size / cut).astype(np.float32)


def uniform_scores(weights, sparsity, rng):
    """Returns 0 at exactly k places, drawn without replacement, and `2 t` elsewhere.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: a `np.random.Generator`.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    scores = np.full(weights.size, 2 * THRESHOLD, np.float32)
    scores[rng.choice(weights.size, num_zeros(weights.size, sparsity), replace=False)] = 0
    return scores.reshape(weights.shape)


def double_uniform_scores(weights, sparsity, rng):
    """Returns U(.5 t, .9 t) at k places drawn with replacement, else U(1.1 t, 1.5 t).

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: a `np.random.Generator`.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    dropped = np.zeros(weights.size, bool)
    dropped[rng.integers(weights.size, size=num_zeros(weights.size, sparsity))] = True
    low, high = np.where(dropped, 0.5, 1.1), np.where(dropped, 0.9, 1.5)
    scores = THRESHOLD * rng.uniform(low, high)
    return scores.astype(np.float32).reshape(weights.shape)


def random_scores(weights, sparsity, rng):
    """Returns `U(-a, (a + t) / s - a)`: each score is at most t with probability s.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: a `np.random.Generator`.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    if not sparsity:
        return np.full(weights.shape, 2 * THRESHOLD, np.float32)
    scores = rng.uniform(-INIT_SCALE, random_scores_upper(sparsity), weights.shape)
    return scores.astype(np.float32)


def random_scores_upper(sparsity):
    """Returns `(a + t) / s - a`, the upper limit of random scores for s above 0.

    Args:
      sparsity: s, float in (0, 1).
    """
    return (INIT_SCALE + THRESHOLD) / sparsity - INIT_SCALE


def equal_scores(weights, sparsity, rng=None):
    """Returns `logit(1 - s)` everywhere: a Bernoulli draw closes a share s on average.

    Args:
      weights: W, float array of any shape.
      sparsity: s, float in [0, 1).
      rng: ignored.

    Returns:
      The scores, a float32 array in the shape of the weights.
    """
    return np.full(weights.shape, initial_logit(sparsity), np.float32)


def initial_logit(sparsity):
    """Returns `log((1 - s) / s)`, at most 20, where s is 0.

    Args:
      sparsity: s, float in [0, 1).
    """
    return min(20.0, math.log((1 - sparsity) / sparsity)) if sparsity else 20.0


#: Ways to start the scores by name: functions of weights, sparsity and a NumPy generator.
INITS = {
    "magnitude": magnitude_scores,
    "proportional": proportional_scores,
    "uniform": uniform_scores,
    "double_uniform": double_uniform_scores,
    "random": random_scores,
    "equal": equal_scores,
}


def threshold(scores, sparsity):
    """Returns the t for which `S > t` closes k scores, or as near to that as ties allow.

    It is the k-th smallest score, which closes all scores that are equal to it. Where that is
    further from k than closing none of them, it is the next smaller score. Scores of words that
    no text has shown stay where they started, thousands of them, so this is no rare case.

    Args:
      scores: S, a float32 array.
      sparsity: s in [0, 1).

    Returns:
      A float32; `-inf` where nothing is closed.
    """
    k = num_zeros(scores.size, sparsity)
    found = kth_smallest(scores, k)
    below = scores < found
    num_below = np.count_nonzero(below)
    num_closed = np.count_nonzero(scores <= found)
    if num_closed - k <= k - num_below:
        return np.float32(found)
    return np.float32(scores[below].max()) if num_below else np.float32(-np.inf)


def project(scores, weights, sparsity):
    """Returns the mask that closes the k weights of lowest score, of equal ones the smallest.

    Args:
      scores: S, an array.
      weights: W, of the same shape.
      sparsity: s in [0, 1).

    Returns:
      A boolean array, True for what is kept.

    Raises:
      ValueError: if a score is NaN.
    """
    if num_nan := np.count_nonzero(np.isnan(scores)):
        raise ValueError(
            f"Argument `scores` must be without NaN, received {num_nan} NaN of {scores.size}; the "
            "training has diverged, take lower rates."
        )
    k = num_zeros(scores.size, sparsity)
    cut = kth_smallest(scores, k)
    kept = np.array(scores > cut)
    equal = np.flatnonzero(scores == cut)
    num_kept = kept.size - k - np.count_nonzero(kept)
    (chosen,) = top_k([np.abs(weights.ravel()[equal])], num_kept)
    kept.flat[equal[chosen]] = True
    return kept


def cubic_sparsity(start, end, progress):
    """Returns `end + (start - end) (1 - p)^3`, the sparsity at a share p of the ramp.

    Args:
      start: float, the sparsity at the start of the ramp.
      end: float, the sparsity at its end.
      progress: p, float; below 0 it counts as 0 and above 1 as 1.
    """
    return end + (start - end) * (1.0 - min(1.0, max(0.0, progress))) ** 3


class ScoredMasks:
    """The trained masks of a model: groups of gates, each with one threshold and its k zeros.

    A weight matrix is a group of its own. Units of one kind, such as the heads of all layers, are
    a group together, so that a layer may lose more than another.

    >>> from flop_tf import gates
    >>> gate = gates.get("straight_through", axis=None)
    >>> gate.build([2, 2])
    >>> masks = ScoredMasks([{"k": (gate, lambda: np.float32([[1, -4], [3, 2]]))}])
    >>> masks.start("magnitude", 0.5, np.random.default_rng(0))
    >>> masks.masks()["k"].tolist()
    [[False, True], [True, False]]

    Args:
      groups: list of dicts `{name: (gate, weights)}`, gates of
        `flop_tf.gates.straight_through` and functions that return the weights that a gate
        masks, of the shape of its scores; of units how large they are.

    Raises:
      ValueError: if there is no gate, or none in a group.
    """

    def __init__(self, groups):
        if not groups or not all(groups):
            raise ValueError(
                "Argument `groups` must have groups of at least one gate each, received the sizes "
                f"{[len(group) for group in groups]}."
            )
        self.groups = groups

    def start(self, init, sparsity, rng):
        """Sets all scores and thresholds.

        Args:
          init: of `INITS`.
          sparsity: s in [0, 1).
          rng: a `np.random.Generator`.

        Raises:
          ValueError: if the name is unknown or the sparsity out of range.
        """
        if init not in INITS:
            raise ValueError(f"Argument `init` must be one of {list(INITS)}, received {init!r}.")
        check_sparsity(sparsity)
        for group in self.groups:
            weights = _joined(weights() for _, weights in group.values())
            first = next(iter(group.values()))[0]
            # Where another threshold is the natural one, the scores lie around that.
            shift = 0.0 if init == "equal" else first.initial_threshold - THRESHOLD
            scores = INITS[init](weights, sparsity, rng) + np.float32(shift)
            for (gate, _), part in zip(group.values(), _split(scores, group), strict=True):
                gate.scores.assign(part)
                gate.threshold.assign(gate.initial_threshold)

    def rethreshold(self, sparsity):
        """Sets every threshold so that its group has the sparsity, see `threshold`.

        Args:
          sparsity: s, float in [0, 1).
        """
        for group in self.groups:
            found = threshold(_joined(gate.scores.numpy() for gate, _ in group.values()), sparsity)
            for gate, _ in group.values():
                gate.threshold.assign(found)

    @contextlib.contextmanager
    def rethresholded(self, sparsity):
        """Sets every threshold for the time of a `with` block only; training sees none of it.

        Args:
          sparsity: s, float in [0, 1).

        Yields:
          The masks meanwhile, see `masks`.
        """
        thresholds = [gate.threshold for group in self.groups for gate, _ in group.values()]
        before = [threshold.numpy() for threshold in thresholds]
        self.rethreshold(sparsity)
        try:
            yield self.masks()
        finally:
            for threshold, value in zip(thresholds, before, strict=True):
                threshold.assign(value)

    def project(self, sparsity):
        """Returns masks of exactly the sparsity in each group, boolean arrays by name.

        Args:
          sparsity: s, float in [0, 1).

        Raises:
          ValueError: if a score is NaN.
        """
        masks = {}
        for group in self.groups:
            scores = _joined(gate.scores.numpy() for gate, _ in group.values())
            weights = _joined(weights() for _, weights in group.values())
            parts = _split(project(scores, weights, sparsity), group)
            masks.update(zip(group, parts, strict=True))
        return masks

    def masks(self):
        """Returns the masks of inference as they are now, boolean arrays by name."""
        return {
            name: gate.keep().numpy() for group in self.groups for name, (gate, _) in group.items()
        }


class Rethresholding(keras.callbacks.Callback):
    """Sets the thresholds anew every few steps, between two steps; until then they stay.

    So the share of zeros drifts from one time to the next. `logs` get `target_sparsity`, and as of
    the last time `stored_sparsity` and, before the thresholds were set, `drifted_sparsity`.

    >>> from flop_tf import gates
    >>> gate = gates.get("straight_through", axis=None)
    >>> gate.build([2, 2])
    >>> masks = ScoredMasks([{"k": (gate, lambda: np.eye(2))}])
    >>> callback = Rethresholding(masks, sparsity=lambda step: 0.5, update_steps=100)
    >>> callback.update_steps
    100

    Args:
      masks: `ScoredMasks`.
      sparsity: function of the step that returns the sparsity to have, in [0, 1).
      update_steps: steps from one time to the next, at least 1.

    Raises:
      ValueError: if `update_steps` is below 1.
    """

    def __init__(self, masks, sparsity, update_steps):
        super().__init__()
        if update_steps < 1:
            raise ValueError(
                f"Argument `update_steps` must be at least 1, received {update_steps}."
            )
        self.masks = masks
        self.sparsity = sparsity
        self.update_steps = update_steps

    def on_train_begin(self, logs=None):
        """Notes the step from which training starts or resumes."""
        self.step = int(self.model.optimizer.iterations.numpy())
        self.stored = self.drifted = zero_rate(self.masks.masks())

    def on_train_batch_end(self, batch, logs=None):
        """Sets the thresholds where it is time."""
        before, self.step = self.step, int(self.model.optimizer.iterations.numpy())
        if self.step // self.update_steps > before // self.update_steps:
            self.drifted = zero_rate(self.masks.masks())
            self.masks.rethreshold(self.sparsity(self.step))
            self.stored = zero_rate(self.masks.masks())
        logs["target_sparsity"] = self.sparsity(self.step)
        logs["stored_sparsity"] = self.stored
        logs["drifted_sparsity"] = self.drifted


def zero_rate(masks):
    """Returns the share of zeros in masks by name, over all of them together.

    Args:
      masks: dict of boolean arrays.

    Returns:
      A float in [0, 1].
    """
    return 1.0 - sum(map(np.count_nonzero, masks.values())) / sum(map(np.size, masks.values()))


def check_sparsity(sparsity):
    """Raises ValueError if a sparsity is not in [0, 1).

    Args:
      sparsity: any number.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"Argument `sparsity` must be in [0, 1), received {sparsity}.")


def _joined(arrays):
    """Returns the arrays of a group as one; a single one as it is."""
    arrays = list(arrays)
    return arrays[0] if len(arrays) == 1 else np.concatenate([each.ravel() for each in arrays])


def _split(joined, group):
    """Returns the parts of a joined array in the shapes of the gates of a group."""
    shapes = [tuple(gate.scores.shape) for gate, _ in group.values()]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [p.reshape(s) for p, s in zip(np.split(joined.ravel(), ends), shapes, strict=True)]
