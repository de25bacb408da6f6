import os

import numpy as np
import pytest
import safetensors.numpy

from flop_tf.files import diff_file, tensor_file
from flop_tf.files.diff_file import Diff

BASE = {
    "a": np.float32(np.random.default_rng(0).normal(size=[3, 4])),
    "b": np.float32([0.001, -0.0]),
    "c": np.zeros([5], np.float32),
}


def make(**changes):
    positions = {"a": np.array([0, 5, 11]), "b": np.array([0]), "c": np.array([], np.int64)}
    settings = {
        "base": tensor_file.fingerprint(BASE),
        "shapes": {name: array.shape for name, array in BASE.items()},
        "positions": positions,
        "values": {"a": np.float32([1, 2, -3]), "b": np.float32([0.3]), "c": np.float32([])},
        "dense": {"head.kernel": np.ones([2, 2], np.float32)},
        "info": {"task": {"name": "RTE"}},
    }
    return Diff(**{**settings, **changes})


def equal(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(np.signbit(one[n]), np.signbit(other[n]))
        and np.array_equal(one[n], other[n])
        for n in one
    )


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "x" / "diff.safetensors"
    starts = {"a": np.float32([7, 8, 9]), "b": np.float32([1]), "c": np.float32([])}
    diff = make(weights=starts)
    diff_file.write(path, diff)
    found = diff_file.read(path)
    for field in ("positions", "values", "dense", "weights"):
        assert equal(getattr(found, field), getattr(diff, field))
    assert (found.base, found.shapes, found.info) == (diff.base, diff.shapes, diff.info)
    assert found.num_entries == 4 and found.density == 4 / 19
    first = path.read_bytes()
    diff_file.write(path, found)
    assert path.read_bytes() == first and os.listdir(path.parent) == ["diff.safetensors"]


def test_no_entries(tmp_path):
    none = {name: np.array([], np.int64) for name in BASE}
    diff_file.write(tmp_path / "d", make(positions=none, values=none))
    assert diff_file.read(tmp_path / "d").num_entries == 0


@pytest.mark.parametrize("gap", [0, 1, 126, 127, 128, 129, 16383, 16384, 16511, 1 << 21, 1 << 33])
def test_gaps_of_any_size(gap):
    positions = np.cumsum([gap, 1, gap + 1, 1, 1, gap + 1])
    coded = diff_file._encode(positions)
    np.testing.assert_array_equal(diff_file._decode(coded), positions)


def test_half_precision(tmp_path):
    diff_file.write(tmp_path / "d", make(), dtype="float16")
    values = diff_file.read(tmp_path / "d").values["b"]
    assert values.dtype == np.float32 and values[0] == np.float32(np.float16(0.3))
    large = {**make().values, "b": np.float32([1e6])}
    with pytest.raises(ValueError, match=r"float16 must have values up to 65504, received 1e\+06"):
        diff_file.write(tmp_path / "d", make(values=large), dtype="float16")
    with pytest.raises(
        ValueError, match="`dtype` must be one of float32, float16, received 'int8'"
    ):
        diff_file.write(tmp_path / "d", make(), dtype="int8")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_of_a_training_that_diverged(tmp_path, value):
    values = {**make().values, "b": np.float32([value])}
    with pytest.raises(ValueError, match="must have finite values, received NaN or infinity, as"):
        diff_file.write(tmp_path / "d", make(values=values))
    assert not os.listdir(tmp_path)


def test_size_at_half_a_percent_of_bert_base(tmp_path):
    number = 109_482_240
    rng = np.random.default_rng(0)
    entries = np.sort(rng.choice(number, int(0.005 * number), replace=False, shuffle=False))
    values = np.float32(rng.normal(size=len(entries)))
    diff = make(shapes={"a": (number,)}, positions={"a": entries}, values={"a": values})
    diff_file.write(tmp_path / "d", diff)
    assert os.path.getsize(tmp_path / "d") <= 3.3e6
    np.testing.assert_array_equal(diff_file.read(tmp_path / "d").positions["a"], entries)
    diff_file.write(tmp_path / "d", diff, dtype="float16")
    assert os.path.getsize(tmp_path / "d") <= 2.0e6


