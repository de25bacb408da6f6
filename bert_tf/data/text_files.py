"""Lines of UTF-8 text files."""

import os


def read_lines(path, name="file"):
    r"""Reads a text file; only "\n" and "\r\n" end a line, a byte order mark is dropped.

    `str.splitlines` would also cut at characters that occur inside sentences (U+0085, U+2028).

    Args:
      path: the file.
      name: what an error calls it, as in "The vocabulary 'x' is empty".

    Returns:
      List of lines without their ends, at least one.

    Raises:
      ValueError: if the file is missing, empty or not UTF-8.
    """
    if not os.path.isfile(path):
        raise ValueError(f"The {name} {str(path)!r} does not exist.")
    with open(path, "rb") as file:
        data = file.read()
    if not data.strip():
        raise ValueError(f"The {name} {str(path)!r} is empty.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the byte order mark.
        bad = error.start + len(data) - len(error.object)
        line = data.count(b"\n", 0, bad) + 1
        raise ValueError(
            f"The {name} {str(path)!r} must be UTF-8, received the byte 0x{data[bad]:02X} "
            f"in line {line} (byte {bad})."
        ) from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
