"""What a folder of differences holds: scores, densities by layer and kind, groups without any.

A task's score is its primary metric on dev; of seeds there are mean and sample deviation (n - 1).
"""

import os
import statistics
import typing

import matplotlib.figure
import numpy as np

from bert_tf.methods.diffs import applying
from bert_tf.methods.diffs.diff_runs import DIFF_FILE
from bert_tf.presentation import pages, plots
from bert_tf.runs.run_folder import FLAGS_FILE
from bert_tf.runs.run_scores import RESULTS_FILE
from bert_tf.tasks import registry
from flop_tf import files
from flop_tf.files import json_file
from flop_tf.files.json_file import Count, Number, Share

_TITLE = "Differences"


class _Known(typing.TypedDict, total=False):
    """What is read of the information that a difference holds."""

    task: json_file.Object
    scores: dict[str, dict[str, Number]]
    method: str
    structured: bool
    diff_stage: str
    seed: Count | None
    target_density: Share | None


def gather(folder):
    """Returns what is known of every difference below a folder, a list of plain data.

    A stage that still runs, or was stopped, does not count.

    Args:
      folder: is searched with all folders in it but hidden ones.

    Returns:
      A dict for each one; one that is damaged or has no task has a `reason` and no results.

    Raises:
      ValueError: if there is none, or none but damaged ones, or two are of one task, way, density
        and seed: their mean would be of other settings and not of seeds.
    """
    found = []
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        unfinished = FLAGS_FILE in names and RESULTS_FILE not in names
        if DIFF_FILE in (*folders, *names) and not unfinished:
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
      rows: what `gather` returns.
      folder: where to write; made where it is missing.

    Returns:
      The tables as Markdown.
    """
    damaged = [{"folder": r["folder"], "reason": r["reason"]} for r in rows if "reason" in r]
    listed, rows = rows, _sound(rows)
    sections = [
        (
            "Scores",
            "Primary metric on dev in percent, mean ± sample deviation (seeds); the density is "
            "what is stored, of all parameters but the head. What non_adaptive learns is full "
            "fine-tuning.",
            _scores(rows),
        ),
        ("Density by layer", "Percent of the entries.", _densities(rows, "layers")),
        ("Density by kind of weight", "Percent of the entries.", _densities(rows, "kinds")),
        (
            "Groups without any entry",
            "A group is a weight tensor.",
            [
                {
                    **_which(row),
                    "zero": str(len(row["zero_groups"])),
                    "of": str(row["groups"]),
                }
                for row in rows
            ],
        ),
    ]
    if damaged:
        sections.append(("Damaged", "What no table counts, and why.", damaged))
    pictures = {
        f"Score against density, {task}": _curve([row for row in rows if row["task"] == task])
        for task in dict.fromkeys(row["task"] for row in rows)
    }
    parts = [*(pages.section(*one) for one in sections)]
    parts += [pages.picture(title, png) for title, png in pictures.items()]
    for title, png in pictures.items():
        name = title.lower().replace(",", "").replace(" ", "-")
        files.write_bytes(os.path.join(folder, "figures", f"{name}.png"), png)
    text = pages.markdown(_TITLE, sections)
    files.write_json(os.path.join(folder, "diffs.json"), listed)
    files.write_text(os.path.join(folder, "diffs.html"), pages.page(_TITLE, _TITLE, parts))
    files.write_text(os.path.join(folder, "diffs.md"), text)
    return text


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
        "target_density": known.get("target_density") or _rounded(known["density"]),
        "metric": task.primary_metric,
        "score": scores.get(task.primary_metric),
        "scores": splits,
        "bytes": known["bytes"],
        "layers": known["layers"],
        "kinds": known["kinds"],
        "zero_groups": known["zero_groups"],
        "groups": known["groups"],
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
    """Returns what a row of the table is of: method, stage and the density that was asked for."""
    # What is learned has another density in each run.
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
    groups, densities = {}, {}
    for row in rows:
        for column, score in _on_dev(row).items():
            groups.setdefault(_way(row), {}).setdefault(column, []).append(score)
        if _on_dev(row):
            densities.setdefault(_way(row), []).append(row["density"])
    tasks = list(dict.fromkeys(column for row in rows for column in _on_dev(row)))
    table = []
    for key, found in sorted(groups.items()):
        method, stage, _ = key
        cells = {task: _cell(found[task]) if task in found else "-" for task in tasks}
        means = [np.mean(scores) for scores in found.values()]
        mean = f"{100 * np.mean(means):.1f}" if len(means) == len(tasks) else "-"
        density = f"{100 * np.mean(densities[key]):.3g} %"
        way = {"method": method, "stage": stage, "density": density}
        table.append({**way, **cells, "mean": mean})
    return table


def _cell(scores):
    """Returns the mean of scores in percent, its sample deviation, and their number."""
    spread = f" ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{100 * statistics.mean(scores):.1f}{spread} ({len(scores)})"


def _which(row):
    """Returns the first columns of a table with a row for each difference."""
    seed = "-" if row["seed"] is None else str(row["seed"])
    return {"difference": row["name"], "seed": seed}


def _densities(rows, key):
    names = list(dict.fromkeys(name for row in rows for name in row[key]))
    return [
        {
            **_which(row),
            **{name: f"{100 * row[key][name]:.3g}" if name in row[key] else "-" for name in names},
        }
        for row in rows
    ]


def _curve(rows):
    """Returns a picture of scores over densities, a color for each method and stage."""
    figure = matplotlib.figure.Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for method, stage in dict.fromkeys((row["method"], row["stage"]) for row in rows):
        points = sorted(
            (100 * row["density"], row["score"])
            for row in rows
            if (row["method"], row["stage"]) == (method, stage) and row["score"] is not None
        )
        if points:
            label = plots.literal(f"{method}, {stage}")
            axes.plot(*zip(*points, strict=True), "o-", label=label, alpha=0.8)
            axes.legend(fontsize="small")
    axes.set_xscale("log")
    axes.set_xlabel("percent of the parameters that differ")
    axes.set_ylabel(rows[0]["metric"])
    axes.grid(alpha=0.3)
    return plots.png(figure)


def _rounded(density):
    """Returns a density to two digits, which tasks of one run share though their bases differ."""
    return float(f"{density:.2g}")
