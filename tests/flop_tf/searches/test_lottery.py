import json

import numpy as np
import pytest

from flop_tf.searches import lottery
from flop_tf.searches.lottery import Phase, Units


class Costs:
    """A model whose score falls by the cost of each unit removed; it counts the calls."""

    def __init__(self, head_costs, block_costs, head_scores, block_scores):
        self.costs = Units(np.array(head_costs), np.array(block_costs))
        self.scores = Units(np.array(head_scores), np.array(block_scores))
        self.shape = self.costs.heads.shape
        self.evaluated, self.asked = [], []

    def evaluate(self, masks):
        self.evaluated.append(masks)
        return 1 - sum(cost[~mask].sum() for cost, mask in zip(self.costs, masks, strict=True))

    def importance(self, masks):
        self.asked.append(masks)
        return self.scores

    def search(self, phases, **kwargs):
        return list(lottery.search(self.evaluate, self.importance, self.shape, phases, **kwargs))


def small():
    """C8 of the specification."""
    return Costs(
        [[0.030, 0.005, 0.010, 0.006], [0.020, 0.020, 0.002, 0.004], [0.040, 0.012, 0.015, 0.010]],
        [0.09, 0.02, 0.05],
        [[0.70, 0.10, 0.40, 0.20], [0.55, 0.60, 0.05, 0.15], [0.90, 0.35, 0.50, 0.30]],
        [0.3, 0.1, 0.2],
    )


def base():
    """C9 of the specification."""
    return Costs(
        np.full([12, 12], 0.0016), np.full(12, 0.02), np.arange(144).reshape(12, 12), np.arange(12)
    )


def free(seed):
    """A model that costs about so much that searches end in each phase."""
    rng = np.random.default_rng(seed)
    return Costs(
        rng.exponential(0.01, [4, 6]), rng.exponential(0.02, 4), rng.random([4, 6]), rng.random(4)
    )


def counts(steps):
    return [(int(np.sum(step["heads"])), int(np.sum(step["blocks"]))) for step in steps]


