"""Binary masks that are trained while the weights stay as they are: scores and their thresholds.

The scores lie in gates of `flop_tf.gates.straight_through`. Here is what happens to them apart
from the gradient: they start by `flop_tf.training.score_inits`, and a threshold for each matrix is
set again and again, so that the share of zeros stays at its target (`flop_tf.training.mask_rules`).

Reference:
  Learning to Win Lottery Tickets in BERT Transfer via Task-agnostic Mask Training, NAACL 2022.
"""

import contextlib
import math

import numpy as np

from flop_tf.backend import keras
from flop_tf.training import mask_rules, score_inits


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
          init: of `flop_tf.training.score_inits.INITS`.
          sparsity: s in [0, 1).
          rng: a `np.random.Generator`.

        Raises:
          ValueError: if the name is unknown or the sparsity out of range.
        """
        if init not in score_inits.INITS:
            raise ValueError(
                f"Argument `init` must be one of {list(score_inits.INITS)}, received {init!r}."
            )
        mask_rules.check_sparsity(sparsity)
        for group in self.groups:
            weights = _joined(weights() for _, weights in group.values())
            first = next(iter(group.values()))[0]
            # Where another threshold is the natural one, the scores lie around that.
            shift = 0.0 if init == "equal" else first.initial_threshold - score_inits.THRESHOLD
            scores = score_inits.INITS[init](weights, sparsity, rng) + np.float32(shift)
            for (gate, _), part in zip(group.values(), _split(scores, group), strict=True):
                gate.scores.assign(part)
                gate.threshold.assign(gate.initial_threshold)

    def rethreshold(self, sparsity):
        """Sets every threshold so that its group has the sparsity, see `mask_rules.threshold`.

        Args:
          sparsity: s, float in [0, 1).
        """
        for group in self.groups:
            found = mask_rules.threshold(
                _joined(gate.scores.numpy() for gate, _ in group.values()), sparsity
            )
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
            parts = _split(mask_rules.project(scores, weights, sparsity), group)
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
        """Notes the step from which training starts or resumes.

        Args:
          logs: dict of scalars of the step, or None.
        """
        self.step = int(self.model.optimizer.iterations.numpy())
        self.stored = self.drifted = mask_rules.zero_rate(self.masks.masks())

    def on_train_batch_end(self, batch, logs=None):
        """Sets the thresholds where it is time.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        before, self.step = self.step, int(self.model.optimizer.iterations.numpy())
        if self.step // self.update_steps > before // self.update_steps:
            self.drifted = mask_rules.zero_rate(self.masks.masks())
            self.masks.rethreshold(self.sparsity(self.step))
            self.stored = mask_rules.zero_rate(self.masks.masks())
        logs["target_sparsity"] = self.sparsity(self.step)
        logs["stored_sparsity"] = self.stored
        logs["drifted_sparsity"] = self.drifted


def _joined(arrays):
    """Returns the arrays of a group as one; a single one as it is."""
    arrays = list(arrays)
    return arrays[0] if len(arrays) == 1 else np.concatenate([each.ravel() for each in arrays])


def _split(joined, group):
    """Returns the parts of a joined array in the shapes of the gates of a group."""
    shapes = [tuple(gate.scores.shape) for gate, _ in group.values()]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [p.reshape(s) for p, s in zip(np.split(joined.ravel(), ends), shapes, strict=True)]
