"""Gathers what is known of tickets into one report, as Markdown and one HTML page.

`gather` makes plain data of masks and scores; `write` makes the files.
"""

import os
import re

import numpy as np

from bert_tf.presentation import pages
from bert_tf.studies.subnetworks import mask_summary, phase_curves, subnetwork_table, ticket_plots
from flop_tf import files

_TITLE = "Tickets"
# Columns of the agreement, by the name in the data.
_STATISTICS = {
    "intersection_over_union": "intersection / union",
    "mean_jaccard": "mean Jaccard",
    "fleiss_kappa": "Fleiss' kappa",
    "krippendorff_alpha": "Krippendorff's alpha",
    "cochran_q": "Cochran's Q",
    "cochran_p": "p",
    "similar_pairs": "similar pairs",
}


def gather(
    masks,
    points,
    *,
    kept=None,
    config=None,
    baselines=None,
    patterns=None,
    metrics=None,
    subnetworks=(),
    damaged=(),
):
    """Gathers masks and scores.

    Args:
      masks: dict by task of dicts by seed of `{"heads": bool [L, N], "ffn": bool [L]}`.
      points: list of scores, see `bert_tf.studies.subnetworks.phase_curves.curves`.
      kept: as `masks`, or with the share in [0, 1] that is left of each head and FFN; or None.
      config: the `BertConfig` of the whole model, for the sizes of the masks; or None.
      baselines: dict of float by task, what labels alone score, or None.
      patterns: dict by name of the shares of `bert_tf.studies.subnetworks.pattern_shares`, or None.
      metrics: dict by task of the name of its score, or None.
      subnetworks: what `bert_tf.studies.subnetworks.subnetwork_table.means` returns.
      damaged: what `bert_tf.studies.subnetworks.damaged_runs.find` returns.

    Returns:
      Dict of plain data: what `mask_summary.summarize` returns, `kept` (by task the mean and
      deviation over seeds of each head and FFN), `curves`, `super_tickets`,
      `subnetworks`, `baselines`, `patterns`, `metrics` and `damaged`.

    Raises:
      ValueError: if there are neither masks nor points, or one of them does not fit.
    """
    if not masks and not points and not kept:
        raise ValueError("Arguments `masks`, `points` and `kept` must not all be empty.")
    curves = phase_curves.curves(points)
    return {
        **mask_summary.summarize(masks, config),
        "kept": {task: mask_summary.over_seeds(seeds) for task, seeds in (kept or {}).items()},
        "curves": curves,
        "super_tickets": phase_curves.super_tickets(curves),
        "subnetworks": list(subnetworks),
        "baselines": dict(baselines or {}),
        # A subnetwork without heads shows no patterns.
        "patterns": {name: bar for name, bar in (patterns or {}).items() if bar},
        "metrics": dict(metrics or {}),
        "damaged": list(damaged),
    }


def write(report, folder):
    """Writes `tickets.json`, `tickets.md`, `tickets.html` and the figures as PNG too.

    Args:
      report: what `gather` returns.
      folder: where to write; made where it is missing.

    Returns:
      The tables as Markdown.

    Raises:
      OSError: if a file cannot be written.
    """
    sections = _tables(report)
    markdown = pages.markdown(_TITLE, sections)
    pictures = dict(_pictures(report))
    parts = [
        *(pages.section(*section) for section in sections),
        *(pages.picture(title, png) for title, png in pictures.items()),
    ]
    for title, png in pictures.items():
        name = re.sub(r"\W+", "-", title).strip("-").lower()
        files.write_bytes(os.path.join(folder, "figures", f"{name}.png"), png)
    files.write_json(os.path.join(folder, "tickets.json"), report)
    files.write_text(os.path.join(folder, "tickets.md"), markdown)
    files.write_text(os.path.join(folder, "tickets.html"), pages.page(_TITLE, _TITLE, parts))
    return markdown


def _tables(report):
    """Returns the sections that have rows, see `bert_tf.presentation.pages`."""
    between = report["between_tasks"].items()
    sections = [
        (
            "Super tickets",
            "The winning ticket of the best mean score of each task, or the dense model where none "
            "is better.",
            [_super_row(report, task, row) for task, row in report["super_tickets"].items()],
        ),
        (
            "Scores",
            "Mean over seeds, with the sample standard deviation (n - 1) and half the confidence "
            "interval of the mean (95 %, Student's t); weights left as a share of all parameters.",
            [_curve_row(report, row) for row in report["curves"]],
        ),
        (
            "Subnetworks",
            "Pruned is the fine-tuned model under the mask, retrained the pretrained one trained "
            "under it. Mean over seeds, sample deviation (n - 1) and number of seeds.",
            subnetwork_table.table(report["subnetworks"], report["baselines"], report["metrics"]),
        ),
        (
            "Labels alone",
            "What the most frequent class of the dev set scores, of a regression random numbers.",
            [
                {"task": task, "metric": _metric(report, task), "score": _number(score)}
                for task, score in report["baselines"].items()
            ],
        ),
        (
            "Size of the subnetworks",
            "Shares of all parameters, and of the blocks alone: without embeddings, pooler and "
            "task head.",
            [_size_row(row) for row in report["sizes"]],
        ),
        (
            "Agreement of seeds",
            "Stable components are kept by all seeds. Similar pairs are those that Cochran's Q "
            "does not tell apart (p >= .05). A dash means that a figure is not defined.",
            [_agreement_row(row) for row in report["agreement"]],
        ),
        (
            "Kept by each head and FFN",
            "Of units it is the share of seeds that keep one, of weights the share that is left of "
            "them; mean over seeds, then over heads or FFNs, and the least and most of one.",
            [row for task, found in report["kept"].items() for row in _kept_rows(task, found)],
        ),
        (
            "Survival over tasks",
            "In how many tasks a component survives, over the seeds that all tasks have; stable "
            "components do in more than 5 / 9 of the tasks.",
            [_survival_row(component, found) for component, found in between],
        ),
        (
            "Overlap of tasks",
            "Components that two tasks both keep, mean over seeds; beside it the share of similar "
            "pairs of seeds.",
            [row for component, found in between for row in _overlap_rows(component, found)],
        ),
        (
            "Patterns of attention",
            "Shares over heads, sentences and seeds.",
            _pattern_rows(report["patterns"]),
        ),
        ("Damaged", "What no table counts, and why.", report["damaged"]),
    ]
    return [section for section in sections if section[2]]


