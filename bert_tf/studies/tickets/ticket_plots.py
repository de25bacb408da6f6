"""Figures of subnetworks as PNG: what survives, what tasks share, scores over sizes.

L layers, N heads, K tasks.
"""

import numpy as np

from bert_tf.presentation import plots

_COLORS = {"winning": "C2", "random": "C1", "losing": "C3"}


def survival_heatmap(heads, ffn, label="tasks"):
    """Returns a picture of how often heads and FFNs survive, mean above deviation.

    Args:
      heads: `(mean [L, N], deviation [L, N] or None)`, see `bert_tf.studies.masks.survival`.
      ffn: `(mean [L], deviation [L] or None)`.
      label: of the counted things.
    """
    rows, columns = np.shape(heads[0])
    size = (3.5 + 0.55 * columns, 1.2 + 0.45 * rows)
    figure, (left, right) = plots.new_figure(*size, 1, 2, width_ratios=[columns, 1.5])
    # One scale, so that the two panels can be compared.
    most = max(np.max(heads[0]), np.max(ffn[0]), 1e-9)
    image = _heat(left, *heads, most)
    _heat(right, *(None if values is None else np.reshape(values, [-1, 1]) for values in ffn), most)
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
      label: of the values.
    """
    upper = np.triu(np.ones([len(names)] * 2, bool), k=1)
    values = np.where(upper, np.nan, values)
    side = 2 + 0.7 * len(names)
    figure, axes = plots.new_figure(side + 1, side)
    image = _heat(axes, values, deviations, max(np.nanmax(values), 1e-9))
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
    figure, axes = plots.new_figure(6, 3.8)
    for number, (kind, points) in enumerate(curves.items()):
        share, mean, deviation = zip(*sorted(points, key=lambda point: point[:2]), strict=True)
        spread = [each or 0.0 for each in deviation]
        style = {"color": _COLORS.get(kind, f"C{number + 4}"), "capsize": 3}
        label = plots.literal(kind)
        axes.errorbar(100 * np.array(share), mean, spread, fmt="o-", label=label, **style)
    if dense is not None:
        axes.axhline(dense, linestyle="--", color="black", label="dense")
    # As it is published: from the whole model on the left to ever less of it.
    axes.invert_xaxis()
    axes.set_xlabel("weights left, %")
    axes.set_ylabel(metric)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return plots.png(figure)


def _heat(axes, values, deviations, most):
    return plots.heat(axes, values, "{:.3g}", most, deviations, fontsize=7)
