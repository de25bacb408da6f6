"""Tests of bert_tf.data.text_files."""

import pytest

from bert_tf.data.text_files import read_lines


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
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_lines(path, "table")