def test_applied_and_removed_bit_by_bit():
    diff = make()
    copies = {name: array.copy() for name, array in BASE.items()}
    applied = diff_file.apply(diff, BASE)
    assert equal(BASE, copies)
    assert applied["a"].reshape(-1)[5] == BASE["a"].reshape(-1)[5] + np.float32(2)
    assert np.flatnonzero(applied["a"] != BASE["a"]).tolist() == [0, 5, 11]
    assert np.signbit(applied["b"][1]) and applied["c"] is BASE["c"]
    np.testing.assert_array_equal(applied["head.kernel"], diff.dense["head.kernel"])
    assert equal(diff_file.remove(diff, applied, BASE), copies)
    assert applied["b"][0] - diff.values["b"][0] != BASE["b"][0]  # Why it is not subtracted.
    applied["c"] = applied["c"] + 1
    with pytest.raises(ValueError, match="1 of its weights are other ones, such as 'c'; it was"):
        diff_file.remove(diff, applied, BASE, "x")


def test_another_base_is_refused():
    other = {**BASE, "b": np.float32([0.001, 0.0])}  # The sign of a zero is another base.
    with pytest.raises(
        ValueError, match="'x' has a difference to another base model: expected the"
    ):
        diff_file.apply(make(), other, "x")


def test_foreign_and_damaged_files(tmp_path):
    path = tmp_path / "d"
    diff_file.write(path, make())
    whole = path.read_bytes()
    for content, sentence in (
        (whole[:-3], "must be a difference, received a damaged or another file: "),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "is damaged: expected the SHA-256 "),
        (b"text", "must be a difference, received a damaged or another file: "),
        (safetensors.numpy.save(BASE), "received a safetensors file with metadata []; name a dif"),
        (safetensors.numpy.save(BASE, {"flop_tf.diff": "[1"}), "must be JSON: "),
        (safetensors.numpy.save(BASE, {"flop_tf.diff": "{}"}), "of version 1, received version N"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            diff_file.read(path)
        assert sentence in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("header", "arrays", "sentence"),
    [
        ({"counts": {}}, {}, "a count for each shape"),
        ({"counts": None}, {}, "received 'null' at '.counts'"),
        ({"shapes": {"a": [3, -1]}}, {}, "expected 'int' >= 0 at '.shapes"),
        ({"shapes": {"a": [2**31 - 1] * 9}, "counts": {"a": 1}}, {}, "at most 1099511627776 para"),
        ({"shapes": {"a": [0]}, "counts": {"a": 1}}, {}, "parameters and entries of these"),
        ({"base": 3}, {}, "received 'int' at '.base'"),
        ({"info": []}, {}, "received 'array' at '.info'"),
        ({}, {"positions": np.uint8([0])}, "positions of 2 entries"),
        ({}, {"positions": np.uint8([0, 128])}, "positions of 2 entries"),
        ({}, {"positions": np.uint8([0, *[128] * 9, 0])}, "positions of 2 entries"),
        ({}, {"positions": np.float32([0, 0])}, "positions of 2 entries"),
        ({}, {"positions": np.uint8([0, 100])}, "positions of 'a' within its shape"),
        ({}, {"positions": np.uint8([0, *[255] * 8, 127])}, "positions of 'a' within its shape"),
        ({}, {"values": np.float32([1])}, "2 values of the type float32 or float16"),
        ({}, {"values": np.int64([1, 2])}, "2 values of the type float32 or float16"),
        ({}, {"weights": np.float32([1, 2, 3])}, "2 weights of the type float32 or float16"),
        ({}, {"values": np.float32([1, np.nan])}, "finite float32 numbers in 'values'"),
        ({}, {"dense.head": np.float64([1])}, "finite float32 numbers in 'dense.head'"),
    ],
)
def test_a_forged_file(header, arrays, sentence, tmp_path):
    whole = {"base": "x", "shapes": {"a": [2, 3]}, "counts": {"a": 2}, "info": {}}
    parts = {"positions": np.uint8([0, 0]), "values": np.float32([1, 2])}
    path = str(tmp_path / "d")
    diff_file._FILE.write(path, whole, parts)
    assert diff_file.read(path).positions["a"].tolist() == [0, 1]
    diff_file._FILE.write(path, {**whole, **header}, {**parts, **arrays})
    with pytest.raises(ValueError, match=sentence):
        diff_file.read(path)


def test_what_is_stored_whole_is_not_of_the_base():
    diff = make(dense={"a": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="must store whole only what the base lacks"):
        diff_file.apply(diff, BASE)


def test_the_shapes_of_a_file_are_those_of_its_base():
    shapes = {name: (1, *array.shape) for name, array in BASE.items()}
    with pytest.raises(ValueError, match="must have the shapes of the base that it names"):
        diff_file.apply(make(shapes=shapes), BASE)
