"""The report on tickets of several tasks and seeds, as Markdown and one HTML page.

`gather` makes plain data of masks and scores; `write` makes the files.
"""

import numpy as np

from bert_tf.presentation import pages
from bert_tf.studies.attention import attention_plots
from bert_tf.studies.masks import mask_summary
from bert_tf.studies.tickets import ticket_plots, ticket_scores

_SHARE, _DIGITS = "{:.1%}", "{:.4f}"
_NOTES = {
    "Super tickets": "The winning ticket of the best mean score of each task, or the dense model "
    "where none is better.",
    "Scores": "Mean over seeds, with the sample standard deviation (n - 1) and half the confidence "
    "interval of the mean (95 %, Student's t); weights left as a share of all parameters.",
    "Subnetworks": "Pruned is the fine-tuned model under the mask, retrained the pretrained one "
    "trained under it. Mean over seeds, sample deviation (n - 1) and number of seeds.",
    "Labels alone": "What the most frequent class of the dev set scores, of a regression random "
    "numbers.",
    "Size of the subnetworks": "Shares of all parameters, and of the blocks alone: without "
    "embeddings, pooler and task head.",
    "Agreement of seeds": "Stable components are kept by all seeds. Similar pairs are those that "
    "Cochran's Q does not tell apart (p >= .05). A dash means that a figure is not defined.",
    "Kept by each head and FFN": "Of units it is the share of seeds that keep one, of weights the "
    "share that is left of them; mean over seeds, then over heads or FFNs, and the least and most "
    "of one.",
    "Survival over tasks": "In how many tasks a component survives, over the seeds that all tasks "
    "have; stable components do in more than 5 / 9 of the tasks.",
    "Overlap of tasks": "Components that two tasks both keep, mean over seeds; next to it the "
    "share of similar pairs of seeds.",
    "Patterns of attention": "Shares over heads, sentences and seeds.",
    "Damaged": "What no table counts, and why.",
}
# The columns of tables, see `bert_tf.presentation.pages.table`.
_SCORES = {
    **{name: name for name in ("task", "kind", "level", "metric")},
    "weights left": ("share_kept", _SHARE),
    **{name: name for name in ("mean", "deviation", "interval", "seeds")},
}
_SIZES = {
    **{"task": "task", "seed": "seed", "parameters": ("parameters", "{:,}")},
    **{"of all": ("share_of_all", _SHARE), "of the blocks": ("share_of_encoder", _SHARE)},
}
_AGREEMENT = {
    **{"task": "task", "of": "component"},
    "kept": lambda row: f"{', '.join(map(str, row['kept']))} of {row['components']}",
    "stable": "stable",
    "intersection / union": "intersection_over_union",
    "mean Jaccard": "mean_jaccard",
    "Fleiss' kappa": "fleiss_kappa",
    "Krippendorff's alpha": "krippendorff_alpha",
    **{"Cochran's Q": "cochran_q", "p": "cochran_p", "similar pairs": "similar_pairs"},
}
_SURVIVAL = {
    "of": "of",
    "tasks": lambda row: str(len(row["tasks"])),
    "seeds": "seeds",
    **{"mean survival": "mean_survival", "mean deviation": "mean_deviation", "stable": "stable"},
}


