"""The report on a folder of differences: scores, densities by layer and kind, empty groups.

A task's score is its primary metric on dev, over seeds as mean and sample deviation (n - 1).
"""

import os
import statistics
import typing

import pandas as pd

from bert_tf.methods.diffs import applying
from bert_tf.methods.diffs.diff_store import DIFF_FILE
from bert_tf.presentation import pages, plots
from bert_tf.runs import run_search
from bert_tf.runs.run_folder import FLAGS_FILE
from bert_tf.runs.run_scores import RESULTS_FILE
from bert_tf.tasks import registry
from flop_tf.files import json_file
from flop_tf.files.json_file import Count, Number, Share

_NOTES = {
    "Scores": "Primary metric on dev in percent, mean ± sample deviation (seeds); the density is "
    "what is stored, of all parameters but the head. What non_adaptive learns is full fine-tuning.",
    "Density by layer": "Percent of the entries.",
    "Density by kind of weight": "Percent of the entries.",
    "Groups without any entry": "A group is a weight tensor.",
    "Damaged": "What no table counts, and why.",
}
# The first columns of a table with a row for each difference.
_WHICH = {"difference": "name", "seed": "seed"}


class _Known(typing.TypedDict, total=False):
    """The keys of the information in a difference that are read."""

    task: json_file.Object
    scores: dict[str, dict[str, Number]]
    method: str
    structured: bool
    diff_stage: str
    seed: Count | None
    target_density: Share | None


def gather(folder):
    """Returns a row of plain data for every difference below a folder.

    A stage that still runs, or was stopped, does not count.

    Args:
      folder: is searched with all folders in it but hidden ones.

    Returns:
      List of dicts; a difference that is damaged or has no task has a `reason` and no results.

    Raises:
      ValueError: if there is none, or none but damaged ones, or two are of one task, way, density
        and seed: their mean would be of other settings and not of seeds.
    """
    found = []
    for path in run_search.holding(folder, DIFF_FILE):
        names = os.listdir(path)
        if FLAGS_FILE not in names or RESULTS_FILE in names:
            found.append({"folder": path, **_read(path)})
    if not found:
        raise ValueError(
            f"The folder {str(folder)!r} must have differences in it, found no {DIFF_FILE} of a "
            "stage that is finished."
        )
    if not _sound(found):
        raise ValueError(found[0]["reason"])
    _check_seeds(_sound(found))
    return found


def write(rows, folder):
    """Writes `diffs.json`, `diffs.md`, `diffs.html` and the figures as PNG too.

    Args:
      rows: the result of `gather`.
      folder: where to write; made where it is missing.

    Returns:
      The tables as Markdown.

    Raises:
      OSError: if a file cannot be written.
    """
    sound = _sound(rows)
    groups = {"zero": lambda row: str(len(row["zero_groups"])), "of": "groups"}
    tables = {
        "Scores": _scores(sound),
        "Density by layer": _densities(sound, "layers"),
        "Density by kind of weight": _densities(sound, "kinds"),
        "Groups without any entry": pages.table(sound, {**_WHICH, **groups}),
    }
    if damaged := [row for row in rows if "reason" in row]:
        tables["Damaged"] = damaged
    sections = [(title, _NOTES[title], table) for title, table in tables.items()]
    pictures = {
        f"Score against density, {task}": _curve([row for row in sound if row["task"] == task])
        for task in dict.fromkeys(row["task"] for row in sound)
    }
    return pages.write(folder, "diffs", "Differences", rows, sections, pictures)


def _sound(rows):
    return [row for row in rows if "reason" not in row]


def _read(path):
    """Returns the row of a difference, or the reason why there is none."""
    try:
        known = applying.inspect(path)
        if "task" not in known:
            raise ValueError(
                f"The difference in {path!r} must say its task, received one without; leave it "
                "out of the folder of a report."
            )
        json_file.check(known, _Known, f"The difference in {path!r} is damaged")
        return _row(known)
    except (OSError, ValueError) as error:
        return {"reason": str(error)}


