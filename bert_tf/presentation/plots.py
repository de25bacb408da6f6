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
    figure, axes = new_figure(8, 1 + 0.45 * len(grid))
    figure.colorbar(heat(axes, grid, "{:.0f}"), label="ranks kept")
    axes.set_xticks(range(len(PROJECTIONS)), PROJECTIONS, rotation=20)
    axes.set_yticks(range(len(grid)))
    axes.set_ylabel("layer")
    return png(figure)


def share_heatmap(grid, rows, columns, label):
    """Returns a picture of shares in [0, 1].

    Args:
      grid: `[rows, columns]`, floats.
      rows: names of the rows.
      columns: names of the columns.
      label: of the shares.
    """
    figure, axes = new_figure(3 + 0.7 * len(columns), 1.2 + 0.4 * len(rows))
    figure.colorbar(heat(axes, grid, "{:.2f}", most=1), label=label)
    axes.set_xticks(range(len(columns)), map(literal, columns), rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), map(literal, rows))
    return png(figure)


def score_against(cost, results, label):
    """Returns a picture with a point for each result, by stage and target sparsity.

    Args:
      cost: N floats.
      results: N results of a `bert_tf.studies.sweeps.report` of one task.
      label: of the cost.
    """
    figure, axes = new_figure(6, 3.6)
    groups = {}
    for x, result in zip(cost, results, strict=True):
        groups.setdefault((result["stage"], result["target"]), []).append((x, result["score"]))
    for number, ((stage, target), points) in enumerate(groups.items()):
        name = stage if stage == "dense" else f"{stage}, sparsity {target:g}"
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
      timings: the entry `timings` of a report of `bert_tf.studies.speed.benchmarking`.
    """
    shapes = list(dict.fromkeys(f"{row['batch_size']}x{row['length']}" for row in timings))
    names = list(dict.fromkeys(row["model"] for row in timings))
    width = 0.8 / len(names)
    figure, axes = new_figure(5 + 1.1 * len(shapes), 3.6)
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
    figure.legend(loc="outside right upper", fontsize="small")  # Next to the bars, not over them.
    return png(figure)


def new_figure(width, height, rows=1, columns=1, **settings):
    """Returns a figure of matplotlib and its axes, an array of them where there are several.

    Args:
      width: in inches.
      height: in inches.
      rows: number of rows of axes, from 1.
      columns: number of columns of axes, from 1.
      **settings: of `matplotlib.figure.Figure.subplots`.
    """
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **settings)


def heat(axes, values, form, most=None, deviations=None, **text):
    """Draws a matrix as colors with its numbers on them.

    Args:
      axes: of matplotlib, to draw on.
      values: `[rows, columns]`, floats; NaN leaves a cell blank.
      form: format string of a number.
      most: the value of the last color; None takes the largest one.
      deviations: `[rows, columns]`, written below the values, or None.
      **text: settings of the text.

    Returns:
      The image of matplotlib.
    """
    values = np.asarray(values, np.float64)
    image = axes.imshow(values, aspect="auto", cmap="viridis", vmin=0, vmax=most)
    for place, value in np.ndenumerate(values):
        if np.isfinite(value):
            shown = form.format(value)
            if deviations is not None:
                shown += f"\n±{np.asarray(deviations)[place]:.2g}"
            color = "black" if image.norm(value) > 0.6 else "white"
            axes.text(*place[::-1], shown, ha="center", va="center", color=color, **text)
    return image


def literal(name):
    """Returns a name so that a figure shows it as it is: matplotlib typesets what `$` encloses.

    Args:
      name: any text.
    """
    return name.replace("$", r"\$")


def png(figure):
    """Returns a figure of matplotlib as the bytes of a PNG.

    Args:
      figure: of matplotlib.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