def gather(masks, points, *, kept=None, config=None, patterns=None, **about):
    """Gathers masks and scores.

    Args:
      masks: dict by task of dicts by seed of `{"heads": bool [L, N], "ffn": bool [L]}`.
      points: list of scores, see `bert_tf.studies.tickets.ticket_scores.curves`.
      kept: as `masks`, or with the share in [0, 1] that is left of each head and FFN; or None.
      config: the `EncoderConfig` of the whole model, for the sizes of the masks; or None.
      patterns: dict by name of the result of `bert_tf.studies.attention.pattern_shares.shares`, or
        None.
      **about: any of `subnetworks`, the result of `ticket_scores.subnetworks`; `baselines`, dict
        by task of the score of labels alone; `metrics`, dict by task of the name of its score;
        `damaged`, the result of `ticket_files.damaged`.

    Returns:
      Dict of plain data: the result of `mask_summary.summarize`, `kept` (by task the mean and
      deviation over seeds of each head and FFN), `curves`, `super_tickets`,
      `subnetworks`, `baselines`, `patterns`, `metrics` and `damaged`.

    Raises:
      ValueError: if there are neither masks nor points, or one of them does not fit.
    """
    if not masks and not points and not kept:
        raise ValueError("Arguments `masks`, `points` and `kept` must not all be empty.")
    curves = ticket_scores.curves(points)
    return {
        **mask_summary.summarize(masks, config),
        "kept": {task: mask_summary.over_seeds(seeds) for task, seeds in (kept or {}).items()},
        "curves": curves,
        "super_tickets": ticket_scores.super_tickets(curves),
        # A subnetwork without heads shows no patterns.
        "patterns": {name: bar for name, bar in (patterns or {}).items() if bar},
        **{"subnetworks": [], "baselines": {}, "metrics": {}, "damaged": [], **about},
    }


def write(report, folder):
    """Writes `tickets.json`, `tickets.md`, `tickets.html` and the figures as PNG too.

    Args:
      report: the result of `gather`.
      folder: where to write; made where it is missing.

    Returns:
      The tables as Markdown.

    Raises:
      OSError: if a file cannot be written.
    """
    tables = _tables(report)
    sections = [(title, _NOTES[title], rows) for title, rows in tables.items() if rows]
    return pages.write(folder, "tickets", "Tickets", report, sections, dict(_pictures(report)))


def subnetwork_table(found, baselines, metrics):
    """Returns a row of text for each task and kind of subnetwork, of all methods and ways.

    Args:
      found: the result of `ticket_scores.subnetworks`.
      baselines: dict by task of the score of labels alone.
      metrics: dict by task of the name of the score.
    """
    methods, ways = ticket_scores.METHODS.values(), ticket_scores.WAYS.values()
    dense = {row["task"]: row for row in found if row["kind"] == ticket_scores.DENSE}
    groups = {}
    for row in found:
        if row["kind"] != ticket_scores.DENSE:
            own = groups.setdefault((row["task"], row["kind"]), {})
            own[row["method"], row["way"]] = row
    pairs = [(m, w) for m in methods for w in ways if any((m, w) in own for own in groups.values())]
    rows = []
    for (task, kind), own in groups.items():
        # Of the way that more seeds have finished.
        most = sorted(own.values(), key=lambda row: len(row["seeds"]))
        left = {row["method"]: f"{row['share_kept']:.1%} ({row['method']})" for row in most}
        rows.append(
            {
                **{"task": task, "metric": metrics.get(task, "score")},
                "majority": _DIGITS.format(baselines[task]) if task in baselines else "-",
                "whole model": _spread(dense.get(task)),
                "subnetwork": kind,
                "weights left": ", ".join(left[method] for method in methods if method in left),
                **{" ".join(pair): _spread(own.get(pair)) for pair in pairs},
            }
        )
    return rows


def _tables(report):
    """Returns the rows of each section by its title."""
    metrics, baselines = report["metrics"], report["baselines"]
    between = report["between_tasks"]

    def scored(rows):
        return [{**row, "metric": metrics.get(row["task"], "score")} for row in rows]

    winners = [
        {**row, "baseline": baselines.get(task)} for task, row in report["super_tickets"].items()
    ]
    labels = [{"task": task, "score": score} for task, score in baselines.items()]
    survival = [{"of": component, **found} for component, found in between.items()]
    return {
        "Super tickets": pages.table(scored(winners), {**_SCORES, "baseline": "baseline"}),
        "Scores": pages.table(scored(report["curves"]), _SCORES),
        "Subnetworks": subnetwork_table(report["subnetworks"], baselines, metrics),
        "Labels alone": pages.table(
            scored(labels), {name: name for name in ("task", "metric", "score")}
        ),
        "Size of the subnetworks": pages.table(report["sizes"], _SIZES),
        "Agreement of seeds": pages.table(report["agreement"], _AGREEMENT),
        "Kept by each head and FFN": [
            row for task, found in report["kept"].items() for row in _kept_rows(task, found)
        ],
        "Survival over tasks": pages.table(survival, _SURVIVAL),
        "Overlap of tasks": [row for item in between.items() for row in _overlap_rows(*item)],
        "Patterns of attention": _pattern_rows(report["patterns"]),
        "Damaged": report["damaged"],
    }


