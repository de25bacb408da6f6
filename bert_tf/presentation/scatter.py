"""Where the points, ticks and names of a scatter plot are, in the units of an SVG drawing.

The origin of an SVG drawing is its upper left corner.
"""

import dataclasses
import itertools

import matplotlib.ticker
import numpy as np

# Of an axis: the most steps between its ticks, and these times a power of ten.
_MOST_STEPS, _STEPS = 6, (1, 2, 2.5, 5, 10)
# Free space next to the outermost values, as a share of their range.
_MARGIN = 0.08
# A name of n characters takes n times the width and once the height; a marker is a square.
_CHARACTER, _HEIGHT, _MARKER = 6.4, 12.0, 14.0
# Where a name may be, seen from its point: the shift of its lower edge, and its anchor.
_PLACES = ((0, -13, "middle"), (0, 22, "middle"), (13, 4, "start"), (-13, 4, "end"))
_START = {"start": 0.0, "middle": 0.5, "end": 1.0}


@dataclasses.dataclass(frozen=True)
class Axis:
    """A line of numbers.

    Args:
      low: the number at its start.
      high: the number at its end, above `low`.
      start: where it starts, in units of the drawing.
      end: where it ends; before `start` where numbers grow to the left or upwards.
    """

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values, start, end, from_zero=False):
        """Returns the axis that holds some values with space around them.

        Args:
          values: N finite floats, at least one.
          start: see `Axis`.
          end: see `Axis`.
          from_zero: whether it starts at 0; no value is below then. Defaults to False.
        """
        low, high = (0.0 if from_zero else min(values)), max(values)
        space = _MARGIN * (high - low) or _MARGIN * abs(high) or 1.0
        return cls(low if from_zero else low - space, high + space, start, end)

    def place(self, value):
        """Returns where a value is, in units of the drawing.

        Args:
          value: float.
        """
        share = (value - self.low) / (self.high - self.low)
        return round(float(self.start + share * (self.end - self.start)), 1)

    def ticks(self):
        """Returns `(place, text)` of round numbers of the axis, a list."""
        values = matplotlib.ticker.MaxNLocator(_MOST_STEPS, steps=_STEPS).tick_values(
            self.low, self.high
        )
        inside = [value for value in values if self.low <= value <= self.high]
        return [(self.place(value), f"{value:.6g}") for value in inside]


def name_places(points, names, frame):
    """Returns where the names of points are, so that they overlap little.

    Each name takes the first of four places at its point, above, below, right and left, that is
    inside of the frame and free of markers and of the names before it; else the freest.

    Args:
      points: list of `(x, y)`, in units of the drawing.
      names: list of as many texts; an empty one takes no room.
      frame: `(left, top, right, bottom)`, where names may be.

    Returns:
      List of `(x, y, anchor)` for SVG's `text`; the anchor is "start", "middle" or "end".
    """
    half = _MARKER / 2
    taken = [(x - half, y - half, x + half, y + half) for x, y in points]
    found = []
    for (x, y), name in zip(points, names, strict=True):
        own, free = (x - half, y - half, x + half, y + half), []
        for dx, dy, anchor in _PLACES:
            left = x + dx - _START[anchor] * _CHARACTER * len(name)
            box = (left, y + dy - _HEIGHT, left + _CHARACTER * len(name), y + dy)
            outside = _area(box) - _overlap(box, frame)
            lost = sum(_overlap(box, other) for other in taken if other != own)
            free.append((outside, lost, len(free), box, (x + dx, y + dy, anchor)))
        *_, box, place = min(free)
        taken.append(box)
        found.append(place)
    return found


def lines(points, groups):
    """Returns the points of each group from left to right, as SVG's `polyline` takes them.

    Args:
      points: list of `(x, y)`, in units of the drawing.
      groups: list of as many things that can be sorted.

    Returns:
      Dict by group of text.
    """
    pairs = sorted(zip(groups, points, strict=True))
    return {
        group: " ".join(f"{x},{y}" for _, (x, y) in some)
        for group, some in itertools.groupby(pairs, key=lambda pair: pair[0])
    }


def _overlap(one, other):
    """Returns the area that two boxes `(left, top, right, bottom)` share."""
    return _area((*np.maximum(one[:2], other[:2]), *np.minimum(one[2:], other[2:])))


def _area(box):
    return max(0.0, float(box[2] - box[0])) * max(0.0, float(box[3] - box[1]))
