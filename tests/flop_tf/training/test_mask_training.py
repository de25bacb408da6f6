import numpy as np
import pytest
import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.linalg import magnitude
from flop_tf.training import iterative_magnitude, mask_training
from flop_tf.training.mask_training import Rethresholding, ScoredMasks

KERNEL = np.array([[0.1, -0.5, 0.3], [-0.2, 0.05, 0.4]], np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def built(scores, name="straight_through"):
    gate = gates.get(name, axis=None)
    gate.build(np.shape(scores))
    gate.scores.assign(scores)
    return gate


def test_magnitude_scores():
    """T1."""
    scores = mask_training.magnitude_scores(KERNEL, 0.5)
    mask = np.array([[0, 1, 1], [0, 0, 1]], np.float32)
    np.testing.assert_allclose(scores, 0.02 * mask, atol=1e-9)
    assert mask_training.magnitude_scores(KERNEL, 0.0).all()


def test_proportional_scores():
    """k = 3, the third smallest |W| is .2, which lies at the threshold and is dropped."""
    scores = mask_training.proportional_scores(KERNEL, 0.5)
    np.testing.assert_allclose(scores, [[0.005, 0.025, 0.015], [0.01, 0.0025, 0.02]], rtol=1e-6)
    for size in (1, 3e-9, 7e8):
        weights = size * np.random.default_rng(0).standard_normal([64, 64]).astype(np.float32)
        opened = mask_training.proportional_scores(weights, 0.5) > np.float32(0.01)
        np.testing.assert_array_equal(opened, mask_training.magnitude_scores(weights, 0.5) > 0.01)
    assert (mask_training.proportional_scores(KERNEL, 0.0) > 0.01).all()
    zeros = np.float32([0, 0, 0, 3])
    np.testing.assert_allclose(mask_training.proportional_scores(zeros, 0.5), [0, 0, 0, 0.02])


def test_uniform_scores(rng):
    scores = mask_training.uniform_scores(np.zeros([50, 20]), 0.7, rng)
    assert scores.shape == (50, 20) and (scores == 0).sum() == 700
    assert set(np.unique(scores)) == {np.float32(0), np.float32(0.02)}


def test_double_uniform_scores_have_fewer_zeros_as_draws_repeat(rng):
    scores = mask_training.double_uniform_scores(np.zeros([100, 100]), 0.5, rng)
    dropped = scores <= 0.01
    # Of n places 1 - (1 - 1 / n)^(n / 2) = 1 - exp(-1/2) are drawn.
    assert dropped.mean() == pytest.approx(1 - np.exp(-0.5), abs=0.02)
    assert scores[dropped].min() >= 0.005 and scores[dropped].max() <= 0.009
    assert scores[~dropped].min() >= 0.011 and scores[~dropped].max() <= 0.015


@pytest.mark.parametrize(
    "sparsity, upper, logit",
    [(0.5, 0.04, 0.0), (0.7, 0.022857, -0.847298), (0.9, 0.013333, -2.197225)],
)
def test_bounds_of_random_scores_and_logits(rng, sparsity, upper, logit):
    """T4."""
    assert mask_training.random_scores_upper(sparsity) == pytest.approx(upper, abs=1e-6)
    assert mask_training.initial_logit(sparsity) == pytest.approx(logit, abs=1e-6)
    scores = mask_training.random_scores(np.zeros([200, 200]), sparsity, rng)
    assert -0.02 <= scores.min() and scores.max() <= upper + 1e-6
    assert (scores <= 0.01).mean() == pytest.approx(sparsity, abs=0.01)
    np.testing.assert_allclose(mask_training.equal_scores(KERNEL, sparsity), logit, atol=1e-6)


@pytest.mark.parametrize(
    "scores, sparsity, threshold, mask",
    [
        ([0.005, 0.011, 0.02, 0.02, 0.013, 0, 0.009, 0.02], 0.5, 0.011, [0, 0, 1, 1, 1, 0, 0, 1]),
        ([0, 0, 0, 0.02, 0.02], 0.4, 0.0, [0, 0, 0, 1, 1]),
        # Closing the four that are equal would be further from 3 than closing none of them.
        ([0, 0.01, 0.02, 0.02, 0.02, 0.02, 0.03], 0.5, 0.01, [0, 0, 1, 1, 1, 1, 1]),
        ([0.02, 0.02, 0.02, 0.02], 0.25, -np.inf, [1, 1, 1, 1]),
        ([0.02, 0.03], 0.0, -np.inf, [1, 1]),
    ],
)
def test_threshold(scores, sparsity, threshold, mask):
    """T3, and ties."""
    scores = np.float32(scores)
    found = mask_training.threshold(scores, sparsity)
    assert found == np.float32(threshold)
    np.testing.assert_array_equal(scores > found, mask)


def test_projection_is_exact_and_of_equal_scores_keeps_the_larger_weight():
    scores = np.float32([0, 0, 0, 0.02, 0.02])
    weights = np.float32([0.1, -0.3, 0.2, 0.1, 0])
    kept = mask_training.project(scores, weights, 0.4)
    np.testing.assert_array_equal(kept, [False, True, False, True, True])
    assert mask_training.project(scores, weights, 0.0).all()
    scores[1] = np.nan
    with pytest.raises(ValueError, match="`scores` must be without NaN, received 1 NaN of 5; the"):
        mask_training.project(scores, weights, 0.4)


def test_two_rules_of_rounding():
    """T10."""
    for size, sparsity, floor, rounded in (
        (589824, 0.7, 412876, 412877),
        (7, 0.5, 3, 4),
        (5, 0.5, 2, 2),
        (100, 0.29, 29, 29),
    ):
        assert mask_training.num_zeros(size, sparsity) == floor
        assert mask_training.num_pruned(size, sparsity) == rounded


def test_cubic_sparsity():
    """T11."""
    found = [mask_training.cubic_sparsity(0, 0.7, p) for p in (-1, 0, 0.25, 0.5, 1, 2)]
    np.testing.assert_allclose(found, [0, 0, 0.4046875, 0.6125, 0.7, 0.7])


def test_each_matrix_has_its_threshold_and_units_have_one_together(rng):
    kernels = [built(rng.normal(size=shape)) for shape in ([6, 5], [4, 5])]
    heads = [built(rng.normal(size=4) + shift) for shift in (0, 3)]
    groups = [
        {f"kernel{i}": (gate, lambda g=gate: g.scores.numpy())} for i, gate in enumerate(kernels)
    ]
    units = {f"heads{i}": (gate, lambda g=gate: g.scores.numpy()) for i, gate in enumerate(heads)}
    masks = ScoredMasks([*groups, units])
    masks.rethreshold(0.5)
    found = masks.masks()
    assert [found[f"kernel{i}"].sum() for i in (0, 1)] == [15, 10]
    assert found["heads0"].sum() + found["heads1"].sum() == 4 and found["heads1"].sum() > 2
    for name, kept in masks.project(0.5).items():
        np.testing.assert_array_equal(kept, found[name])
    assert mask_training.zero_rate(found) == 0.5
    thresholds = [float(gate.threshold) for gate in (*kernels, *heads)]
    with masks.rethresholded(0.75) as meanwhile:
        assert mask_training.zero_rate(meanwhile) == mask_training.zero_rate(masks.masks()) > 0.7
    assert [float(gate.threshold) for gate in (*kernels, *heads)] == thresholds


@pytest.mark.parametrize("name", gates.STRAIGHT_THROUGH)
def test_start_opens_the_largest_weights_of_every_binarizer(name):
    gate = built(np.zeros([2, 3]), name)
    masks = ScoredMasks([{"kernel": (gate, lambda: KERNEL)}])
    masks.start("magnitude", 0.5, None)
    np.testing.assert_array_equal(masks.masks()["kernel"], [[0, 1, 1], [0, 0, 1]])
    masks.start("equal", 0.9, None)
    np.testing.assert_allclose(gate.scores, -2.197225, atol=1e-6)


def test_start_refuses(rng):
    masks = ScoredMasks([{"kernel": (built(KERNEL), lambda: KERNEL)}])
    with pytest.raises(ValueError, match="Argument `init` must be one of .*, received 'best'."):
        masks.start("best", 0.5, rng)
    for sparsity in (1, -0.1):
        with pytest.raises(ValueError, match=r"`sparsity` must be in \[0, 1\), received"):
            masks.start("magnitude", sparsity, rng)


def test_thresholds_are_set_every_few_steps_only():
    gate = built(np.float32([0.0, 0.02, 0.03, 0.04]))
    masks = ScoredMasks([{"kernel": (gate, lambda: gate.scores.numpy())}])
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    callback = Rethresholding(masks, lambda step: 0.75, update_steps=3)
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            (logs["drifted_sparsity"], logs["stored_sparsity"], float(gate.threshold))
        )
    )
    data = tf.data.Dataset.from_tensors((tf.ones([1, 2]), tf.ones([1, 1]))).repeat(4)
    model.fit(data, verbose=0, callbacks=[callback, note])
    low, high = (0.25, 0.25, np.float32(0.01)), (0.25, 0.75, np.float32(0.03))
    assert seen == [low, low, high, high]
    with pytest.raises(ValueError, match="`update_steps` must be at least 1, received 0."):
        Rethresholding(masks, lambda step: 0.5, 0)


