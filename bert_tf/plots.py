"""Figures as PNG: the ranks that survive, and scores against what a model costs."""

import io

import matplotlib.figure
import numpy as np

from bert_tf.config import PROJECTIONS

_MARKERS = {"dense": "s", "factorized": "^", "gated": "x", "compact": "o"}


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
    return _png(figure)


def score_against(cost, label, results):
    """Returns a picture with a point for each result, by stage and asked sparsity.

    Args:
      cost: list of N floats.
      label: of the cost.
      results: list of N results of a `bert_tf.report` of one task.
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
    return _png(figure)


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
