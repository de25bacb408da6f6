import json

import numpy as np
import pytest

from flop_tf.linalg import magnitude

SEEDS = range(4)
#: C10 of the specification.
WEIGHTS = {
    "a.w": np.array(
        [
            [0.11, -0.52, 0.33, 0.04, -0.95],
            [0.21, 0.76, -0.08, 0.61, -0.43],
            [0.15, 0.29, -0.87, 0.02, 0.57],
        ]
    ),
    "a.b": np.array([0.5, -0.01, 0.06]),
    "b.w": np.array([[0.7, -0.2, 0.1], [0.9, -0.35, 0.03]]),
}
SURVIVORS = [22, 20, 18, 16, 14, 13, 12, 11, 10]


def removed(masks, weights=WEIGHTS):
    return sorted(np.abs(np.concatenate([weights[path][~masks[path]] for path in weights])))


def num_kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def tied(seed):
    """Weights of many equal magnitudes, of several shapes, one of them empty."""
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (7, 5), "empty": (0, 3), "scalar": (), "bias": (11,)}
    return {path: np.float32(rng.integers(-3, 4, shape)) for path, shape in shapes.items()}


def test_survivors_of_the_specification():
    assert magnitude.survivor_counts(24) == SURVIVORS
    assert magnitude.survivor_counts(24, num_steps=10)[-1] == 9
    of_many = np.array(magnitude.survivor_counts(10**8)) / 1e8
    expected = [0.9, 0.81, 0.729, 0.6561, 0.5905, 0.5314, 0.4783, 0.4305, 0.3874]
    np.testing.assert_allclose(of_many, expected, atol=5e-5)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"of_total": True}, [22, 20, 18, 16, 14, 12, 10, 8, 6]),
        ({"of_total": True, "amount": 0.4}, [14, 4, 0]),
        ({"min_survivors": 15}, [22, 20, 18, 16, 15]),
        ({"min_survivors": 24}, []),
        ({"num_steps": 2}, [22, 20]),
        ({"num_steps": 0}, []),
        ({"amount": 1.0}, [0]),
        # round(.1 * 4) is 0.
        ({"amount": 0.1, "num_steps": 100}, [*SURVIVORS, 9, 8, 7, 6, 5]),
    ],
)
def test_survivors(arguments, expected):
    assert magnitude.survivor_counts(24, **arguments) == expected


@pytest.mark.parametrize("amount", [0, -0.1, 1.1, float("nan")])
def test_amounts_that_are_refused(amount):
    with pytest.raises(ValueError, match=rf"`amount` must be in \(0, 1\], received {amount}"):
        magnitude.survivor_counts(24, amount)


@pytest.mark.parametrize("floor", [-1, 25])
def test_floors_that_are_refused(floor):
    message = rf"`min_survivors` must be in \[0, 24\], the number of weights, received {floor}"
    with pytest.raises(ValueError, match=message):
        magnitude.survivor_counts(24, min_survivors=floor)


def test_masks_of_the_specification():
    good = magnitude.good_masks(WEIGHTS, SURVIVORS[2])
    assert removed(good) == [0.01, 0.02, 0.03, 0.04, 0.06, 0.08]
    bad = magnitude.bad_masks(WEIGHTS, 24 - 7)
    assert removed(bad) == [0.57, 0.61, 0.7, 0.76, 0.87, 0.9, 0.95]


