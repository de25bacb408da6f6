"""The one place where JSON is read: the content of a file is checked before it is used.

A shape is a type that `msgspec` knows, declared next to the reader that needs it: a `TypedDict`,
`list[int]`, `Annotated[int, msgspec.Meta(ge=1)]`, ... Keys that a `TypedDict` does not name may be
there and stay as they are.
"""

import json
import math
import os
import re
import typing

import msgspec

from flop_tf import files

#: Types of counts and sizes: integers that fit into 32 bits, from 1 or from 0 on.
Size = typing.Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Count = typing.Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
#: Types of numbers that can be computed with and shown, and of those in [0, 1].
Number = typing.Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
Share = typing.Annotated[float, msgspec.Meta(ge=0, le=1)]

#: An object of any content.
Object = dict[str, typing.Any]

# A vocabulary of 250,000 WordPieces takes 17 MB; JSON takes up to 40 times its size in memory.
_MOST_BYTES = 64 * 2**20

# An escape of UTF-16 for half of a character, which no file and no tensor of texts can hold alone.
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def read(path, shape, kind, advice=""):
    """Returns the content of a JSON file, plain data.

    Args:
      path: of the file; UTF-8, with or without a byte order mark.
      shape: type that the content must have, see the module.
      kind: what an error calls it, as in "The latency table 'x' must be ...".
      advice: what the reader of an error is to do, as in "measure one again by
        flop-benchmark --table".

    Raises:
      ValueError: if it is missing, no regular file, too large, no JSON, or of another shape.
      OSError: if it cannot be read.
    """
    subject = f"The {kind} {os.fspath(path)!r}"
    files.check_regular(path, kind, advice)
    if (size := os.path.getsize(path)) > _MOST_BYTES:
        raise ValueError(
            f"{subject} must have at most {_MOST_BYTES} bytes, received {size}{_then(advice)}."
        )
    with open(path, "rb") as file:
        data = file.read()
    return parse(data, shape, subject, advice)


def parse(text, shape, subject, advice="", unique_keys=False):
    """Returns the plain data of a JSON text.

    Args:
      text: str, or UTF-8 bytes with or without a byte order mark.
      shape: see `read`.
      subject: with which an error begins: "The latency table 'x'".
      advice: see `read`.
      unique_keys: whether an object with a key twice is refused; by default the last one counts.

    Raises:
      ValueError: if it is no JSON or of another shape; a number that is not finite is no JSON.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        hook = _unique if unique_keys else None
        data = json.loads(
            text, parse_constant=_refused, parse_float=_finite, object_pairs_hook=hook
        )
        if _HALF_PAIR.search(text):  # Rarely: whole pairs look alike.
            _check_characters(data)
    except RecursionError as error:
        raise ValueError(f"{subject} must be JSON, received one nested too deeply.") from error
    except ValueError as error:
        raise ValueError(f"{subject} must be JSON: {error}{_then(advice)}.") from error
    return check(data, shape, f"{subject} is damaged or of another kind", advice)


def check(data, shape, beginning, advice=""):
    """Returns plain data as it is where it has a shape.

    Args:
      data: plain data.
      shape: see `read`.
      beginning: with which an error begins: "The header of 'x' must have what a mask needs".
      advice: see `read`.

    Raises:
      ValueError: if it has another one.
    """
    convert(data, shape, beginning, advice)
    return data


def convert(data, shape, beginning, advice=""):
    """Returns plain data as a value of a type, such as a dataclass with dataclasses in it.

    Args:
      data: plain data.
      shape: see `read`.
      beginning: see `check`.
      advice: see `read`.

    Raises:
      ValueError: if the data do not fit; one that a dataclass raises itself comes as it is.
    """
    try:
        return msgspec.convert(data, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        raise ValueError(f"{beginning}: {_plain(error)}{_then(advice)}.") from error


def _refused(text):
    raise ValueError(f"{text} is no number")


def _finite(text):
    value = float(text)
    return value if math.isfinite(value) else _refused(text)


def _unique(pairs):
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} occurs twice in an object")
        found[key] = value
    return found


def _check_characters(data):
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"{half!r} is half of a surrogate pair, and no character") from error


def _plain(error):
    """Returns the message of msgspec in the words of our errors."""
    text = str(error).replace("`", "'").replace(", got ", ", received ")
    text = text.replace("Object missing required field ", "expected the key ")
    return text[:1].lower() + text[1:].replace(" - at '$", " at '")


def _then(advice):
    return f"; {advice}" if advice else ""
