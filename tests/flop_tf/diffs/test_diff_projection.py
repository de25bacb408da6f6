import numpy as np
import pytest

from flop_tf.diffs import diff_projection
from flop_tf.diffs.diff_projection import largest

DELTA = np.float32([0.004, -0.03, 0.0005, 0.02, -0.02, 0.0009, 0.05, 0, -0.011, 0.0101])


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (0.4, [1, 3, 4, 6]),
        (0.3, [1, 3, 6]),  # The bisection drops both of the tie; the first one has room.
        (0.2, [1, 6]),
        (0.05, []),
        (1.0, [0, 1, 2, 3, 4, 5, 6, 8, 9]),  # Never what is 0.
    ],
)
def test_d5_exactly_the_largest(target, kept):
    found = largest({"a": DELTA}, diff_projection.budget(target, DELTA.size))
    assert found["a"].tolist() == kept
    split = largest({"a": DELTA[:4].reshape(2, 2), "b": DELTA[4:]}, len(kept))
    assert [*split["a"], *(split["b"] + 4)] == kept


def test_of_many_entries_the_same():
    rng = np.random.default_rng(0)
    many = np.float32(rng.integers(0, 500, 50_000))  # With ties; a sample tells the boundary.
    order = np.argsort(-many, kind="stable")
    for number in (0, 1, 250, 10_000, 49_000):
        found = largest({"a": many[:30_000], "b": many[30_000:]}, number)
        joined = np.concatenate([found["a"], found["b"] + 30_000])
        expected = order[:number]
        np.testing.assert_array_equal(joined, np.sort(expected[many[expected] > 0]))


def test_d8_never_more_than_the_budget():
    rng = np.random.default_rng(0)
    values = {"a": np.float32(rng.integers(-3, 4, [20, 30])), "b": np.float32(rng.normal(size=77))}
    for target in (0.005, 0.1, 0.5):
        found = largest(values, diff_projection.budget(target, 677))
        assert sum(map(len, found.values())) == int(target * 677)


@pytest.mark.parametrize(
    ("density", "number", "k"), [(0.29, 100, 29), (0.005, 333_579_264, 1_667_896)]
)
def test_budget(density, number, k):
    assert diff_projection.budget(density, number) == k


@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, float("nan")])
def test_bad_densities(density):
    with pytest.raises(ValueError, match=r"`target_density` must be in \(0, 1\], rec"):
        diff_projection.budget(density, 10)


def test_bad_differences():
    with pytest.raises(ValueError, match="`num_entries` must be at least 0, received -1"):
        largest({"a": DELTA}, -1)
    with pytest.raises(ValueError, match="must have numbers, received NaN among them"):
        largest({"a": np.float32([np.nan])}, 1)
