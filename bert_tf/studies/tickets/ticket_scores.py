"""Scores of subnetworks: means over seeds, curves over their sizes, and the best winning ticket.

References:
  Super Tickets in Pre-Trained Language Models, arXiv 2105.12002.
  When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import math
import statistics

from scipy import stats

from bert_tf import ranges

#: The kind of the whole model, which has no level.
DENSE = "dense"
#: The kind that the super ticket is chosen from.
WINNING = "winning"

#: The second paper's words for the methods of flop-find-tickets.
METHODS = {"lottery": "structured", "magnitude": "magnitude"}
#: The second paper's words for a mask that is scored without training and after it.
WAYS = {False: "pruned", True: "retrained"}

_FIELDS = ("task", "kind", "seed", "level", "share_kept", "score")
_CONFIDENCE = 0.95


def over_seeds(scores):
    """Returns mean, deviation and confidence interval over the seeds of one experiment.

    With s the sample deviation (n - 1) the mean lies within `t_(n-1, .975) s / sqrt(n)` of the true
    one with a confidence of 95 %. The program of "When BERT Plays the Lottery" leaves sqrt(n) out.

    Args:
      scores: list of at least one float.

    Returns:
      Dict of `mean`, `deviation` and `interval` (half its width); the last two are None for one
      score.
    """
    if len(scores) == 1:
        return {"mean": statistics.mean(scores), "deviation": None, "interval": None}
    deviation = statistics.stdev(scores)
    quantile = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(scores) - 1))
    interval = quantile * deviation / math.sqrt(len(scores))
    return {"mean": statistics.mean(scores), "deviation": deviation, "interval": interval}


def curves(points):
    """Returns mean and sample deviation over seeds of each task, kind and level.

    A dense model counts only where subnetworks of its task have its seed, if there are any:
    others inform about the seeds, not about the subnetworks.

    Args:
      points: list of dicts with `task`, `kind` ("dense", "winning", "random", "losing", or any
        other), `seed`, `level` (any name of it; None of the dense model), `share_kept` in
        [0, 1] of the weights, and `score`.

    Returns:
      List of dicts with `task`, `kind`, `level`, `share_kept` (mean), the result of `over_seeds`
      for the scores, and `seeds`: in the order of tasks and kinds, larger subnetworks first.

    Raises:
      ValueError: if a point lacks a field, has another range or is there twice.
    """
    for point in points:
        _check(point)
    rows = _means(points, "task", "kind", "level")
    order = list(dict.fromkeys((row["task"], row["kind"]) for row in rows))
    return sorted(
        rows, key=lambda row: (order.index((row["task"], row["kind"])), -row["share_kept"])
    )


def super_points(rows):
    """Returns the points of `curves`: the whole models and the tickets of the method super.

    Args:
      rows: the result of `ticket_runs.read`. Tickets that were not trained get the kind
        "winning, pruned" and so on.
    """
    return [
        {**row, "kind": row["kind"] + ("" if row["trained"] else ", pruned")}
        for row in rows
        if row["kind"] == DENSE or row["method"] == "super"
    ]


def super_tickets(rows):
    """Returns the best of each task: a winning ticket, or the dense model if none is better.

    The choice goes by the mean score, among the levels of the most seeds and the dense model; of
    equal ones the smaller is taken. A level that only a lucky seed has finished is not chosen.

    Args:
      rows: the result of `curves`.

    Returns:
      Dict by task of the row; tasks without winning tickets are left out.
    """
    best = {}
    for task in dict.fromkeys(row["task"] for row in rows if row["kind"] == WINNING):
        own = [row for row in rows if row["task"] == task]
        most = max(len(row["seeds"]) for row in own if row["kind"] == WINNING)
        candidates = [
            row
            for row in own
            if row["kind"] == DENSE or (row["kind"] == WINNING and len(row["seeds"]) == most)
        ]
        best[task] = max(candidates, key=lambda row: (row["mean"], -row["share_kept"]))
    return best


def subnetworks(rows):
    """Returns the mean score of each kind of subnetwork, and of the whole model of their seeds.

    Args:
      rows: the result of `ticket_runs.read`.

    Returns:
      List of dicts with `task`, `kind` ("dense" for the whole model), `method` ("structured",
      "magnitude" or None), `way` ("pruned" or "retrained"), `share_kept` (mean), the result of
      `over_seeds` for the scores, and `seeds`; in the order of the rows.
    """
    named = [
        {**row, "method": METHODS.get(row["method"]), "way": WAYS[row["trained"]]}
        for row in rows
        if row["kind"] == DENSE or row["method"] in METHODS
    ]
    return _means(named, "task", "kind", "method", "way")


def _means(rows, *fields):
    """Returns a row for each combination of fields, without dense models of other seeds."""
    pruned = {(row["task"], row["seed"]) for row in rows if row["kind"] != DENSE}
    tasks = {task for task, _ in pruned}
    groups = {}
    for row in rows:
        own = (row["task"], row["seed"])
        if row["kind"] != DENSE or row["task"] not in tasks or own in pruned:
            group = groups.setdefault(tuple(row[field] for field in fields), {})
            if group.setdefault(row["seed"], row) is not row:
                raise ValueError(
                    "The points must have one score for a task, kind, level and seed, received two "
                    f"of {(*(row[field] for field in fields), row['seed'])}."
                )
    return [
        {
            **dict(zip(fields, key, strict=True)),
            "share_kept": statistics.mean(float(row["share_kept"]) for row in group.values()),
            **over_seeds([float(row["score"]) for row in group.values()]),
            "seeds": list(group),
        }
        for key, group in groups.items()
    ]


def _check(point):
    if missing := sorted(set(_FIELDS) - set(point)):
        raise ValueError(f"A point must have the fields {list(_FIELDS)}, {missing} is missing.")
    ranges.check("The field `share_kept`", point["share_kept"], float, ranges.SHARE)
    if not math.isfinite(point["score"]):
        raise ValueError(f"The field `score` must be finite, received {point['score']}.")
