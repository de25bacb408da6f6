import os

import numpy as np
import pytest

from bert_tf.studies.attention import pattern_data


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_raw_labels(write):
    path = write(
        "labels.txt", "block = 7, 12\n\nvertical_sep=1_2\nVertical (cls) = 123\nmix=1234\n"
    )
    assert pattern_data.read_labels(path) == {
        "0007": "block",
        "0012": "block",
        "1_2": "vertical",
        "0123": "vertical",
        "1234": "mix",
    }


def test_normed_labels(write):
    path = write("labels.tsv", "7\tVertical + Diagonal\n\nrte_1\tVertical\n")
    assert pattern_data.read_labels(path) == {"7": "Vertical + Diagonal", "rte_1": "Vertical"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.txt",
            "block 7\n",
            r"need lines 'label = name,name,...', received 'block 7\\n' in line 1",
        ),
        ("a.txt", "\nblock = 7,,8\n", "need lines 'label = .* in line 2"),
        ("a.txt", "= 7\n", "need lines 'label = "),
        ("a.txt", "block = 7\nmix = 8,0007\n", "each map once, received '0007' again in line 2"),
        ("a.txt", "\n", "at least one line, received none"),
        ("a.tsv", "7 Block\n", "lines of a name, a tab and a label, received .* in line 1"),
        ("a.tsv", "7\tBlock\t\n", "lines of a name, a tab and a label"),
        ("a.tsv", "7\tBlock\n7\tBlock\n", "each map once, received '7' again in line 2"),
    ],
)
def test_damaged_labels(write, name, text, message):
    with pytest.raises(ValueError, match=message):
        pattern_data.read_labels(write(name, text))


def test_labels_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="The file of labels .* does not exist"):
        pattern_data.read_labels(tmp_path / "no.txt")
    (tmp_path / "bytes.txt").write_bytes(b"a\xff")
    with pytest.raises(ValueError, match="The file of labels .* must be UTF-8"):
        pattern_data.read_labels(tmp_path / "bytes.txt")
    os.mkfifo(tmp_path / "fifo.txt")
    with pytest.raises(ValueError, match="must be a regular file, received a FIFO"):
        pattern_data.read_labels(tmp_path / "fifo.txt")


def test_maps_of_a_folder_and_of_one_file(tmp_path):
    arrays = {"0007": np.eye(3), "rte_1": np.ones([2, 2], np.int32)}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "notes.txt").write_text("not a map")
    np.savez(tmp_path / "all.npz", **arrays)
    for path in (tmp_path, tmp_path / "all.npz"):
        found = pattern_data.read_maps(path)
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones([2, 3]), r"must be a square of numbers, received float64 \[2, 3\]"),
        (np.ones([2]), "must be a square"),
        (np.ones([0, 0]), "must be a square"),
        (np.full([2, 2], "a"), "must be a square of numbers"),
        (np.full([2, 2], np.nan), "must be finite, received NaN"),
    ],
)
def test_what_is_no_map(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=f"The map 'x' {message}"):
        pattern_data.read_maps(tmp_path)


def test_maps_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="must be .npy files, received none"):
        pattern_data.read_maps(tmp_path)
    with pytest.raises(ValueError, match="The file of maps .* does not exist"):
        pattern_data.read_maps(tmp_path / "no.npz")
    for content in (b"", b"no array", b"PK\x03\x04torn"):
        (tmp_path / "torn.npz").write_bytes(content)
        with pytest.raises(ValueError, match="torn.npz' cannot be read"):
            pattern_data.read_maps(tmp_path / "torn.npz")
    np.save(tmp_path / "one.npy", np.eye(2))
    with pytest.raises(ValueError, match="one.npy' cannot be read"):
        pattern_data.read_maps(tmp_path / "one.npy")


def test_maps_and_labels_together():
    maps = {"a": np.eye(2), "b": np.ones([3, 3]), "c": np.eye(1)}
    found, labels = pattern_data.labelled(maps, {"b": "block", "a": "diagonal"})
    assert [len(each) for each in found] == [3, 2] and labels == ["block", "diagonal"]
    with pytest.raises(ValueError, match=r"received 2 unknown names, such as \['x', 'y'\]"):
        pattern_data.labelled(maps, {"a": "block", "y": "block", "x": "block"})


def test_maps_are_centred_in_zeros():
    # 5 to 8: one row before, two after, as the specification says.
    found = pattern_data.centered([np.ones([5, 5]), np.ones([8, 8])], 8)
    assert found.shape == (2, 8, 8, 1) and found.dtype == np.float32
    expected = np.pad(np.ones([5, 5]), (1, 2))
    np.testing.assert_array_equal(found[0, :, :, 0], expected)
    assert found[1].all()


def test_larger_maps_are_cut():
    large = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(pattern_data.centered([large], 3)[0, :, :, 0], large[:3, :3])
