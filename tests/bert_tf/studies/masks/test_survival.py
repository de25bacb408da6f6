import numpy as np
import pytest

from bert_tf.studies.masks import survival
from flop_tf.searches import subnetworks


def masks(kept, tasks):
    """Returns masks `[K, S, n]` of which the first `kept[s, i]` tasks keep component i."""
    return np.arange(tasks)[:, None, None] < np.array(kept)


def test_survival_over_tasks_and_seeds():
    # Vector C14 of the specification.
    kept = [[1, 0, 1], [2, 2, 1], [0, 1, 1], [3, 1, 1], [2, 1, 1]]
    mean, deviation = survival.survival(masks(kept, 4))
    np.testing.assert_allclose(mean, [1.6, 1.0, 1.0])
    np.testing.assert_allclose(deviation, [1.1402, 0.7071, 0.0], atol=1e-4)


def test_one_seed_has_no_deviation():
    mean, deviation = survival.survival(masks([[1, 3]], 4))
    np.testing.assert_array_equal(mean, [1, 3])
    assert deviation is None
    assert survival.task_overlap(masks([[1, 3]], 4))[1] is None


def test_stable_components_of_a_task():
    found = subnetworks.super_good(np.array([[[1, 1], [0, 1]], [[1, 0], [0, 1]]], bool))
    np.testing.assert_array_equal(found, [[True, False], [False, True]])


def test_stable_components_over_tasks():
    # 25 / 5 is five tasks and no more; the next one is in one task more.
    kept = np.array([[5, 4], [5, 6], [5, 5], [5, 5], [5, 6]])
    np.testing.assert_array_equal(survival.stable_over_tasks(masks(kept, 9)), [False, True])
    three = masks([[1, 2, 3]], 3)
    np.testing.assert_array_equal(survival.stable_over_tasks(three), [False, True, True])
    np.testing.assert_array_equal(survival.stable_over_tasks(three, 0.9), [False, False, True])


def test_task_overlap():
    first = np.array([[[1, 1], [0, 1]], [[1, 0], [0, 0]], [[1, 1], [1, 1]]], bool)
    second = np.array([[[1, 0], [0, 1]], [[0, 1], [0, 0]], [[1, 1], [1, 1]]], bool)
    mean, deviation = survival.task_overlap(np.stack([first, second]))
    np.testing.assert_allclose(mean, [[8 / 3, 2], [2, 7 / 3]])
    np.testing.assert_allclose(deviation[0, 1], np.std([2, 0, 4], ddof=1))
    np.testing.assert_array_equal(deviation, deviation.T)


@pytest.mark.parametrize(
    "function", [survival.survival, survival.stable_over_tasks, survival.task_overlap]
)
@pytest.mark.parametrize(
    "wrong", [np.ones([2, 3], bool), np.ones([2, 2, 3]), np.ones([0, 2, 3], bool)]
)
def test_no_masks(function, wrong):
    with pytest.raises(ValueError, match=r"must be bool \[tasks, seeds, ...\], none of them empty"):
        function(wrong)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range(share):
    with pytest.raises(ValueError, match=rf"`share` must be in \[0, 1\], received {share}"):
        survival.stable_over_tasks(masks([[1]], 2), share)


def test_the_mean_of_nothing():
    with pytest.raises(ValueError, match=r"at least one entry, received shape \(0,\)"):
        survival.mean_and_deviation([])
