"""A report as Markdown and as one HTML page that needs no other file."""

import html
import os

import pandas as pd

from bert_tf.presentation import pages, plots
from bert_tf.studies.sweeps import sweep
from flop_tf import files

#: The page, with figures.
HTML_FILE = "report.html"


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
    sections = _tables(report)
    markdown = pages.markdown(f"Runs in {report['folder']}", sections)
    files.write_json(os.path.join(folder, "report.json"), report)
    files.write_text(os.path.join(folder, "report.md"), markdown)
    files.write_text(os.path.join(folder, HTML_FILE), _html(report, sections))
    return "\n".join(pages.markdown_section(*section) for section in sections[:2])


def _tables(report):
    """Returns the tables as `(title, note, rows)`, rows being dicts of text by column."""
    return [
        (
            "Best of each task",
            "The best run of each task, stage and asked sparsity, chosen on held-out training "
            "examples if a run has them, else on dev. Sparsity counts the kernels of the original "
            "dense projections; parameters are all of the model, without closed ranks.",
            [_result_row(result) for result in report["best"]],
        ),
        (
            "Mean over seeds",
            "Runs of one command that differ in their seed alone, with the sample standard "
            "deviation (n - 1).",
            [_seeds_row(row) for row in report["seeds"]],
        ),
        (
            "Latency",
            "Measured by turns in one run of flop-benchmark; the ratio is to its first model.",
            [
                _latency_row(result, row)
                for result in report["results"]
                for row in result["latency"]
            ],
        ),
        (
            "All scored runs",
            "Times are in seconds, of training and of evaluation, since the run's last start.",
            [
                {**_result_row(result), "seed": str(result["seed"]), **_times(result)}
                for result in report["results"]
            ],
        ),
        (
            "Runs",
            "Each one is the command `flop-PROGRAM --flagfile=RUN/run.flags`.",
            [_state_row(row) for row in report["runs"]],
        ),
        ("Device and versions", "", [_environment_row(row) for row in report["environments"]]),
    ]


def _result_row(result):
    beside = ", ".join(f"{name} {value:.4f}" for name, value in result["beside"].items())
    return {
        "task": result["task"],
        "stage": result["stage"],
        "metric": result["metric"],
        "score": f"{result['score']:.4f}",
        "beside": beside or "-",
        "held out": f"{result['selected']:.4f}" if "holdout" in result["scores"] else "-",
        "learning rate": _rate(result["learning_rate"]),
        "asked sparsity": f"{result['asked']:g}",
        "sparsity": f"{result['sparsity']:.4f}",
        "parameters": f"{result['parameters']:,}",
        "run": result["run"],
    }


def _seeds_row(row):
    spread = "-" if row["deviation"] is None else f"{row['deviation']:.4f}"
    return {
        "task": row["task"],
        "stage": row["stage"],
        "metric": row["metric"],
        "mean": f"{row['mean']:.4f}",
        "deviation": spread,
        "seeds": ", ".join(map(str, row["seeds"])),
        "learning rate": _rate(row["learning_rate"]),
        "asked sparsity": f"{row['asked']:g}",
        "first run": row["runs"][0],
    }


def _latency_row(result, row):
    return {
        "task": result["task"],
        "run": result["run"],
        "batch x length": _shape(row),
        "p50 ms": f"{row['p50_ms']:.2f}",
        "spread": f"{row['spread']:.1%}",
        "ratio": f"{row['ratio']:.3f}",
        "score": f"{result['score']:.4f}",
    }


def _shape(row):
    return f"{row['batch_size']}x{row['length']}"


def _times(result):
    return {
        name.replace("_", " "): "-" if result[name] is None else f"{result[name]:.1f}"
        for name in ("train_time", "eval_time")
    }


def _state_row(row):
    reason = " ".join((row["reason"] or "").split())
    return {
        "run": row["run"],
        "program": (row["program"] or "-").replace("_", "-"),
        "state": row["state"],
        "reason": reason or "-",
    }


def _environment_row(row):
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    device = f"{row['device']}, {row['cores']} cores"
    return {"of": row["source"], "device": device, "system": row["system"], "versions": versions}


def _rate(rate):
    return "-" if rate is None else sweep.short_number(rate)


def _html(report, sections):
    shown = [pages.section(*section) for section in sections]
    parts = [*shown[:2], *_pictures(report), *shown[2:], _commands(report)]
    title, heading = (f"{what} {report['folder']}" for what in ("Report on", "Runs in"))
    return pages.page(title, heading, parts)


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
        title = f"{row['task']}: ranks kept at sparsity {row['asked']:g} ({row['run']})"
        yield pages.picture(title, plots.rank_heatmap(pd.DataFrame(row["ranks"]).to_numpy(float)))


def _commands(report):
    """Returns a list of every run's flags that opens on a click."""
    parts = ["<section>\n<h2>Commands</h2>"]
    for row in report["runs"]:
        if row["flags"]:
            program = (row["program"] or "-").replace("_", "-")
            flags = "\n".join(f"--{name}={value}" for name, value in row["flags"].items())
            parts.append(
                f"<details><summary>{html.escape(row['run'])}</summary>"
                f"<pre>flop-{program}\n{html.escape(flags)}</pre></details>"
            )
    return "\n".join([*parts, "</section>"])
