import os
import struct
import zipfile

import numpy as np
import pytest

from flop_tf.files import array_file

# Headers that NumPy fails on in as many ways; a good one has the keys descr, fortran_order, shape.
HEADERS = {
    "open": "{'descr': (",
    "deep": "{'descr': " + "-" * 8000 + "1}",
    "type": "{'descr': ('<f4',), 'fortran_order': False, 'shape': (1,)}",
    "overflow": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 30 + ",)}",
    "more than there is": "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000, 100000)}",
    "bool": "{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
}


def content(header):
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + bytes(4)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_damaged_header(header, tmp_path):
    (tmp_path / "x.npy").write_bytes(content(header))
    with pytest.raises(ValueError, match="The map .*x.npy' cannot be read: .+; write it anew"):
        array_file.mapped(tmp_path / "x.npy", "map")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("x.npy", content(header))
    with pytest.raises(ValueError, match="The map .*x.npz' cannot be read: .+; write it anew"):
        list(array_file.archive(tmp_path / "x.npz", "map", 1000))


def test_what_is_written_is_read(tmp_path):
    arrays = {"a": np.eye(2, dtype=np.float32), "b": np.arange(3)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    np.save(tmp_path / "x.npy", arrays["b"])
    found = dict(array_file.archive(tmp_path / "x.npz", "map", 1000))
    assert found.keys() == arrays.keys()
    np.testing.assert_array_equal(found["a"], arrays["a"])
    np.testing.assert_array_equal(array_file.mapped(tmp_path / "x.npy", "map"), arrays["b"])


def test_a_small_file_of_large_arrays(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(10**6, np.int8))
    assert os.path.getsize(tmp_path / "x.npz") < 10**4
    with pytest.raises(ValueError, match="its arrays may have 100000 bytes, received 1000128"):
        list(array_file.archive(tmp_path / "x.npz", "map", 10**5))


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "x")
    for read in (array_file.mapped, lambda *args: list(array_file.archive(*args, 1000))):
        with pytest.raises(ValueError, match="must be a regular file, received a FIFO"):
            read(tmp_path / "x", "map")