def _row(known):
    task = registry.from_dict(known["task"])
    splits = known.get("scores", {})
    scores = splits.get(task.dev_splits[0], {})
    method = known.get("method", "diff")
    if method == "diff":
        method = "structured" if known.get("structured") else "unstructured"
    stage = known.get("diff_stage", "finetune")
    return {
        "name": f"{task.name} {method} {stage} {100 * known['density']:.3g} %",
        "task": task.name,
        "method": method,
        "stage": stage,
        "seed": known.get("seed"),
        "density": known["density"],
        # Gates that close further than that leave less.
        # To two digits, which tasks of one run share though their bases differ.
        "target_density": known.get("target_density") or float(f"{known['density']:.2g}"),
        "metric": task.primary_metric,
        "score": scores.get(task.primary_metric),
        "scores": splits,
        **{name: known[name] for name in ("bytes", "layers", "kinds", "zero_groups", "groups")},
    }


def _check_seeds(rows):
    """Raises ValueError where the table would take two settings for two seeds."""
    places = {}
    for row in rows:
        key = (row["task"], *_way(row), row["seed"])
        if row["seed"] is not None and key in places:
            raise ValueError(
                "A report must have one difference of each task, way, density and seed, but "
                f"{places[key]!r} and {row['folder']!r} are both {row['name']} of seed "
                f"{row['seed']}; name a folder with one of them."
            )
        places[key] = row["folder"]


def _way(row):
    """Returns the key of a row of the table: method, stage and target density."""
    # A learned difference has another density in each run.
    density = 1.0 if row["stage"] == "learn" else row["target_density"]
    return row["method"], row["stage"], density


def _on_dev(row):
    """Returns the primary metric by column of the table; MNLI has two, as it has two dev sets."""
    return {
        " ".join([row["task"], *split.split("_")[1:]]): values[row["metric"]]
        for split, values in row["scores"].items()
        if split.startswith("dev") and row["metric"] in values
    }


def _scores(rows):
    """Returns the table of the paper: a row for each way and density, a column for each dev set."""
    rows = [row for row in rows if _on_dev(row)]
    if not rows:
        return []
    scores = pd.DataFrame([_on_dev(row) for row in rows])
    keys = pd.MultiIndex.from_tuples(map(_way, rows), names=["method", "stage", "target"])
    by_way = scores.set_axis(keys).groupby(level=[0, 1, 2])
    means = by_way.mean()
    density = pd.Series([row["density"] for row in rows], keys).groupby(level=[0, 1, 2]).mean()
    table = by_way.agg(_cell)
    table.insert(0, "density", density.map(lambda share: f"{100 * share:.3g} %"))
    whole = means.notna().all(axis=1)
    table["mean"] = means.mean(axis=1).map(lambda mean: f"{100 * mean:.1f}").where(whole, "-")
    return table.reset_index(level="target", drop=True).reset_index().to_dict("records")


def _cell(scores):
    """Returns the mean of scores in percent, its sample deviation, and their number."""
    scores = scores.dropna().tolist()
    if not scores:
        return "-"
    spread = f" ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{100 * statistics.mean(scores):.1f}{spread} ({len(scores)})"


def _densities(rows, key):
    names = list(dict.fromkeys(name for row in rows for name in row[key]))
    densities = [
        {name: f"{100 * row[key][name]:.3g}" if name in row[key] else "-" for name in names}
        for row in rows
    ]
    return [a | b for a, b in zip(pages.table(rows, _WHICH), densities, strict=True)]


def _curve(rows):
    """Returns a picture of scores over densities, a color for each method and stage."""
    figure, axes = plots.new_figure(6, 3.6)
    for way in dict.fromkeys((row["method"], row["stage"]) for row in rows):
        points = sorted(
            (100 * row["density"], row["score"])
            for row in rows
            if (row["method"], row["stage"]) == way and row["score"] is not None
        )
        if points:
            label = plots.literal(", ".join(way))
            axes.plot(*zip(*points, strict=True), "o-", label=label, alpha=0.8)
            axes.legend(fontsize="small")
    axes.set_xscale("log")
    axes.set_xlabel("percent of the parameters that differ")
    axes.set_ylabel(rows[0]["metric"])
    axes.grid(alpha=0.3)
    return plots.png(figure)
