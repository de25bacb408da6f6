import numpy as np
import pytest

from flop_tf.importance import scoring

SEEDS = range(3)


@pytest.mark.parametrize(
    "batches, mean, accumulated",
    [
        # Of token scores, which are positive: C6 gives means.
        ([1, 2, 3], 2, 10 / 3),
        ([3, 2, 1], 2, 14 / 3),
        # Of batch scores, which are signed: C6 gives sums, over three batches.
        ([1, -2, 0.5], 3.5 / 3, 2.5 / 3),
        ([0.2, 0.2, 0.2], 0.6 / 3, 1.2 / 3),
    ],
)
def test_means_of_the_specification(batches, mean, accumulated):
    assert scoring.mean_importance(batches) == pytest.approx(mean)
    assert scoring.mean_importance(batches, accumulate=True) == pytest.approx(accumulated)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mean_does_not_depend_on_the_order_of_batches(seed):
    rng = np.random.default_rng(seed)
    batches = rng.normal(size=[20, 4, 3])
    shuffled = rng.permutation(batches)
    mean = scoring.mean_importance(batches)
    assert mean.shape == (4, 3) and (mean >= 0).all()
    np.testing.assert_allclose(scoring.mean_importance(shuffled), mean, rtol=1e-12)
    accumulated = [scoring.mean_importance(b, accumulate=True) for b in (batches, shuffled)]
    assert not np.allclose(*accumulated)


@pytest.mark.parametrize("shape", [(0, 3), ()])
def test_a_mean_of_no_batch(shape):
    with pytest.raises(ValueError, match="`batch_scores` must have at least one batch along"):
        scoring.mean_importance(np.zeros(shape))


def test_layers_of_the_specification():
    scores = [[0.9, 0.1, 0.4, 0.2], [0.05, 0.06, 0.02, 0.01], [3, 1, 2, 0.5]]
    expected = [
        [0.8911, 0.0990, 0.3961, 0.1980],
        [0.6155, 0.7385, 0.2462, 0.1231],
        [0.7947, 0.2649, 0.5298, 0.1325],
    ]
    np.testing.assert_allclose(scoring.normalize_by_layer(scores), expected, atol=5e-5)


def test_both_normalizations_as_in_the_lottery():
    by_layer = scoring.normalize_by_layer([[2, 1, 2], [0.3, 0.4, 0]])
    np.testing.assert_allclose(by_layer, [[2 / 3, 1 / 3, 2 / 3], [0.6, 0.8, 0]], atol=1e-12)
    both = scoring.normalize_globally(by_layer)
    np.testing.assert_allclose(both, [[0.8333, 0.4167, 0.8333], [0.75, 1, 0]], atol=5e-5)


@pytest.mark.parametrize("shape", [(3, 4), (5,), (0,), (1, 1)])
@pytest.mark.parametrize("value", [0.0, 2.5])
def test_equal_scores_stay_finite(shape, value):
    scores = np.full(shape, value)
    np.testing.assert_array_equal(scoring.normalize_globally(scores), np.zeros(shape))
    assert np.isfinite(scoring.normalize_by_layer(scores)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_normalizations_keep_the_ranking_they_should(seed):
    scores = np.random.default_rng(seed).exponential(size=[6, 5])
    by_layer = scoring.normalize_by_layer(scores)
    np.testing.assert_allclose(np.linalg.norm(by_layer, axis=1), 1)
    np.testing.assert_array_equal(np.argsort(by_layer, axis=1), np.argsort(scores, axis=1))
    everywhere = scoring.normalize_globally(scores)
    assert everywhere.min() == 0 and everywhere.max() == 1
    for normalize in (scoring.normalize_by_layer, scoring.normalize_globally):
        blocks = scores[:, 0]
        np.testing.assert_array_equal(np.argsort(normalize(blocks)), np.argsort(blocks))


@pytest.mark.parametrize(
    "function, name",
    [
        (scoring.mean_importance, "batch_scores"),
        (scoring.normalize_by_layer, "scores"),
        (scoring.normalize_globally, "scores"),
    ],
)
def test_scores_that_are_refused(function, name):
    with pytest.raises(
        ValueError, match=f"`{name}` must be finite, received 2 NaN or infinite values of 3"
    ):
        function([np.nan, 1, np.inf])


def test_sizes_weigh_the_batches():
    assert scoring.mean_importance([[1.0], [4.0]], sizes=[2, 1]) == pytest.approx([2])
    assert scoring.mean_importance([[1.0], [4.0]], sizes=[2, 1], accumulate=True) == [3]