def test_steps_are_nested():
    masks = [magnitude.good_masks(WEIGHTS, count) for count in [24, *SURVIVORS]]
    for before, after in zip(masks[:-1], masks[1:], strict=True):
        assert all((after[path] <= before[path]).all() for path in WEIGHTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_counts_are_exact_also_with_ties(seed):
    weights, rng = tied(seed), np.random.default_rng(seed)
    for count in range(48):
        for masks in (
            magnitude.good_masks(weights, count),
            magnitude.bad_masks(weights, count),
            magnitude.random_masks(weights, count, rng),
        ):
            assert list(masks) == list(weights) and num_kept(masks) == count
            assert all(masks[path].shape == weights[path].shape for path in weights)
            assert all(mask.dtype == bool for mask in masks.values())


@pytest.mark.parametrize("make, sign", [(magnitude.good_masks, 1), (magnitude.bad_masks, -1)])
@pytest.mark.parametrize("seed", SEEDS)
def test_masks_are_those_of_a_stable_sort(make, sign, seed):
    weights = tied(seed)
    flat = np.concatenate([np.abs(w).ravel() for w in weights.values()])
    order = np.argsort(sign * flat, kind="stable")
    for count in (0, 1, 20, 46, 47):
        expected = np.ones(47, bool)
        expected[order[: 47 - count]] = False
        masks = make(weights, count)
        ours = np.concatenate([mask.ravel() for mask in masks.values()])
        np.testing.assert_array_equal(ours, expected)


def test_weights_are_left_alone():
    copies = {path: w.copy() for path, w in WEIGHTS.items()}
    magnitude.good_masks(WEIGHTS, 10)
    assert all(np.array_equal(copies[path], WEIGHTS[path]) for path in WEIGHTS)


def test_no_weights():
    assert magnitude.good_masks({}, 0) == {}


def test_random_masks_keep_all_weights_alike():
    rng = np.random.default_rng(0)
    draws = [magnitude.random_masks(WEIGHTS, 9, rng) for _ in range(3000)]
    for path in WEIGHTS:
        share = np.mean([masks[path] for masks in draws], axis=0)
        # Five standard deviations of a share of 3000 draws.
        np.testing.assert_allclose(share, 9 / 24, atol=5 * np.sqrt(9 / 24 * 15 / 24 / 3000))


def test_random_masks_belong_to_their_generator():
    draws = [magnitude.random_masks(WEIGHTS, 9, np.random.default_rng(s)) for s in (1, 1, 2)]
    assert all(np.array_equal(draws[0][path], draws[1][path]) for path in WEIGHTS)
    assert not all(np.array_equal(draws[0][path], draws[2][path]) for path in WEIGHTS)


@pytest.mark.parametrize("count", [-1, 25])
def test_counts_that_are_refused(count):
    message = rf"`num_kept` must be in \[0, 24\], the number of weights, received {count}"
    for make in (magnitude.good_masks, magnitude.bad_masks):
        with pytest.raises(ValueError, match=message):
            make(WEIGHTS, count)
    with pytest.raises(ValueError, match=message):
        magnitude.random_masks(WEIGHTS, count, np.random.default_rng(0))


@pytest.mark.parametrize("make", [magnitude.good_masks, magnitude.bad_masks])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_weights_that_are_refused(make, count):
    with pytest.raises(ValueError, match="without NaN, received 1 NaN of 3 weights"):
        make({"a": np.array([1.0, np.nan]), "b": np.ones(1)}, count)


def kept_share(masks):
    return num_kept(masks) / 24


def test_the_search_keeps_the_last_that_passed():
    steps = list(magnitude.search(kept_share, WEIGHTS, SURVIVORS, threshold=0.7))
    assert [step["num_kept"] for step in steps] == [24, 22, 20, 18, 16]
    assert [step["passed"] for step in steps] == [True] * 4 + [False]
    assert [step["score"] for step in steps] == pytest.approx(np.array([24, 22, 20, 18, 16]) / 24)
    assert json.loads(json.dumps(steps)) == steps


def test_the_search_ends_with_its_counts():
    steps = list(magnitude.search(lambda masks: 0.5, WEIGHTS, SURVIVORS))
    assert [step["num_kept"] for step in steps] == [24, *SURVIVORS]


def test_a_search_goes_on_where_it_stopped():
    unbroken = list(magnitude.search(kept_share, WEIGHTS, SURVIVORS, threshold=0.7))
    for stopped in range(len(unbroken) + 1):
        record = unbroken[:stopped]
        rest = magnitude.search(kept_share, WEIGHTS, SURVIVORS, threshold=0.7, steps=record)
        assert record + list(rest) == unbroken


@pytest.mark.parametrize("score", [0.0, -0.3, float("nan")])
def test_a_threshold_on_a_score_that_is_not_above_zero(score):
    message = f"score of the whole model must be above 0 for a threshold .* received {score}"
    with pytest.raises(ValueError, match=message):
        next(magnitude.search(lambda masks: score, WEIGHTS, SURVIVORS))


@pytest.mark.parametrize("threshold", [0, 1.5])
def test_thresholds_that_are_refused(threshold):
    message = rf"`threshold` must be in \(0, 1\], received {threshold}"
    with pytest.raises(ValueError, match=message):
        next(magnitude.search(kept_share, WEIGHTS, SURVIVORS, threshold))
