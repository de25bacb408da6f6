"""The table of subnetworks: good, random and bad ones, pruned and retrained, of two methods.

Reference: When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import statistics

from bert_tf.studies.subnetworks import seed_statistics
from bert_tf.studies.subnetworks.phase_curves import DENSE, comparable

# The paper's words for the methods of flop-find-tickets, and for the two ways to score a mask.
_METHODS = {"lottery": "structured", "magnitude": "magnitude"}
_WAYS = {False: "pruned", True: "retrained"}


def means(rows):
    """Returns the mean score of each kind of subnetwork, and of the whole model of their seeds.

    Args:
      rows: what `bert_tf.studies.subnetworks.ticket_runs.read` returns.

    Returns:
      List of dicts with `task`, `kind` ("dense" of the whole model), `method` ("structured",
      "magnitude" or None), `way` ("pruned" or "retrained"), `share_kept` (mean), what
      `seed_statistics.over_seeds` says of the scores, and `seeds`; in the order of the rows.
    """
    groups = {}
    for row in comparable([r for r in rows if r["kind"] == DENSE or r["method"] in _METHODS]):
        key = row["task"], row["kind"], _METHODS.get(row["method"]), _WAYS[row["trained"]]
        groups.setdefault(key, []).append(row)
    return [
        {
            **dict(zip(("task", "kind", "method", "way"), key, strict=True)),
            "share_kept": statistics.mean(row["share_kept"] for row in group),
            **seed_statistics.over_seeds([row["score"] for row in group]),
            "seeds": [row["seed"] for row in group],
        }
        for key, group in groups.items()
    ]


def table(found, baselines, metrics):
    """Returns the table for `bert_tf.presentation.pages`: a row for each task and kind.

    Args:
      found: what `means` returns.
      baselines: dict by task of what labels alone score.
      metrics: dict by task of the name of the score.
    """
    columns = [(m, w) for m in _METHODS.values() for w in _WAYS.values()]
    columns = [pair for pair in columns if any(pair == (r["method"], r["way"]) for r in found)]
    dense = {row["task"]: row for row in found if row["kind"] == DENSE}
    rows = []
    for task, kind in dict.fromkeys((r["task"], r["kind"]) for r in found if r["kind"] != DENSE):
        own = {
            (row["method"], row["way"]): row
            for row in found
            if (row["task"], row["kind"]) == (task, kind)
        }
        # Of the way that more seeds have finished.
        most = sorted(own.items(), key=lambda item: len(item[1]["seeds"]))
        left = {method: f"{row['share_kept']:.1%} ({method})" for (method, _), row in most}
        rows.append(
            {
                "task": task,
                "metric": metrics.get(task, "score"),
                "majority": f"{baselines[task]:.4f}" if task in baselines else "-",
                "whole model": _cell(dense.get(task)),
                "subnetwork": kind,
                "weights left": ", ".join(left[m] for m in _METHODS.values() if m in left),
                **{" ".join(pair): _cell(own.get(pair)) for pair in columns},
            }
        )
    return rows


def _cell(row):
    if row is None:
        return "-"
    spread = "" if row["deviation"] is None else f" ± {row['deviation']:.4f}"
    return f"{row['mean']:.4f}{spread} ({len(row['seeds'])})"
