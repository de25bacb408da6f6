"""Ranges of numbers: declared where an option or a flag is, and checked here alone."""

import dataclasses
import math
import numbers
import re

#: The largest numbers that TensorFlow's int32 and float32 hold.
_LARGEST = {int: 2**31 - 1, float: (2 - 2**-23) * 2.0**127}

_NOUNS = {int: "an integer", float: "a number"}


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of finite numbers, without bounds where none are given.

    Args:
      at_least: the smallest number.
      above: instead of it, what a number must exceed.
      at_most: the largest number.
      below: instead of it, what a number must stay under.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def __contains__(self, value):
        return (
            -math.inf < value < math.inf  # NaN is not.
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self):
        lower = self.at_least if self.above is None else self.above
        upper = self.at_most if self.below is None else self.below
        if lower is None and upper is None:
            return "a finite number"
        if lower is None or upper is None:
            given = ((k.replace("_", " "), v) for k, v in vars(self).items() if v is not None)
            return " ".join(map(str, next(given)))
        brackets = "(" if self.above is not None else "[", ")" if self.below is not None else "]"
        return f"in {brackets[0]}{lower}, {upper}{brackets[1]}"


FINITE = Range()
FROM_0 = Range(at_least=0)
FROM_1 = Range(at_least=1)
ABOVE_0 = Range(above=0)
#: Shares, with both ends, one of them or none.
SHARE = Range(at_least=0, at_most=1)
SHARE_BELOW_1 = Range(at_least=0, below=1)
SHARE_ABOVE_0 = Range(above=0, at_most=1)
SEED = Range(at_least=0, below=2**31)
#: WordPieces of an input: [CLS], [SEP] and one between them.
SEQUENCE_LENGTH = Range(at_least=3)


def check(subject, value, kind, allowed):
    """Raises ValueError where a value is no number of a kind, in a range.

    Args:
      subject: begins the sentence, such as "Argument `seed`".
      value: the number.
      kind: `int` or `float`; a float may be given as an int.
      allowed: `Range`.
    """
    expected = numbers.Integral if kind is int else numbers.Real
    if not isinstance(value, expected) or isinstance(value, bool):
        raise ValueError(f"{subject} must be {_NOUNS[kind]}, received {value!r}.")
    largest = _LARGEST[kind]
    if value not in allowed:
        raise ValueError(f"{subject} must be {allowed}, received {value!r}.")
    if abs(value) > largest:
        raise ValueError(f"{subject} must be at most {largest}, received {value!r}.")


def parse(subject, text, kind, allowed):
    """Returns the number that a text holds: ASCII digits, without underscores.

    Args:
      subject: see `check`; so the next but one.
      text: the text.
      kind: see above.
      allowed: see above.

    Raises:
      ValueError: if it is no number of that kind and range.
    """
    value = _number(text, kind)
    check(subject, text if value is None else value, kind, allowed)
    return value


def parse_list(subject, text, kind, allowed, distinct=False):
    """Returns the numbers of a text with commas between them, in a list; of an empty one none.

    Args:
      subject: see `check`; so `kind` and `allowed`.
      text: the text.
      kind: see above.
      allowed: see above.
      distinct: whether a number may occur only once.

    Raises:
      ValueError: if an entry is no number of that kind and range, or occurs twice.
    """
    values = [_number(entry, kind) for entry in text.split(",")] if text.strip() else []
    if None in values:
        nouns = {int: "integers", float: "numbers"}[kind]
        raise ValueError(f"{subject} must be {nouns} with commas between them, received {text!r}.")
    for value in values:
        check(subject, value, kind, allowed)
    if distinct and len(set(values)) < len(values):
        raise ValueError(f"{subject} must name each number once, received {text!r}.")
    return values


def parse_shape(subject, text):
    """Returns the `(batch size, length)` of a text such as 8x128.

    Args:
      subject: see `check`.
      text: the text.

    Raises:
      ValueError: if it is no shape.
    """
    if not re.fullmatch(r"\d+x\d+", text, re.ASCII):
        raise ValueError(f"{subject} must be such as 8x128, received {text!r}.")
    return tuple(parse(subject, part, int, FROM_1) for part in text.split("x"))


def _number(text, kind):
    # Python also reads digits of other scripts and 1_000, which no other program does.
    if not text.isascii() or "_" in text:
        return None
    try:
        return kind(text)
    except ValueError:
        return None
