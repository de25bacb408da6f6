"""Mean, deviation and confidence interval over the seeds of one experiment."""

import math
import statistics

from scipy import stats

_CONFIDENCE = 0.95


def over_seeds(scores):
    """Returns what is known of the mean of scores.

    With s the sample deviation (n - 1) the mean lies within `t_(n-1, .975) s / sqrt(n)` of the true
    one with a confidence of 95 %. The program of "When BERT Plays the Lottery" leaves sqrt(n) out.

    Args:
      scores: list of at least one float.

    Returns:
      Dict of `mean`, `deviation` and `interval` (half its width); the last two are None for one
      score.
    """
    found = {"mean": statistics.mean(scores), "deviation": None, "interval": None}
    if len(scores) > 1:
        found["deviation"] = statistics.stdev(scores)
        quantile = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(scores) - 1))
        found["interval"] = quantile * found["deviation"] / math.sqrt(len(scores))
    return found
