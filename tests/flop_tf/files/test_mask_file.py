import json
import os
import re

import numpy as np
import pytest
import safetensors.numpy

from flop_tf.files import mask_file

BASE = "ab" * 32


def masks(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"heads": (3, 5), "blocks": (3,), "a/kernel": (17, 9), "none": (0, 4), "one": ()}
    return {name: rng.random(shape) < 0.5 for name, shape in shapes.items()}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "masks.safetensors"
    mask_file.write(path, masks(), "tickets", BASE, {"seed": 3, "levels": [1, 2.5]})
    return path


def refuses(path, message, **expected):
    """One sentence that names the file."""
    with pytest.raises(ValueError, match=message) as caught:
        mask_file.read(path, **expected)
    text = str(caught.value)
    assert str(path) in text and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_is_read(tmp_path, seed):
    provenance = {"task": "rte", "nested": {"none": None, "text": "ü", "list": [1, 0.1, True]}}
    path = tmp_path / "new" / "masks.safetensors"
    mask_file.write(path, masks(seed), "lottery", BASE, provenance)
    saved = mask_file.read(path)
    assert (saved.method, saved.base, saved.provenance) == ("lottery", BASE, provenance)
    assert saved.masks.keys() == masks().keys()
    for name, mask in masks(seed).items():
        assert saved.masks[name].dtype == bool and saved.masks[name].shape == mask.shape
        np.testing.assert_array_equal(saved.masks[name], mask)
    assert os.listdir(path.parent) == [path.name]


def test_no_provenance_is_an_empty_one(path):
    mask_file.write(path, {}, "tickets", BASE)
    assert mask_file.read(path) == mask_file.SavedMasks({}, "tickets", BASE, {})


def test_what_is_expected_is_accepted(path):
    shapes = {name: list(mask.shape) for name, mask in masks().items()}
    assert mask_file.read(path, base=BASE, shapes=shapes).method == "tickets"


def test_equal_masks_make_equal_files(path):
    first = path.read_bytes()
    shuffled = dict(reversed(masks().items()))
    mask_file.write(path, shuffled, "tickets", BASE, {"seed": 3, "levels": [1, 2.5]})
    assert path.read_bytes() == first


def test_a_weight_takes_a_bit(path):
    rng = np.random.default_rng(0)
    large = {f"encoder/layer_{i}/kernel": rng.random((384, 1536)) < 0.5 for i in range(6)}
    mask_file.write(path, large, "magnitude", BASE)
    num_weights = sum(mask.size for mask in large.values())
    assert path.stat().st_size <= 1.01 * num_weights / 8


def test_masks_of_another_model(path):
    refuses(path, f"of another model: expected the fingerprint {'0' * 64}, rec", base="0" * 64)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"heads": (3, 4)}, r"expected \(3, 4\) for 'heads', received \(3, 5\), 1 in all differ"),
        ({"pooler": (2,)}, r"expected \(2,\) for 'pooler', received no mask, 1 in all differ"),
        ({"heads": None}, r"expected no mask for 'heads', received \(3, 5\), 1 in all differ"),
        ({"one": (1,), "heads": None}, "expected no mask for 'heads', .* 2 in all differ"),
    ],
)
def test_other_names_or_shapes(path, change, message):
    shapes = {**{name: mask.shape for name, mask in masks().items()}, **change}
    shapes = {name: shape for name, shape in shapes.items() if shape is not None}
    refuses(path, f"other names or shapes: {message}", shapes=shapes)


