"""Calibration: the one number that, added to all gates, stores what is allowed."""

import numpy as np

# How far below the shift at which a unit opens it is surely closed, relative to that shift.
_MARGIN = 1e-6


def shift_to(groups, fixed_cost, allowed_cost):
    """Returns the largest shift of all gates that stores no more than is allowed.

    Args:
      groups: list of `Group` whose gates have `opens_at`.
      fixed_cost: number, what is stored with all of them closed.
      allowed_cost: number, what may be stored, at least `fixed_cost`.

    Returns:
      The shift, a float that is exact in float32; 0 where there are no units. Just below the
      shift at which one unit too many opens, or above all.
    """
    if not groups:
        return 0.0
    shifts, added = map(np.concatenate, zip(*(group.opening() for group in groups), strict=True))
    order = np.argsort(shifts, kind="stable")
    stored = np.concatenate([[0.0], np.cumsum(added[order])]) + fixed_cost
    too_many = np.searchsorted(stored, allowed_cost, side="right")
    shifts = shifts[order]
    edge = shifts[too_many - 1] if too_many < len(stored) else shifts[-1] + 1.0
    return float(np.float32(edge - _MARGIN * max(1.0, abs(edge))))
