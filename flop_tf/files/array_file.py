"""NumPy's own files, `.npy` and `.npz`, written by anybody: nothing in them is believed or run."""

import os
import tokenize
import zipfile
import zlib

import numpy as np

from flop_tf import files

# What NumPy and zipfile raise about damaged ones; a header is parsed as a literal of Python.
_DAMAGED = (
    EOFError,
    IndexError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def mapped(path, kind):
    """Returns the array of an `.npy` file, mapped: one larger than its file takes no memory.

    Args:
      path: of the file.
      kind: what an error calls it, as in "The file of maps 'x' cannot be read".

    Raises:
      ValueError: if it is no regular file, damaged, or has Python objects.
    """
    files.check_regular(path, kind)
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except _DAMAGED as error:
        raise _unreadable(path, kind, error) from error


def archive(path, kind, most_bytes):
    """Yields `(name, array)` of an `.npz` file, one after the other.

    Args:
      path: of the file.
      kind: see `mapped`.
      most_bytes: of all arrays together; compressed, a file of any size may hold them.

    Raises:
      ValueError: as `mapped`, and if the arrays are larger.
    """
    files.check_regular(path, kind)
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
        if size > most_bytes:
            raise ValueError(f"its arrays may have {most_bytes} bytes, received {size}")
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                yield name, file[name]
    except _DAMAGED as error:
        raise _unreadable(path, kind, error) from error


def _unreadable(path, kind, error):
    reason = str(error) or type(error).__name__
    return ValueError(f"The {kind} {os.fspath(path)!r} cannot be read: {reason}; write it anew.")
