"""Calibration: the one number that, added to all gates, stores what is allowed."""

import bisect

import numpy as np

# How far below the shift at which a unit opens it is surely closed, relative to that shift.
_MARGIN = 1e-6


def shift_to(gates, stored, allowed_cost):
    """Returns the largest shift of all gates that stores no more than is allowed, and what is next.

    Args:
      gates: list of gates with `opens_at`.
      stored: function of how many units of each gate are open, a dict of ints by gate, that returns
        what is stored; no less the more are open.
      allowed_cost: number, what may be stored, at least what is stored with all gates closed.

    Returns:
      `(shift, gate)`: the shift, a float that is exact in float32; 0 where there are no units. Just
      below the shift at which one unit too many opens, or above all. And the gate of that unit, or
      None where all are open.
    """
    opening = [np.ravel(gate.opens_at()) for gate in gates]
    if not sum(map(len, opening)):
        return 0.0, None
    shifts = np.concatenate(opening)
    order = np.argsort(shifts, kind="stable")
    shifts, owners = shifts[order], np.repeat(np.arange(len(gates)), list(map(len, opening)))[order]

    def stored_by(number):
        counts = np.bincount(owners[:number], minlength=len(gates)).tolist()
        return stored(dict(zip(gates, counts, strict=True)))

    too_many = bisect.bisect_right(range(len(shifts) + 1), allowed_cost, key=stored_by)
    if too_many > len(shifts):
        return just_below(shifts[-1] + 1.0), None
    return just_below(shifts[too_many - 1]), gates[owners[too_many - 1]]


def just_below(edge):
    """Returns a shift at which units that open at an edge are closed, a float exact in float32.

    Args:
      edge: float, a shift at which units open.
    """
    return float(np.float32(edge - _MARGIN * max(1.0, abs(edge))))
