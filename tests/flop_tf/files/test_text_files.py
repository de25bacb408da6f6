"""Tests of flop_tf.files.text_files."""

import os

import pytest

from flop_tf.files.text_files import read_lines


def test_only_newlines_end_a_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffa\u2028b\x85\rc\r\n\nd\n".encode())
    assert read_lines(path) == ["a\u2028b\x85\rc", "", "d"]


@pytest.mark.parametrize(
    "content, message",
    [
        (None, r"^The table '.*a.txt' does not exist\.$"),
        (b"", r"^The table '.*a.txt' is empty\.$"),
        (b"\n\r\n", r"is empty\.$"),
        (b"a\nb\xe9\n", r"must be UTF-8, received the byte 0xE9 in line 2 \(byte 3\)\.$"),
        (b"\xef\xbb\xbfa\nb\xe9\n", r"received the byte 0xE9 in line 2 \(byte 6\)\.$"),
        ("a\n".encode("utf-16"), r"'.*a.txt' must be UTF-8, received UTF-16; save it as UTF-8\.$"),
        ("b\na\n".encode("utf-16-le"), r"must be text in UTF-8, received a NUL byte in line 1; "),
        (b"a\nb\0c\n", r"received a NUL byte in line 2; save it as UTF-8\.$"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_lines(path, "table")


@pytest.mark.parametrize(
    "make, message",
    [
        (os.mkfifo, r"^The table '.*a.txt' must be a regular file, received a FIFO\.$"),
        (os.mkdir, r"must be a regular file, received a folder\.$"),
        (lambda path: os.symlink("/dev/zero", path), r"received a device\.$"),
        (lambda path: os.symlink(path, path), r"cannot be read: .*symbolic links"),
    ],
)
def test_no_file_of_text(tmp_path, make, message):
    make(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=message):
        read_lines(tmp_path / "a.txt", "table")


def test_a_long_line(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 10**7 + "\nb")
    assert [len(line) for line in read_lines(tmp_path / "a.txt")] == [10**7, 1]