def _metric(report, task):
    return report["metrics"].get(task, "score")


def _super_row(report, task, row):
    baseline = report["baselines"].get(task)
    return {**_curve_row(report, row), "baseline": _number(baseline)}


def _curve_row(report, row):
    return {
        "task": row["task"],
        "kind": row["kind"],
        "level": "-" if row["level"] is None else str(row["level"]),
        "metric": _metric(report, row["task"]),
        "weights left": f"{row['share_kept']:.1%}",
        "mean": _number(row["mean"]),
        "deviation": _number(row["deviation"]),
        "interval": _number(row["interval"]),
        "seeds": ", ".join(map(str, row["seeds"])),
    }


def _size_row(row):
    return {
        "task": row["task"],
        "seed": str(row["seed"]),
        "parameters": f"{row['parameters']:,}",
        "of all": f"{row['share_of_all']:.1%}",
        "of the blocks": f"{row['share_of_encoder']:.1%}",
    }


def _agreement_row(row):
    return {
        "task": row["task"],
        "of": row["component"],
        "kept": f"{', '.join(map(str, row['kept']))} of {row['components']}",
        "stable": str(row["stable"]),
        **{title: _number(row[name]) for name, title in _STATISTICS.items()},
    }


def _kept_rows(task, found):
    """Yields a row for the heads and one for the FFNs of a task."""
    for component in mask_summary.COMPONENTS:
        mean, deviation = (found[component][name] for name in ("mean", "deviation"))
        yield {
            "task": task,
            "of": component,
            "seeds": ", ".join(map(str, found["seeds"])),
            "mean": _number(float(np.mean(mean))),
            "least": _number(float(np.min(mean))),
            "most": _number(float(np.max(mean))),
            "mean deviation": _number(None if deviation is None else float(np.mean(deviation))),
        }


def _survival_row(component, found):
    return {
        "of": component,
        "tasks": str(len(found["tasks"])),
        "seeds": ", ".join(map(str, found["seeds"])),
        "mean survival": _number(found["mean_survival"]),
        "mean deviation": _number(found["mean_deviation"]),
        "stable": str(found["stable"]),
    }


def _overlap_rows(component, found):
    """Yields a row for each pair of tasks."""
    mean, deviation = found["overlap"]["mean"], found["overlap"]["deviation"]
    for i, first in enumerate(found["tasks"]):
        for j, second in enumerate(found["tasks"][:i]):
            yield {
                "of": component,
                "tasks": f"{second}, {first}",
                "overlap": f"{mean[i][j]:.1f}",
                "deviation": "-" if deviation is None else f"{deviation[i][j]:.1f}",
                "similar pairs": _number(found["similar_pairs"][j][i]),
            }


def _pattern_rows(bars):
    """Returns a row for each bar, with all patterns: classifiers may differ in theirs."""
    patterns = dict.fromkeys(pattern for shares in bars.values() for pattern in shares)
    return [
        {"of": name, **{p: f"{shares[p]:.1%}" if p in shares else "-" for p in patterns}}
        for name, shares in bars.items()
    ]


def _number(value):
    if value is None:
        return "-"
    return f"{value:.1e}" if 0 < abs(value) < 1e-4 else f"{value:.4f}"


def _pictures(report):
    """Yields a title and the bytes of a PNG for each figure."""
    curves = [row for row in report["curves"] if row["kind"] != phase_curves.DENSE]
    for task in dict.fromkeys(row["task"] for row in curves):
        yield f"{task}: score against weights left", _curve_plot(report, task)
    for task, found in report["kept"].items():
        yield f"{task}: kept over seeds", _heatmap(found, "share kept")
    if between := report["between_tasks"]:
        survival = {component: found["survival"] for component, found in between.items()}
        yield "Survival over tasks", _heatmap(survival, "tasks")
    for component, found in between.items():
        overlap = (found["overlap"][name] for name in ("mean", "deviation"))
        plot = ticket_plots.matrix(found["tasks"], *overlap, "components of both")
        yield f"Overlap of tasks: {component}", plot
    for row in report["jaccard"]:
        title = f"{row['task']}: Jaccard index of seeds, {row['component']}"
        yield title, ticket_plots.matrix(row["seeds"], row["values"])
    if report["patterns"]:
        yield "Patterns of attention", ticket_plots.pattern_shares(report["patterns"])


def _heatmap(found, label):
    """Returns a picture of the mean and deviation of heads and FFNs."""
    pairs = ((found[component][n] for n in ("mean", "deviation")) for component in ("heads", "ffn"))
    return ticket_plots.survival_heatmap(*map(tuple, pairs), label)


def _curve_plot(report, task):
    rows = [row for row in report["curves"] if row["task"] == task]
    curves, dense = {}, None
    for row in rows:
        if row["kind"] == phase_curves.DENSE:
            dense = row["mean"]
        else:
            point = row["share_kept"], row["mean"], row["deviation"]
            curves.setdefault(row["kind"], []).append(point)
    return ticket_plots.phase_transition(curves, _metric(report, task), dense)
