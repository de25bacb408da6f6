"""Lines of UTF-8 text files."""

import codecs

from flop_tf import files


def iterate_lines(path, name="file"):
    r"""Yields the lines of a text file with their ends; a byte order mark is dropped.

    Only "\n" ends a line: `str.splitlines` would also cut at characters that occur inside
    sentences (U+0085, U+2028).

    Args:
      path: the file.
      name: what an error calls it, as in "The vocabulary 'x' is empty".

    Raises:
      ValueError: if the file is missing, no regular file, not UTF-8 or no text.
    """
    files.check_regular(path, name)
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        try:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise ValueError(
                        f"The {name} {str(path)!r} must be text in UTF-8, received a NUL byte in "
                        f"line {number}; save it as UTF-8."
                    )
                yield line
        except UnicodeDecodeError as error:
            raise _not_utf8(path, name) from error


def read_lines(path, name="file"):
    r"""Returns the lines of a text file without their ends, "\n" or "\r\n".

    Args:
      path: the file.
      name: what an error calls it, see `iterate_lines`.

    Returns:
      List of lines, at least one.

    Raises:
      ValueError: as `iterate_lines`, and if the file is empty.
    """
    lines = [line.removesuffix("\n").removesuffix("\r") for line in iterate_lines(path, name)]
    if not any(map(str.strip, lines)):
        raise ValueError(f"The {name} {str(path)!r} is empty.")
    return lines


def _not_utf8(path, name):
    """Returns the error of a file that `iterate_lines` cannot decode."""
    with open(path, "rb") as file:
        data = file.read()
    origin = f"The {name} {str(path)!r} must be UTF-8, received"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ValueError(f"{origin} UTF-16; save it as UTF-8.")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from after the byte order mark.
        bad = error.start + len(data) - len(error.object)
        line = data.count(b"\n", 0, bad) + 1
        return ValueError(f"{origin} the byte 0x{data[bad]:02X} in line {line} (byte {bad}).")
    return ValueError(f"{origin} other bytes, but it was changed meanwhile; try again.")
