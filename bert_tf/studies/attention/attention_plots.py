"""Figures of attention as PNG: the maps of a text, and the shares of patterns."""

import numpy as np

from bert_tf.presentation import plots


def attention_heads(blocks):
    """Returns a picture of the attention maps of one text, a row of heads for each block.

    Args:
      blocks: list of L arrays `[N, T, T]`, of various N.
    """
    columns = max(1, *(len(block) for block in blocks))
    size = (1 + 1.1 * columns, 0.8 + 1.1 * len(blocks))
    figure, panels = plots.new_figure(*size, len(blocks), columns, squeeze=False)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    for number, (block, row) in enumerate(zip(blocks, panels, strict=True)):
        for axes, values in zip(row, block, strict=False):
            axes.imshow(values, cmap="viridis", vmin=0, interpolation="nearest")
        row[0].set_ylabel(f"layer {number}")
    return plots.png(figure)


def pattern_shares(shares):
    """Returns a picture of stacked bars: the share of each pattern of attention, in percent.

    Args:
      shares: dict by name of a bar of dicts of float by pattern, as
        `bert_tf.studies.attention.pattern_shares.shares` returns.
    """
    patterns = list(dict.fromkeys(pattern for bar in shares.values() for pattern in bar))
    figure, axes = plots.new_figure(3 + 0.8 * len(shares), 3.8)
    names, bottom = [plots.literal(name) for name in shares], np.zeros([len(shares)])
    for pattern in patterns:
        height = 100 * np.array([bar.get(pattern, 0.0) for bar in shares.values()])
        axes.bar(names, height, 0.7, bottom, label=plots.literal(pattern))
        bottom += height
    axes.set_ylabel("heads, %")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return plots.png(figure)
