import numpy as np
import pytest
import tensorflow as tf

from flop_tf.diffs.diff_switching import SwitchedDiffs
from flop_tf.files.diff_file import Diff

BASE = {
    "a": np.float32(np.random.default_rng(0).normal(size=[3, 4])),
    "b": np.float32([-0.0, 0.001]),
    "c": np.zeros([5], np.float32),
    "d": np.ones([2], np.float32),
}
DIFFS = {
    "x": {"a": ([0, 5, 11], [1, 2, -3]), "b": ([0], [0.3])},
    "y": {"a": ([5, 6], [7, -7]), "c": ([4], [1])},
    "z": {},
}


def make(entries):
    empty = ([], [])
    return Diff(
        base="",
        shapes={name: array.shape for name, array in BASE.items()},
        positions={name: np.int64(entries.get(name, empty)[0]) for name in BASE},
        values={name: np.float32(entries.get(name, empty)[1]) for name in BASE},
        dense={},
    )


@pytest.fixture
def variables():
    return {name: tf.Variable(array) for name, array in BASE.items()}


@pytest.fixture
def switched(variables):
    return SwitchedDiffs(variables, {name: make(entries) for name, entries in DIFFS.items()})


def expected(name):
    arrays = {path: array.copy() for path, array in BASE.items()}
    for path, (positions, values) in DIFFS.get(name, {}).items():
        arrays[path].reshape(-1)[positions] += np.float32(values)
    return arrays


def bits(arrays):
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize(
    "names", ["x", "xx", "xy", "yx", "yxyx", "zxz", "x y", "yz", "z xy ", " x "]
)
def test_any_way_there_gives_the_same_bits(variables, switched, names):
    for name in names:
        name = name.strip() or None
        switched.switch(name)
        assert switched.current == name
        assert bits(variables) == bits(expected(name))


def test_a_compiled_model_sees_each_switch(variables, switched):
    total = tf.function(lambda: tf.add_n([tf.reduce_sum(v) for v in variables.values()]))
    for name in ("x", "y", None, "x"):
        switched.switch(name)
        sums = sum(array.sum(dtype=np.float64) for array in expected(name).values())
        np.testing.assert_allclose(total(), sums, rtol=1e-5)


def test_what_others_hold_stays(variables):
    arrays = {name: array.copy() for name, array in BASE.items()}
    for name, array in arrays.items():
        variables[name].assign(array)  # TensorFlow may take its memory.
    held = {name: variable.read_value() for name, variable in variables.items()}
    switched = SwitchedDiffs(variables, {"x": make(DIFFS["x"])})
    switched.switch("x")
    assert bits(held) == bits(arrays) == bits(BASE)
    assert bits(variables) == bits(expected("x"))


def test_an_unknown_name(variables, switched):
    switched.switch("x")
    with pytest.raises(ValueError, match=r"must be one of \['x', 'y', 'z'\], received 'w'."):
        switched.switch("w")
    assert switched.current == "x" and bits(variables) == bits(expected("x"))


def test_differences_without_entries(variables):
    switched = SwitchedDiffs(variables, {"z": make({})})
    switched.switch("z")
    assert switched.current == "z" and bits(variables) == bits(BASE)
