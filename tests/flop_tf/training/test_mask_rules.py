import numpy as np
import pytest

from flop_tf.training import mask_rules


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
    found = mask_rules.threshold(scores, sparsity)
    assert found == np.float32(threshold)
    np.testing.assert_array_equal(scores > found, mask)


def test_projection_is_exact_and_of_equal_scores_keeps_the_larger_weight():
    scores = np.float32([0, 0, 0, 0.02, 0.02])
    weights = np.float32([0.1, -0.3, 0.2, 0.1, 0])
    kept = mask_rules.project(scores, weights, 0.4)
    np.testing.assert_array_equal(kept, [False, True, False, True, True])
    assert mask_rules.project(scores, weights, 0.0).all()
    scores[1] = np.nan
    with pytest.raises(ValueError, match="`scores` must be without NaN, received 1 NaN of 5; the"):
        mask_rules.project(scores, weights, 0.4)


def test_two_rules_of_rounding():
    """T10."""
    for size, sparsity, floor, rounded in (
        (589824, 0.7, 412876, 412877),
        (7, 0.5, 3, 4),
        (5, 0.5, 2, 2),
        (100, 0.29, 29, 29),
    ):
        assert mask_rules.num_zeros(size, sparsity) == floor
        assert mask_rules.num_pruned(size, sparsity) == rounded


def test_cubic_sparsity():
    """T11."""
    found = [mask_rules.cubic_sparsity(0, 0.7, p) for p in (-1, 0, 0.25, 0.5, 1, 2)]
    np.testing.assert_allclose(found, [0, 0, 0.4046875, 0.6125, 0.7, 0.7])