def test_zeros_of_the_rounds_of_iterative_pruning():
    """T9."""
    assert iterative_magnitude.zeros_of_rounds(589824) == [
        58982,
        117964,
        176946,
        235929,
        294911,
        353894,
        412876,
        471859,
        530841,
    ]
    assert iterative_magnitude.num_rounds(0.7) == 7
    for sparsity in (0.0, 0.65, 0.95):
        with pytest.raises(ValueError, match=r"one of \.1, \.2, .*, as each round prunes a tenth"):
            iterative_magnitude.num_rounds(sparsity)


@pytest.mark.parametrize("rewind", [True, False])
def test_rounds_prune_what_is_left_and_rewind(rewind):
    gate = gates.get("magnitude", axis=None)
    weights = tf.Variable(np.arange(1, 101, dtype=np.float32).reshape(10, 10))
    original = weights.numpy()
    gate.build(weights.shape)
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.Adam(0.0), "mse")
    callback = iterative_magnitude.IterativeMagnitude(
        [(gate, weights)], [weights], [original], rounds=3, interval=2, rewind=rewind
    )

    def train(batch, logs):
        # What training does: the smallest weights of the start become the largest.
        weights.assign(101 - weights)

    zeros, momenta = [], []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_begin=train,
        on_train_batch_end=lambda batch, logs: (
            zeros.append(int(100 - gate.values.numpy().sum())),
            momenta.append(float(np.abs(model.optimizer.variables[2]).sum())),
        ),
    )
    data = tf.data.Dataset.from_tensors((tf.ones([1, 2]), tf.ones([1, 1]))).repeat(6)
    model.fit(data, verbose=0, callbacks=[callback, note])
    assert zeros == [10, 20, 20, 30, 30, 30]
    assert [value == 0 for value in momenta] == [False, True, False, True, False, False]
    kept = gate.keep().numpy().ravel()
    assert not kept[:30].any() and kept[30:].all()
    if rewind:
        assert not np.array_equal(weights, 101 - original)


def test_one_shot_magnitude_is_that_of_the_scores_up_to_rounding():
    kept = magnitude.good_masks({"": KERNEL}, 6 - mask_training.num_pruned(6, 0.5))[""]
    np.testing.assert_array_equal(kept, mask_training.magnitude_scores(KERNEL, 0.5) > 0)


def test_nothing_to_mask_is_said():
    with pytest.raises(ValueError, match=r"`groups` must have groups .* the sizes \[\]"):
        ScoredMasks([])
    with pytest.raises(ValueError, match="`matrices` must have a matrix to prune, received none"):
        iterative_magnitude.IterativeMagnitude([], [], [], rounds=1, interval=1)
