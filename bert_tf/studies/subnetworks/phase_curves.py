"""Scores of subnetworks over their sizes: curves over seeds, and the best winning ticket."""

import math
import statistics

from bert_tf.studies.subnetworks import seed_statistics

#: The kind of the whole model, which no level belongs to.
DENSE = "dense"

#: The kind that the super ticket is chosen from.
WINNING = "winning"

_FIELDS = ("task", "kind", "seed", "level", "share_kept", "score")


def curves(points):
    """Returns mean and sample deviation over seeds of each task, kind and level.

    The dense model counts over the seeds that subnetworks of the task have, if there are any:
    more of it says something of the seeds, not of the subnetworks.

    Args:
      points: list of dicts with `task`, `kind` ("dense", "winning", "random", "losing", or any
        other), `seed`, `level` (whatever names it; None of the dense model), `share_kept` in
        [0, 1] of the weights, and `score`.

    Returns:
      List of dicts with `task`, `kind`, `level`, `share_kept` (mean), what
      `bert_tf.studies.subnetworks.seed_statistics.over_seeds` says of the scores, and `seeds`: by
      task and kind as they come, larger subnetworks first.

    Raises:
      ValueError: if a point lacks a field, has another range or is there twice.

    Reference:
      Super Tickets in Pre-Trained Language Models, arXiv 2105.12002.
    """
    for point in points:
        _check(point)
    groups = {}
    for point in comparable(points):
        key = point["task"], point["kind"], point["level"]
        group = groups.setdefault(key, {})
        if point["seed"] in group:
            raise ValueError(
                f"The points must have one score for a task, kind, level and seed, received two of "
                f"{(*key, point['seed'])}."
            )
        group[point["seed"]] = point
    rows = [_row(*key, list(group.values())) for key, group in groups.items()]
    order = list(dict.fromkeys((row["task"], row["kind"]) for row in rows))
    return sorted(
        rows, key=lambda row: (order.index((row["task"], row["kind"])), -row["share_kept"])
    )


def comparable(points):
    """Returns the points without dense models of seeds that have no subnetworks, where others have.

    Args:
      points: list of dicts with `task`, `kind` and `seed`.
    """
    pruned = {(point["task"], point["seed"]) for point in points if point["kind"] != DENSE}
    tasks = {task for task, _ in pruned}
    return [
        point
        for point in points
        if point["kind"] != DENSE
        or point["task"] not in tasks
        or (point["task"], point["seed"]) in pruned
    ]


def super_tickets(rows):
    """Returns the best of each task: a winning ticket, or the dense model if none is better.

    The choice goes by the mean score, among the levels of the most seeds and the dense model; of
    equal ones the smaller is taken. A level that only a lucky seed has finished is not chosen.

    Args:
      rows: what `curves` returns.

    Returns:
      Dict by task of the row; tasks without winning tickets are left out.
    """
    tasks = dict.fromkeys(row["task"] for row in rows if row["kind"] == WINNING)
    return {task: _best([row for row in rows if row["task"] == task]) for task in tasks}


def _best(rows):
    """Returns the best row of one task."""
    most = max(len(row["seeds"]) for row in rows if row["kind"] == WINNING)
    candidates = [
        row
        for row in rows
        if row["kind"] == DENSE or (row["kind"] == WINNING and len(row["seeds"]) == most)
    ]
    return max(candidates, key=lambda row: (row["mean"], -row["share_kept"]))


def _row(task, kind, level, points):
    scores = [float(point["score"]) for point in points]
    return {
        "task": task,
        "kind": kind,
        "level": level,
        "share_kept": statistics.mean(float(point["share_kept"]) for point in points),
        **seed_statistics.over_seeds(scores),
        "seeds": [point["seed"] for point in points],
    }


def _check(point):
    missing = sorted(set(_FIELDS) - set(point))
    if missing:
        raise ValueError(f"A point must have the fields {list(_FIELDS)}, {missing} is missing.")
    if not 0 <= point["share_kept"] <= 1:
        raise ValueError(
            f"The field `share_kept` must be in [0, 1], received {point['share_kept']}."
        )
    if not math.isfinite(point["score"]):
        raise ValueError(f"The field `score` must be finite, received {point['score']}.")
