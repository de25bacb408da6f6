import dataclasses
import json
import os
import socket
import typing

import msgspec
import pytest

from flop_tf.files import json_file


class Shape(typing.TypedDict, total=False):
    size: typing.Required[json_file.Size]
    rows: list[dict[str, float]]


class Nested(msgspec.Struct):
    below: list["Nested"]


@dataclasses.dataclass(frozen=True)
class Sizes:
    first: int
    others: tuple["Sizes", ...] = ()

    def __post_init__(self):
        if self.first < 1:
            raise ValueError(f"Argument `first` must be at least 1, received {self.first}.")


def read(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return json_file.read(path, Shape, "table", "measure it again")


@pytest.mark.parametrize(
    "data", [{"size": 1}, {"size": 2, "rows": [{"a": 1, "b": 0.5}]}, {"size": 3, "more": [None]}]
)
def test_what_fits_comes_back_as_it_is(data, tmp_path):
    assert read(tmp_path, data) == data


def test_a_whole_surrogate_pair_is_a_character(tmp_path):
    assert read(tmp_path, b'{"size": 1, "a": "\\ud83d\\ude42"}') == {"size": 1, "a": "🙂"}


def test_a_byte_order_mark_is_no_content(tmp_path):
    assert read(tmp_path, b'\xef\xbb\xbf{"size": 1}') == {"size": 1}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "is damaged or of another kind: expected 'object', received 'array'"),
        ({}, "expected the key 'size'"),
        ({"size": 1.0}, "expected 'int', received 'float' at '.size'"),
        ({"size": True}, "expected 'int', received 'bool' at '.size'"),
        ({"size": 0}, "expected 'int' >= 1 at '.size'"),
        ({"size": 10**12}, "expected 'int' <= 2147483647 at '.size'"),
        ({"size": 1, "rows": [{"a": "b"}]}, r"received 'str' at '.rows\[0\]"),
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (
            b'{"size": 1, "a": "\\ud83d"}',
            r"'\\ud83d' is half of a surrogate pair, and no character",
        ),
        (b'{"size": NaN}', "must be JSON: NaN is no number"),
        (b'{"size": 1, "rows": [{"a": 1e999}]}', "must be JSON: 1e999 is no number"),
        (b'{"size": ' + b"9" * 5000 + b"}", "must be JSON: Exceeds the limit"),
        (b'{"size": "\xff"}', "must be JSON: 'utf-8' codec can't decode"),
    ],
)
def test_what_does_not_fit_ends_in_one_sentence(content, sentence, tmp_path):
    with pytest.raises(ValueError, match=rf"^The table .*file.json' .*{sentence}.*; measure it"):
        read(tmp_path, content)


@pytest.mark.parametrize("content", [b"[" * 10**6, b'{"rows": ' * 10**5])
def test_deep_nesting_is_a_sentence(content, tmp_path):
    with pytest.raises(ValueError, match="must be JSON, received one nested too deeply"):
        read(tmp_path, content)


def test_deep_data_of_another_reader_is_a_sentence():
    data = []
    for _ in range(10**5):
        data = [data]
    with pytest.raises(ValueError, match="The header of 'x' does not fit: .*; write it anew."):
        json_file.check([data, 1], Nested, "The header of 'x' does not fit", "write it anew")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.json"
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=f"must have at most .* bytes, received {2**40}"):
        json_file.read(path, Shape, "table")


def test_nothing_but_regular_files_is_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, found in {"": "a folder", "fifo": "a FIFO", "socket": "a socket"}.items():
            with pytest.raises(ValueError, match=f"must be a regular file, received {found}"):
                json_file.read(tmp_path / name, Shape, "table")
    with pytest.raises(ValueError, match="must be a regular file, received a device"):
        json_file.read("/dev/zero", Shape, "table")
    with pytest.raises(ValueError, match="cannot be read: .*symbolic links"):
        json_file.read(tmp_path / "loop", Shape, "table")
    for name in ("none", "fifo/none"):
        with pytest.raises(ValueError, match="The table .* does not exist"):
            json_file.read(tmp_path / name, Shape, "table")


def test_data_become_values_of_a_type():
    made = json_file.convert({"first": 1, "others": [{"first": 2}]}, Sizes, "Sizes do not fit")
    assert made == Sizes(1, (Sizes(2),))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"first": 1, "others": [{"first": 0}]},
            "^Argument `first` must be at least 1, received 0",
        ),
        ({"first": "1"}, "^Sizes do not fit: expected 'int', received 'str' at '.first'.$"),
    ],
)
def test_what_a_type_refuses_is_said_in_its_own_words(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        json_file.convert(data, Sizes, "Sizes do not fit")