def _spread(row):
    """Returns a mean over seeds with its deviation and their number as text."""
    if row is None:
        return "-"
    spread = "" if row["deviation"] is None else f" ± {row['deviation']:.4f}"
    return f"{row['mean']:.4f}{spread} ({len(row['seeds'])})"


def _kept_rows(task, found):
    """Yields a row for the heads and one for the FFNs of a task."""
    for component in mask_summary.COMPONENTS:
        mean, deviation = (found[component][name] for name in ("mean", "deviation"))
        yield {
            **{"task": task, "of": component, "seeds": ", ".join(map(str, found["seeds"]))},
            "mean": pages.number(np.mean(mean)),
            "least": pages.number(np.min(mean)),
            "most": pages.number(np.max(mean)),
            "mean deviation": pages.number(None if deviation is None else np.mean(deviation)),
        }


def _overlap_rows(component, found):
    """Yields a row for each pair of tasks."""
    (mean, deviation), tasks = _pair(found["overlap"]), found["tasks"]
    for i, j in zip(*np.tril_indices(len(tasks), -1), strict=True):
        yield {
            **{"of": component, "tasks": f"{tasks[j]}, {tasks[i]}", "overlap": f"{mean[i][j]:.1f}"},
            "deviation": "-" if deviation is None else f"{deviation[i][j]:.1f}",
            "similar pairs": pages.number(found["similar_pairs"][j][i]),
        }


def _pattern_rows(bars):
    """Returns a row for each bar, with all patterns: classifiers may differ in theirs."""
    patterns = dict.fromkeys(pattern for shares in bars.values() for pattern in shares)
    return [
        {"of": name, **{p: f"{shares[p]:.1%}" if p in shares else "-" for p in patterns}}
        for name, shares in bars.items()
    ]


def _pictures(report):
    """Yields a title and the bytes of a PNG for each figure."""
    curves = [row for row in report["curves"] if row["kind"] != ticket_scores.DENSE]
    for task in dict.fromkeys(row["task"] for row in curves):
        yield f"{task}: score against weights left", _curve_plot(report, task)
    for task, found in report["kept"].items():
        yield f"{task}: kept over seeds", _heatmap(found, "share kept")
    if between := report["between_tasks"]:
        survival = {component: found["survival"] for component, found in between.items()}
        yield "Survival over tasks", _heatmap(survival, "tasks")
    for component, found in between.items():
        plot = ticket_plots.matrix(found["tasks"], *_pair(found["overlap"]), "components of both")
        yield f"Overlap of tasks: {component}", plot
    for row in report["jaccard"]:
        title = f"{row['task']}: Jaccard index of seeds, {row['component']}"
        yield title, ticket_plots.matrix(row["seeds"], row["values"])
    if report["patterns"]:
        yield "Patterns of attention", attention_plots.pattern_shares(report["patterns"])


def _heatmap(found, label):
    """Returns a picture of the mean and deviation of heads and FFNs."""
    return ticket_plots.survival_heatmap(_pair(found["heads"]), _pair(found["ffn"]), label)


def _pair(found):
    return found["mean"], found["deviation"]


def _curve_plot(report, task):
    curves, dense = {}, None
    for row in report["curves"]:
        if row["task"] == task and row["kind"] == ticket_scores.DENSE:
            dense = row["mean"]
        elif row["task"] == task:
            point = row["share_kept"], row["mean"], row["deviation"]
            curves.setdefault(row["kind"], []).append(point)
    return ticket_plots.phase_transition(curves, report["metrics"].get(task, "score"), dense)
