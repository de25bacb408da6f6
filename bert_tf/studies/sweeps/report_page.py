"""A report as Markdown and as one HTML page that needs no other file."""

import html

import numpy as np

from bert_tf.presentation import pages, plots
from bert_tf.studies.sweeps import sweep

#: The name of the files, without an ending, and the page with figures.
NAME = "report"
HTML_FILE = f"{NAME}.html"

_NOTES = {
    "Best of each task": "The best run of each task, stage and target sparsity, chosen on held-out "
    "training examples if a run has them, else on dev. Sparsity counts the kernels of the original "
    "dense projections; parameters are all of the model, without closed ranks.",
    "Mean over seeds": "Runs of one command that differ in their seed alone, with the sample "
    "standard deviation (n - 1).",
    "Latency": "Measured by turns in one run of flop-benchmark; the ratio is to its first model.",
    "All scored runs": "Times are in seconds, of training and of evaluation, since the run's last "
    "start.",
    "Runs": "Each one is the command `flop-PROGRAM --flagfile=RUN/run.flags`.",
    "Device and versions": "",
}


def write(report, folder):
    """Writes `report.md`, `report.json` and `report.html`.

    Args:
      report: dict of `bert_tf.studies.sweeps.report.gather`.
      folder: where to write; made where it is missing.

    Returns:
      The first two tables as Markdown: the best of each task, and means over seeds.

    Raises:
      OSError: if a file cannot be written.
    """
    sections = [(title, _NOTES[title], rows) for title, rows in _tables(report).items()]
    shown = [pages.section(*section) for section in sections]
    parts = [*shown[:2], *_pictures(report), *shown[2:], _commands(report)]
    title, window = (f"{what} {report['folder']}" for what in ("Runs in", "Report on"))
    pages.write(folder, NAME, title, report, sections, parts=parts, window=window)
    return "\n".join(pages.markdown_section(*section) for section in sections[:2])


def _tables(report):
    """Returns the rows of each section by its title."""
    results = report["results"]
    latency = [{**result, **row} for result in results for row in result["latency"]]
    every = {**_RESULT, "seed": "seed", **{t: (t.replace(" ", "_"), "{:.1f}") for t in _TIMES}}
    rows = [
        pages.table(report["best"], _RESULT),
        pages.table(report["seeds"], _SEEDS),
        pages.table(latency, _LATENCY),
        pages.table(results, every),
        pages.table(report["runs"], _STATE),
        pages.table(report["environments"], _ENVIRONMENT),
    ]
    return dict(zip(_NOTES, rows, strict=True))


def _rate(row):
    rate = row["learning_rate"]
    return "-" if rate is None else sweep.short_number(rate)


def _other_scores(row):
    return ", ".join(f"{name} {value:.4f}" for name, value in row["other_scores"].items()) or "-"


def _program(row):
    return (row["program"] or "-").replace("_", "-")


def _shape(row):
    return f"{row['batch_size']}x{row['length']}"


# The columns of tables, see `bert_tf.presentation.pages.table`.
_RESULT = {
    **{name: name for name in ("task", "stage", "metric")},
    "score": ("score", "{:.4f}"),
    "other scores": _other_scores,
    "held out": lambda row: f"{row['selected']:.4f}" if "holdout" in row["scores"] else "-",
    "learning rate": _rate,
    "target sparsity": ("target", "{:g}"),
    **{"sparsity": ("sparsity", "{:.4f}"), "parameters": ("parameters", "{:,}"), "run": "run"},
}
_TIMES = ("train time", "eval time")
_SEEDS = {
    **{name: name for name in ("task", "stage", "metric")},
    **{"mean": ("mean", "{:.4f}"), "deviation": ("deviation", "{:.4f}"), "seeds": "seeds"},
    **{"learning rate": _rate, "target sparsity": ("target", "{:g}")},
    "first run": lambda row: row["runs"][0],
}
_LATENCY = {
    **{"task": "task", "run": "run", "batch x length": _shape, "p50 ms": ("p50_ms", "{:.2f}")},
    **{"spread": ("spread", "{:.1%}"), "ratio": ("ratio", "{:.3f}"), "score": ("score", "{:.4f}")},
}
_STATE = {
    **{"run": "run", "program": _program, "state": "state"},
    "reason": lambda row: " ".join((row["reason"] or "").split()) or "-",
}
_ENVIRONMENT = {
    "of": "source",
    "device": lambda row: f"{row['device']}, {row['cores']} cores",
    "system": "system",
    "versions": lambda row: ", ".join(f"{n} {version}" for n, version in row["versions"].items()),
}


def _pictures(report):
    """Yields a section for each figure: scores against size and latency by task, and ranks."""
    for task in dict.fromkeys(result["task"] for result in report["results"]):
        results = [result for result in report["results"] if result["task"] == task]
        sizes = [result["parameters"] / 1e6 for result in results]
        title = f"{task}: score against size"
        yield pages.picture(title, plots.score_against(sizes, results, "million parameters"))
        if timed := [result for result in results if result["latency"]]:
            shape = _shape(timed[0]["latency"][-1])
            label = f"ms for a batch of {shape} tokens (p50)"
            points = [
                (row["p50_ms"], result)
                for result in timed
                for row in result["latency"]
                if _shape(row) == shape
            ]
            title = f"{task}: score against latency"
            yield pages.picture(title, plots.score_against(*zip(*points, strict=True), label))
    for row in report["ranks"]:
        title = f"{row['task']}: ranks kept at sparsity {row['target']:g} ({row['run']})"
        yield pages.picture(title, plots.rank_heatmap(np.array(row["ranks"], np.float64)))


def _commands(report):
    """Returns a list of every run's flags that opens on a click."""
    parts = ["<section>\n<h2>Commands</h2>"]
    for row in report["runs"]:
        if row["flags"]:
            flags = "\n".join(f"--{name}={value}" for name, value in row["flags"].items())
            parts.append(
                f"<details><summary>{html.escape(row['run'])}</summary>"
                f"<pre>flop-{_program(row)}\n{html.escape(flags)}</pre></details>"
            )
    return "\n".join([*parts, "</section>"])
