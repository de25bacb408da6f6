"""What a smaller model may cost: a share of what the dense model does, or an amount with a unit."""

import dataclasses
import re

from bert_tf import ranges

#: What an amount with a unit is of, and how much one is: seconds, bytes, parameters,
#: multiplications of a request.
UNITS = {
    "ms": ("latency", 1e-3),
    "MB": ("bytes", 1e6),
    "M": ("parameters", 1e6),
    "G": ("multiplications", 1e9),
}

_SUBJECT = "Argument `targets`"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ENTRY = re.compile(rf"\s*({_NUMBER})\s*({'|'.join(UNITS)})?\s*", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Target:
    """One target; its text names the model.

    Args:
      number: a share in (0, 1], or how many of the unit.
      unit: one of `UNITS`; default "" for a share.
    """

    number: float
    unit: str = ""

    def __str__(self):
        return f"{self.number:.12g}{self.unit}"

    def amount(self, dense):
        """Returns the cost that is allowed.

        Args:
          dense: cost of the dense model, in seconds, bytes, parameters or multiplications.
        """
        return self.number * (UNITS[self.unit][1] if self.unit else dense)

    def times(self, factor):
        """Returns a target that allows as much times a factor.

        Args:
          factor: number above 0.
        """
        return dataclasses.replace(self, number=self.number * factor)


def parse(text, cost):
    """Returns the targets of a text with commas between them, a list.

    Args:
      text: shares such as ".5,.33", or amounts such as "20ms,12ms", "8MB" or "12M".
      cost: what they are of, one of the costs of `UNITS`.

    Raises:
      ValueError: if one is malformed, units differ or do not fit the cost, or targets do not fall.
    """
    found = [_ENTRY.fullmatch(part) for part in text.split(",")]
    if None in found:
        raise ValueError(
            f"{_SUBJECT} must be shares such as .5,.33, or amounts in {', '.join(UNITS)} such as "
            f"20ms,12ms, received {text!r}."
        )
    numbers, units = zip(*(one.groups("") for one in found), strict=True)
    if len(set(units)) > 1:
        raise ValueError(f"{_SUBJECT} must be shares or have one unit, received {text!r}.")
    unit = units[0]
    if unit and UNITS[unit][0] != cost:
        raise ValueError(
            f"{_SUBJECT} in {unit} must come with the cost {UNITS[unit][0]!r}, received {cost!r}."
        )
    values = [float(number) for number in numbers]
    for value in values:
        allowed = ranges.ABOVE_0 if unit else ranges.SHARE_ABOVE_0
        ranges.check(_SUBJECT, value, float, allowed)
    if any(one <= two for one, two in zip(values, values[1:], strict=False)):
        raise ValueError(
            f"{_SUBJECT} must fall from one to the next, for each model is made from the one "
            f"before, received {text!r}."
        )
    return [Target(value, unit) for value in values]
