"""Figures of subnetworks as PNG: what survives, what tasks share, scores over sizes, patterns.

L layers, N heads, K tasks.
"""

import matplotlib.figure
import numpy as np

from bert_tf.presentation import plots

_COLORS = {"winning": "C2", "random": "C1", "losing": "C3"}


def survival_heatmap(heads, ffn, label="tasks"):
    """Returns a picture of how often heads and FFN blocks survive, mean above deviation.

    Args:
      heads: `(mean [L, N], deviation [L, N] or None)`, see `survival`.
      ffn: `(mean [L], deviation [L] or None)`.
      label: what is counted.
    """
    rows, columns = np.shape(heads[0])
    figure = matplotlib.figure.Figure(
        figsize=(3.5 + 0.55 * columns, 1.2 + 0.45 * rows), layout="constrained"
    )
    left, right = figure.subplots(1, 2, width_ratios=[columns, 1.5])
    # One scale, so that the two panels can be compared.
    most = max(np.max(heads[0]), np.max(ffn[0]), 1e-9)
    image = _grid(left, *heads, most)
    _grid(right, *(None if values is None else np.reshape(values, [-1, 1]) for values in ffn), most)
    left.set_xlabel("head")
    left.set_ylabel("layer")
    for axes in (left, right):
        axes.set_yticks(range(rows))
    left.set_xticks(range(columns))
    right.set_xlabel("FFN")
    right.set_xticks([])
    figure.colorbar(image, ax=right, label=label)
    return plots.png(figure)


def matrix(names, values, deviations=None, label=""):
    """Returns a picture of a symmetric matrix: the overlap of tasks, the Jaccard index of masks.

    Args:
      names: of the K rows and columns.
      values: `[K, K]`; only the lower triangle is shown.
      deviations: `[K, K]`, shown below the values, or None.
      label: what they are.
    """
    upper = np.triu(np.ones([len(names)] * 2, bool), k=1)
    values = np.where(upper, np.nan, values)
    side = 2 + 0.7 * len(names)
    figure = matplotlib.figure.Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = _grid(axes, values, deviations, max(np.nanmax(values), 1e-9))
    axes.set_xticks(range(len(names)), names, rotation=30)
    axes.set_yticks(range(len(names)), names)
    figure.colorbar(image, label=label)
    return plots.png(figure)


def phase_transition(curves, metric, dense=None):
    """Returns a picture of scores against the share of weights left, mean and deviation.

    Args:
      curves: dict by kind ("winning", "random", "losing") of lists of
        `(share, mean, deviation or None)`.
      metric: name of the score.
      dense: score of the whole model, a horizontal line, or None.
    """
    figure = matplotlib.figure.Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    for number, (kind, points) in enumerate(curves.items()):
        share, mean, deviation = zip(*sorted(points, key=lambda point: point[:2]), strict=True)
        spread = [0.0 if each is None else each for each in deviation]
        color = _COLORS.get(kind, f"C{number + 4}")
        axes.errorbar(
            100 * np.array(share),
            mean,
            spread,
            fmt="o-",
            color=color,
            capsize=3,
            label=plots.literal(kind),
        )
    if dense is not None:
        axes.axhline(dense, linestyle="--", color="black", label="dense")
    # As it is published: from the whole model on the left to ever less of it.
    axes.invert_xaxis()
    axes.set_xlabel("weights left, %")
    axes.set_ylabel(metric)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return plots.png(figure)


def pattern_shares(shares):
    """Returns a picture of stacked bars: the share of each pattern of attention, in percent.

    Args:
      shares: dict by name of a bar of dicts of float by pattern, as
        `bert_tf.studies.subnetworks.pattern_shares.shares` returns.
    """
    patterns = list(dict.fromkeys(pattern for bar in shares.values() for pattern in bar))
    figure = matplotlib.figure.Figure(figsize=(3 + 0.8 * len(shares), 3.8), layout="constrained")
    axes = figure.subplots()
    names, bottom = [plots.literal(name) for name in shares], np.zeros([len(shares)])
    for pattern in patterns:
        height = 100 * np.array([bar.get(pattern, 0.0) for bar in shares.values()])
        axes.bar(names, height, 0.7, bottom, label=plots.literal(pattern))
        bottom += height
    axes.set_ylabel("heads, %")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return plots.png(figure)


def attention_heads(blocks):
    """Returns a picture of the attention maps of one text, a row of heads for each block.

    Args:
      blocks: list of L arrays `[N, T, T]`, of various N.
    """
    columns = max(1, *(len(block) for block in blocks))
    figure = matplotlib.figure.Figure(
        figsize=(1 + 1.1 * columns, 0.8 + 1.1 * len(blocks)), layout="constrained"
    )
    panels = figure.subplots(len(blocks), columns, squeeze=False)
    for number, (block, row) in enumerate(zip(blocks, panels, strict=True)):
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
        for axes, values in zip(row, block, strict=False):
            axes.imshow(values, cmap="viridis", vmin=0, interpolation="nearest")
        row[0].set_ylabel(f"layer {number}")
    return plots.png(figure)


def _grid(axes, values, deviations, most):
    """Draws `values` with their deviations below them, and returns the image."""
    values = np.asarray(values, np.float64)
    image = axes.imshow(values, aspect="auto", cmap="viridis", vmin=0, vmax=most)
    for place, value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{value:.3g}"
            if deviations is not None:
                text += f"\n±{np.asarray(deviations)[place]:.2g}"
            color = "black" if image.norm(value) > 0.6 else "white"
            axes.text(*place[::-1], text, ha="center", va="center", color=color, fontsize=7)
    return image
