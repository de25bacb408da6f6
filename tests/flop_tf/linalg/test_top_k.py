import math

import numpy as np
import pytest

from flop_tf.linalg.top_k import kth_smallest, share_of, top_k


@pytest.mark.parametrize("ties", ["last", "first"])
@pytest.mark.parametrize("num_kept", range(13))
def test_it_is_a_stable_sort(ties, num_kept):
    scores = np.random.default_rng(num_kept).integers(0, 3, 12)
    order = np.argsort(scores, kind="stable")
    if ties == "first":
        order = np.argsort(-scores, kind="stable")[::-1]
    expected = np.zeros(12, bool)
    expected[order[12 - num_kept :]] = True
    parts = top_k(
        [scores[:5], scores[5:5], scores[5:11].reshape(2, 3), scores[11:]], num_kept, ties
    )
    assert [part.shape for part in parts] == [(5,), (0,), (2, 3), (1,)]
    np.testing.assert_array_equal(np.concatenate([part.ravel() for part in parts]), expected)


def test_nothing_to_choose_from():
    assert top_k([], 0) == []


def test_kth_smallest():
    scores = np.array([[3.0, 1.0], [2.0, 1.0]])
    assert [kth_smallest(scores, k) for k in range(5)] == [-np.inf, 1, 1, 2, 3]


def test_a_share_is_exact():
    assert share_of(100, 0.29) == 29 and math.floor(100 * 0.29) == 28
    assert [share_of(5, 0.5), share_of(5, 0.5, round), share_of(7, 0.5, round)] == [2, 2, 4]
