"""How many units each group keeps so that least is lost within a budget."""

import numpy as np

# Costs are rounded up to this share of the budget.
_STEPS = 10_000


def allocate(losses, costs, allowed):
    """Returns the option of each group with the least sum of losses whose costs fit a budget.

    A dynamic program over groups and costs: exact but for costs that it rounds up to a
    ten-thousandth of the budget.

    >>> losses = [[9.0, 4.0, 0.0], [5.0, 0.0]]
    >>> allocate(losses, [[0, 1, 2], [0, 1]], allowed=2)
    [1, 1]

    Args:
      losses: for each group an array `[K]`, what is lost with each of its K options.
      costs: the same for what each option costs, numbers of at least 0.
      allowed: number above 0, the most that all options together may cost.

    Returns:
      The index of the option of each group, a list of ints.

    Raises:
      ValueError: if even the cheapest options cost more.
    """
    cheapest = sum(min(options) for options in costs)
    if not 0 < allowed or cheapest > allowed:
        raise ValueError(
            f"Argument `allowed` must be above 0 and at least {cheapest:.6g}, what the cheapest "
            f"options cost, received {allowed:.6g}."
        )
    # Rounding up must not put the cheapest options out of reach, even where they leave nothing.
    unit = max(allowed - cheapest, 1e-9 * allowed) / _STEPS
    best, choices = np.zeros(_STEPS + 1), []
    for own, prices in zip(losses, costs, strict=True):
        extra = np.ceil((np.asarray(prices, float) - min(prices)) / unit - 1e-9).astype(int)
        reached = np.full([len(own), _STEPS + 1], np.inf)
        for option, (loss, step) in enumerate(zip(own, extra, strict=True)):
            if step <= _STEPS:
                reached[option, step:] = best[: _STEPS + 1 - step] + loss
        choices.append((np.argmin(reached, axis=0), extra))
        best = np.min(reached, axis=0)
    left, chosen = _STEPS, []
    for options, extra in reversed(choices):
        chosen.append(int(options[left]))
        left -= extra[chosen[-1]]
    return chosen[::-1]