def test_truncated_files(path):
    data = path.read_bytes()
    for size in (0, 5, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        refuses(path, "must be a mask file, received a damaged or another file: ")


def test_changed_bits(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refuses(path, "is damaged: expected the SHA-256 [0-9a-f]{64}, received another content")


@pytest.mark.parametrize("old, new", [(b"tickets", b"tackets"), (b"abab", b"acab")])
def test_a_changed_header(path, old, new):
    data = path.read_bytes()
    assert data.count(old)
    path.write_bytes(data.replace(old, new, 1))
    refuses(path, "is damaged: expected the SHA-256")


def test_every_changed_byte_is_found(path):
    data = path.read_bytes()
    for index in range(0, len(data), 7):
        path.write_bytes(data[:index] + bytes([data[index] ^ 4]) + data[index + 1 :])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            mask_file.read(path)


def test_foreign_files(path):
    path.write_bytes(b"PK\x03\x04 an archive and no mask at all")
    refuses(path, "must be a mask file, received a damaged or another file: ")
    safetensors.numpy.save_file({"w": np.ones(3)}, path)
    refuses(path, r"with metadata 'flop_tf.masks', received a safetensors file with metadata \[\]")
    safetensors.numpy.save_file({"w": np.ones(3)}, path, {"format": "pt"})
    refuses(path, r"received a safetensors file with metadata \['format'\]; name a mask file")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "is damaged or of another kind: expected 'object', received 'array'"),
        ("{", "must be JSON: "),
        ("[" * 10**5, "must be JSON, received one nested too deeply"),
    ],
)
def test_a_header_that_is_no_object(path, text, sentence):
    safetensors.numpy.save_file({}, path, {"flop_tf.masks": text})
    refuses(path, sentence)


HEADER = {"method": "m", "base": BASE, "shapes": {"a": [10]}, "provenance": {}}
BITS = {"a": np.zeros(2, np.uint8)}


@pytest.mark.parametrize(
    ("header", "bits", "sentence"),
    [
        (
            {"shapes": {"a": [8, 10**9]}},
            BITS,
            r"must have the bytes \(10+,\), received uint8 \[2\]",
        ),
        ({"shapes": {"a": [8, 10**12]}}, BITS, r"expected 'int' <= 2147483647 at '.shapes"),
        ({"shapes": {"a": [-8]}}, BITS, r"expected 'int' >= 0 at '.shapes"),
        ({"shapes": {"a": [8.0]}}, BITS, r"expected 'int', received 'float' at '.shapes"),
        ({"shapes": {"a": 8}}, BITS, r"expected 'array', received 'int' at '.shapes"),
        ({"shapes": ["a"]}, BITS, r"expected 'object', received 'array' at '.shapes"),
        ({"provenance": 3}, BITS, r"received 'int' at '.provenance"),
        ({"method": None}, BITS, r"received 'null' at '.method"),
        ({}, {}, r"must have the bytes \(2,\), received none"),
        ({}, {"a": np.zeros(2)}, r"must have the bytes \(2,\), received float64 \[2\]"),
        ({}, {"a": np.zeros([1, 2], np.uint8)}, r"received uint8 \[1, 2\]"),
        ({}, {**BITS, "b": np.zeros(1, np.uint8)}, "a mask 'b' of shape None must have the bytes"),
    ],
)
def test_a_forged_header(path, header, bits, sentence):
    mask_file._FILE.write(str(path), {**HEADER, **header}, bits)
    refuses(path, sentence)


def test_a_missing_key_of_a_header(path):
    for key in HEADER:
        mask_file._FILE.write(str(path), {k: v for k, v in HEADER.items() if k != key}, BITS)
        refuses(path, f"must be that of a mask file: expected the key '{key}'")


@pytest.mark.parametrize("header", [{}, {"version": 2}])
def test_another_version(path, header):
    safetensors.numpy.save_file({}, path, {"flop_tf.masks": json.dumps(header)})
    version = header.get("version")
    refuses(path, f"must be a mask file of version 1, received version {version}; read it with")


def test_a_header_without_a_hash(path):
    safetensors.numpy.save_file({}, path, {"flop_tf.masks": json.dumps({"version": 1})})
    refuses(path, "is damaged: expected the SHA-256 None")


def test_a_file_that_is_not_there(tmp_path):
    refuses(tmp_path / "none.safetensors", "does not exist")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    refuses(tmp_path / "fifo", "must be a regular file, received a FIFO")
    refuses(tmp_path, "must be a regular file, received a folder")


def test_masks_that_are_not_boolean(path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="must have boolean arrays, received float32 for 'heads'"):
        mask_file.write(path, {"heads": np.ones(3, np.float32)}, "tickets", BASE)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "provenance",
    [{"a": np.float32(1)}, {"a": float("nan")}, {"a": (1, 2)}, {1: 2}, [1], {"a": {1}}],
)
def test_provenance_that_is_no_json(path, provenance):
    message = "`provenance` must be a dict that JSON gives back as it is, received"
    with pytest.raises(ValueError, match=message):
        mask_file.write(path, masks(), "tickets", BASE, provenance)
