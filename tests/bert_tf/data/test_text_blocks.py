"""Tests of bert_tf.data.text_blocks: files of plain text."""

import os

import pytest

from bert_tf.data.text_blocks import TextFile


@pytest.mark.parametrize(
    "content, lines",
    [
        ("a\u2028b\n\n c\r\n", ["a\u2028b", " c"]),
        ("a\rb\r", ["a\rb"]),
        ("one", ["one"]),
    ],
)
def test_lines(tmp_path, content, lines):
    (tmp_path / "train.txt").write_text(content, "utf-8", newline="")
    assert TextFile("train.txt").read(tmp_path).lines == lines


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b" \n\r\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "must be UTF-8, received the byte 0x89 in line 1"),
        (b"abc\0\0", "received a NUL byte in line 1"),
    ],
)
def test_no_text(tmp_path, content, message):
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"^The text file '.*train.txt' .*{message}"):
        TextFile("train.txt").read(tmp_path)


def test_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    assert TextFile("train.txt").exists(tmp_path)
    with pytest.raises(ValueError, match="must be a regular file, received a FIFO"):
        TextFile("train.txt").read(tmp_path)
