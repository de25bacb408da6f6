import numpy as np
import pytest

from flop_tf.linalg import magnitude
from flop_tf.training import mask_rules, score_inits

KERNEL = np.array([[0.1, -0.5, 0.3], [-0.2, 0.05, 0.4]], np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_magnitude_scores():
    """T1."""
    scores = score_inits.magnitude_scores(KERNEL, 0.5)
    mask = np.array([[0, 1, 1], [0, 0, 1]], np.float32)
    np.testing.assert_allclose(scores, 0.02 * mask, atol=1e-9)
    assert score_inits.magnitude_scores(KERNEL, 0.0).all()


def test_proportional_scores():
    """k = 3, the third smallest |W| is .2, which lies at the threshold and is dropped."""
    scores = score_inits.proportional_scores(KERNEL, 0.5)
    np.testing.assert_allclose(scores, [[0.005, 0.025, 0.015], [0.01, 0.0025, 0.02]], rtol=1e-6)
    for size in (1, 3e-9, 7e8):
        weights = size * np.random.default_rng(0).standard_normal([64, 64]).astype(np.float32)
        opened = score_inits.proportional_scores(weights, 0.5) > np.float32(0.01)
        np.testing.assert_array_equal(opened, score_inits.magnitude_scores(weights, 0.5) > 0.01)
    assert (score_inits.proportional_scores(KERNEL, 0.0) > 0.01).all()
    zeros = np.float32([0, 0, 0, 3])
    np.testing.assert_allclose(score_inits.proportional_scores(zeros, 0.5), [0, 0, 0, 0.02])


def test_uniform_scores(rng):
    scores = score_inits.uniform_scores(np.zeros([50, 20]), 0.7, rng)
    assert scores.shape == (50, 20) and (scores == 0).sum() == 700
    assert set(np.unique(scores)) == {np.float32(0), np.float32(0.02)}


def test_double_uniform_scores_have_fewer_zeros_as_draws_repeat(rng):
    scores = score_inits.double_uniform_scores(np.zeros([100, 100]), 0.5, rng)
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
    assert score_inits.random_scores_upper(sparsity) == pytest.approx(upper, abs=1e-6)
    assert score_inits.initial_logit(sparsity) == pytest.approx(logit, abs=1e-6)
    scores = score_inits.random_scores(np.zeros([200, 200]), sparsity, rng)
    assert -0.02 <= scores.min() and scores.max() <= upper + 1e-6
    assert (scores <= 0.01).mean() == pytest.approx(sparsity, abs=0.01)
    np.testing.assert_allclose(score_inits.equal_scores(KERNEL, sparsity), logit, atol=1e-6)


def test_one_shot_magnitude_is_that_of_the_scores_up_to_rounding():
    kept = magnitude.good_masks({"": KERNEL}, 6 - mask_rules.num_pruned(6, 0.5))[""]
    np.testing.assert_array_equal(kept, score_inits.magnitude_scores(KERNEL, 0.5) > 0)
