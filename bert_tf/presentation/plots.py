"""Figures as PNG: ranks that survive, scores against what a model costs, latencies."""

import io

import matplotlib.figure
import numpy as np

from bert_tf.encoders.config import PROJECTIONS

_MARKERS = {"dense": "s", "factorized": "^", "gated": "x", "sparse": "v", "compact": "o"}


def rank_heatmap(grid):
    """Returns a picture of ranks.

    Args:
      grid: `[layers, projections]` in the order of `PROJECTIONS`, floats; NaN leaves a cell blank.
    """
    figure = matplotlib.figure.Figure(figsize=(8, 1 + 0.45 * len(grid)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid, aspect="auto", cmap="viridis", vmin=0)
    figure.colorbar(image, label="ranks kept")
    axes.set_xticks(range(len(PROJECTIONS)), PROJECTIONS, rotation=20)
    axes.set_yticks(range(len(grid)))
    axes.set_ylabel("layer")
    for (row, column), rank in np.ndenumerate(grid):
        if np.isfinite(rank):
            color = "black" if image.norm(rank) > 0.6 else "white"
            axes.text(column, row, f"{rank:.0f}", ha="center", va="center", color=color)
    return png(figure)


def share_heatmap(grid, rows, columns, label):
    """Returns a picture of shares in [0, 1].

    Args:
      grid: `[rows, columns]`, floats.
      rows: names of the rows.
      columns: names of the columns.
      label: of the shares.
    """
    size = (3 + 0.7 * len(columns), 1.2 + 0.4 * len(rows))
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid, aspect="auto", cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(image, label=label)
    axes.set_xticks(range(len(columns)), map(literal, columns), rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), map(literal, rows))
    for (row, column), share in np.ndenumerate(grid):
        color = "black" if share > 0.6 else "white"
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=color)
    return png(figure)


def score_against(cost, results, label):
    """Returns a picture with a point for each result, by stage and asked sparsity.

    Args:
      cost: N floats.
      results: N results of a `bert_tf.studies.sweeps.report` of one task.
      label: of the cost.
    """
    figure = matplotlib.figure.Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    groups = {}
    for x, result in zip(cost, results, strict=True):
        groups.setdefault((result["stage"], result["asked"]), []).append((x, result["score"]))
    for number, ((stage, asked), points) in enumerate(groups.items()):
        name = stage if stage == "dense" else f"{stage}, sparsity {asked:g}"
        marker, color = _MARKERS.get(stage, "o"), f"C{number % 10}"
        axes.plot(*zip(*points, strict=True), marker, color=color, label=name, alpha=0.8)
    axes.set_xlabel(label)
    axes.set_ylabel(results[0]["metric"])
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return png(figure)


def latencies(timings):
    """Returns a picture of latencies: a group of bars for each shape, p50 high with a line to p90.

    Args:
      timings: those of a report of `bert_tf.studies.speed.benchmarking`.
    """
    shapes = list(dict.fromkeys(f"{row['batch_size']}x{row['length']}" for row in timings))
    names = list(dict.fromkeys(row["model"] for row in timings))
    width = 0.8 / len(names)
    figure = matplotlib.figure.Figure(figsize=(5 + 1.1 * len(shapes), 3.6), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(names):
        rows = [row for row in timings if row["model"] == name]
        middle = np.array([row["p50_ms"] for row in rows])
        late = np.array([row["p90_ms"] for row in rows])
        places = np.arange(len(shapes)) + (number - (len(names) - 1) / 2) * width
        spread = [0 * middle, late - middle]
        axes.bar(places, middle, width, label=literal(name), yerr=spread, capsize=2)
    axes.set_xticks(range(len(shapes)), shapes)
    axes.set_xlabel("batch x length")
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds, p50 and p90")
    axes.grid(alpha=0.3, axis="y")
    figure.legend(loc="outside right upper", fontsize="small")  # Beside the bars, not over them.
    return png(figure)


def literal(name):
    """Returns a name so that a figure shows it as it is: matplotlib typesets what `$` encloses."""
    return name.replace("$", r"\$")


def png(figure):
    """Returns a figure of matplotlib as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