def test_the_joint_search_of_the_specification():
    model = small()
    steps = model.search(lottery.joint_phases(12, 0.25))
    assert counts(steps) == [
        *[(12, 3), (9, 2), (6, 1), (8, 2), (7, 2)],
        *[(6, 2), (5, 2), (4, 2), (3, 2), (4, 1)],
    ]
    expected = [1, 0.969, 0.891, 0.963, 0.953, 0.941, 0.931, 0.916, 0.896, 0.866]
    assert [step["score"] for step in steps] == pytest.approx(expected)
    assert [index for index, step in enumerate(steps) if not step["passed"]] == [2, 8, 9]
    assert [step["phase"] for step in steps] == [0, 0, 0, 1, 1, 1, 1, 1, 1, 2]
    masks = lottery.final_masks(steps)
    np.testing.assert_array_equal(masks.heads, [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(masks.blocks, [1, 0, 1])
    assert masks.heads.dtype == masks.blocks.dtype == bool


def test_the_schedule_of_bert_base():
    steps = base().search(lottery.joint_phases(144))
    assert counts(steps) == [
        *[(144, 12), (130, 11), (116, 10), (102, 9)],
        *[(109, 10), (102, 10), (109, 9)],
    ]
    assert [index for index, step in enumerate(steps) if not step["passed"]] == [3, 5, 6]
    masks = lottery.final_masks(steps)
    assert masks.heads.sum() == 109 and masks.blocks.sum() == 10


@pytest.mark.parametrize(
    "phases, left",
    [
        (lottery.joint_phases(144), (0, 0)),
        (lottery.heads_phases(144), (0, 12)),
        (lottery.blocks_phases(), (144, 0)),
    ],
)
def test_a_score_that_never_falls_ends_with_nothing(phases, left):
    model = base()
    steps = list(lottery.search(lambda masks: 0.5, model.importance, model.shape, phases))
    assert counts(steps)[-1] == left and all(step["passed"] for step in steps)
    assert len(set(counts(steps))) == len(steps)
    masks = lottery.final_masks(steps)
    assert (masks.heads.sum(), masks.blocks.sum()) == left


@pytest.mark.parametrize(
    "phases, expected",
    [
        # By importance, three heads at a time cost .011, .028, .045 and .09.
        (lottery.heads_phases(12, 0.25), [(12, 3), (9, 3), (6, 3), (3, 3), (0, 3)]),
        (lottery.blocks_phases(), [(12, 3), (12, 2), (12, 1), (12, 0)]),
    ],
)
def test_searches_for_one_kind(phases, expected):
    steps = small().search(phases)
    assert counts(steps) == expected
    assert [step["passed"] for step in steps] == [True] * (len(steps) - 1) + [False]


def test_phases():
    assert lottery.heads_phases(144) == [Phase(14, 0)]
    assert lottery.blocks_phases() == [Phase(0, 1)]
    assert lottery.joint_phases(144) == [Phase(14, 1), Phase(7, 0), Phase(0, 1)]
    assert lottery.joint_phases(6, 0.1) == [Phase(1, 1), Phase(1, 0), Phase(0, 1)]


@pytest.mark.parametrize("amount", [0, 1.5, -0.1, float("nan")])
def test_amounts_that_are_refused(amount):
    for phases in (lottery.heads_phases, lottery.joint_phases):
        with pytest.raises(ValueError, match=rf"`amount` must be in \(0, 1\], received {amount}"):
            phases(144, amount)


def test_importances_are_those_of_the_masks_that_passed():
    model = small()
    steps = model.search(lottery.joint_phases(12, 0.25))
    passed = [masks for masks, step in zip(model.evaluated, steps, strict=True) if step["passed"]]
    assert len(model.asked) == len(passed)
    assert all(ours is theirs for ours, theirs in zip(model.asked, passed, strict=True))


def test_importances_are_fresh_at_a_phase_change():
    # The last head matters least once a block is gone, and most while all are there.
    def importance(masks):
        last = 9 if masks.blocks.all() else -1
        return Units(np.array([[0, 1, 2, last]]), np.zeros(1))

    def evaluate(masks):
        return 1.0 if masks.heads.sum() >= 3 and masks.blocks.all() else 0.0

    phases = [Phase(2, 1), Phase(1, 0)]
    steps = list(lottery.search(evaluate, importance, (1, 4), phases))
    assert steps[2]["heads"] == [[0, 1, 1, 1]] and steps[2]["passed"]


@pytest.mark.parametrize("seed", range(4))
def test_removed_units_stay_removed_and_steps_are_plain_data(seed):
    model = free(seed)
    steps = model.search(lottery.joint_phases(24))
    assert json.loads(json.dumps(steps)) == steps
    passed = [step for step in steps if step["passed"]]
    for before, after in zip(passed[:-1], passed[1:], strict=True):
        for kind in ("heads", "blocks"):
            assert (np.array(after[kind]) <= np.array(before[kind])).all()
    assert all(step["score"] >= 0.9 for step in passed)
    assert all(step["score"] < 0.9 for step in steps if not step["passed"])


@pytest.mark.parametrize("seed", range(4))
def test_a_search_goes_on_where_it_stopped(seed):
    phases = lottery.joint_phases(24)
    unbroken = free(seed).search(phases)
    for stopped in range(len(unbroken) + 1):
        model = free(seed)
        record = json.loads(json.dumps(unbroken[:stopped]))
        assert record + model.search(phases, steps=record) == unbroken
        assert len(model.evaluated) == len(unbroken) - stopped


def test_one_pass_gives_both():
    model, passes = small(), []

    def measure(masks):
        passes.append(masks)
        return model.evaluate(masks), model.scores

    phases = lottery.joint_phases(12, 0.25)
    both = list(lottery.search(*lottery.one_pass(measure), model.shape, phases))
    assert both == small().search(phases)
    assert len(passes) == len(both)
    passes.clear()
    rest = list(lottery.search(*lottery.one_pass(measure), model.shape, phases, steps=both[:4]))
    # The pass that the stopped search no longer has is made again.
    assert rest == both[4:] and len(passes) == len(rest) + 1


def test_equal_importances_go_by_layer_then_head():
    model = base()
    model.scores = Units(np.zeros([12, 12]), np.zeros(12))
    steps = model.search([Phase(14, 1)])
    expected = np.arange(144).reshape(12, 12) >= 14
    np.testing.assert_array_equal(steps[1]["heads"], expected)
    assert steps[1]["blocks"] == [0] + [1] * 11


def test_importances_of_removed_units_are_ignored():
    model = small()
    model.importance = lambda masks: Units(
        np.where(masks.heads, model.scores.heads, np.nan),
        np.where(masks.blocks, model.scores.blocks, -np.inf),
    )
    phases = lottery.joint_phases(12, 0.25)
    assert model.search(phases) == small().search(phases)


def test_a_kind_that_is_not_removed_needs_no_importance():
    model = small()
    model.scores = model.scores._replace(blocks=None)
    assert len(model.search(lottery.heads_phases(12, 0.25))) == 5


@pytest.mark.parametrize("score", [0.0, -0.1, float("nan")])
def test_a_threshold_on_a_score_that_is_not_above_zero(score):
    message = f"score of the whole model must be above 0 for a threshold .* received {score}"
    steps = lottery.search(lambda masks: score, None, (3, 4), lottery.blocks_phases())
    with pytest.raises(ValueError, match=message):
        next(steps)


@pytest.mark.parametrize("threshold", [0, 1.1, -1, float("nan")])
def test_thresholds_that_are_refused(threshold):
    message = rf"`threshold` must be in \(0, 1\], received {threshold}"
    with pytest.raises(ValueError, match=message):
        small().search(lottery.blocks_phases(), threshold=threshold)


def test_steps_of_another_model():
    steps = small().search(lottery.blocks_phases())
    with pytest.raises(ValueError, match=r"`steps` must be of a model with heads \(12, 12\)"):
        base().search(lottery.blocks_phases(), steps=steps)
    with pytest.raises(ValueError, match="must have a step that passed, received 1 steps"):
        small().search(lottery.blocks_phases(), steps=steps[-1:])


def test_importances_that_are_refused():
    model = small()
    model.scores = model.scores._replace(heads=np.ones([3, 3]))
    message = r"importances of heads must be of shape \(3, 4\), received \(3, 3\)"
    with pytest.raises(ValueError, match=message):
        model.search(lottery.heads_phases(12))
    model.scores = model.scores._replace(blocks=np.array([np.nan, 1, 2]))
    with pytest.raises(ValueError, match="`importance.blocks` must be finite, received 1 NaN"):
        model.search(lottery.blocks_phases())
