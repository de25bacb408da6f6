"""Masks compared in pairs: overlap over all weights and by layer, as a table and a picture."""

import itertools

import numpy as np

from bert_tf.presentation import pages, plots
from flop_tf.files import mask_file
from flop_tf.searches import mask_similarity
from flop_tf.training import mask_rules

_PAIR = ("macro_jaccard", "pooled_jaccard", "hamming")


def read(paths):
    """Reads mask files of one model.

    Args:
      paths: list of two or more files.

    Returns:
      A list of dicts of boolean arrays by path.

    Raises:
      ValueError: if there are too few, or one does not fit the first.
    """
    if len(paths) < 2:
        raise ValueError(
            f"Argument `masks` must name two files or more to compare, received {len(paths)}."
        )
    first = mask_file.read(paths[0])
    shapes = {name: mask.shape for name, mask in first.masks.items()}
    return [mask_file.read(path, first.base, shapes).masks for path in paths]


def compare(names, found):
    """Compares all pairs of masks.

    Args:
      names: of the masks, list of k.
      found: list of k dicts of boolean arrays by path.

    Returns:
      A dict of plain data: `zero_rates` of each mask, `zero_rates_by_layer`, and for each pair in
      `pairs` its names, the result of `flop_tf.searches.mask_similarity.similarity`, and `by_layer`
      and `hamming_by_layer`, the Jaccard index and the share of differing places of each layer.
    """
    layers = [by_layer(masks) for masks in found]

    def of_layers(measure, i, j):
        return {layer: float(measure(layers[i][layer], layers[j][layer])) for layer in layers[i]}

    rates = [{layer: 1 - float(kept.mean()) for layer, kept in own.items()} for own in layers]
    return {
        "zero_rates": dict(zip(names, map(mask_rules.zero_rate, found), strict=True)),
        "zero_rates_by_layer": dict(zip(names, rates, strict=True)),
        "pairs": [
            {
                "masks": [names[i], names[j]],
                **mask_similarity.similarity(found[i], found[j]),
                "by_layer": of_layers(mask_similarity.jaccard, i, j),
                "hamming_by_layer": of_layers(mask_similarity.hamming, i, j),
            }
            for i, j in itertools.combinations(range(len(names)), 2)
        ],
    }


def by_layer(masks):
    """Returns the places of each layer as one array, by its name: "block 0", ..., "pooler".

    Args:
      masks: dict of arrays by path.
    """
    parts = {}
    for path in sorted(masks, key=_order):
        words = path.split(".")
        layer = f"block {words[1]}" if words[0] == "blocks" else words[0]
        parts.setdefault(layer, []).append(masks[path].ravel())
    return {layer: np.concatenate(arrays) for layer, arrays in parts.items()}


def table(comparison):
    """Returns a comparison as two tables in Markdown: of pairs, and of what differs by layer.

    Args:
      comparison: the result of `compare`.
    """
    rates, names = comparison["zero_rates"], _names(comparison)
    rows, shares = [], []
    for name, pair in zip(names, comparison["pairs"], strict=True):
        row = {"masks": name, **{key: f"{pair[key]:.4f}" for key in _PAIR}}
        row["zeros"] = " / ".join(f"{100 * rates[mask]:.2f} %" for mask in pair["masks"])
        rows.append(row | _digits(pair["by_layer"]))
        shares.append({"by layer": f"hamming, {name}", **_digits(pair["hamming_by_layer"])})
    for name, own in comparison["zero_rates_by_layer"].items():
        shares.append({"by layer": f"zeros, {name}", **_digits(own)})
    return f"{pages.markdown_table(rows)}\n{pages.markdown_table(shares)}"


def heatmap(comparison):
    """Returns a PNG of the Jaccard index of each pair, over all and by layer.

    Args:
      comparison: the result of `compare`.
    """
    pairs = comparison["pairs"]
    grid = [[pair["pooled_jaccard"], *pair["by_layer"].values()] for pair in pairs]
    columns = ["all", *pairs[0]["by_layer"]]
    return plots.share_heatmap(np.array(grid), _names(comparison), columns, "Jaccard")


def _names(comparison):
    return [" / ".join(pair["masks"]) for pair in comparison["pairs"]]


def _digits(by_layer):
    return {layer: f"{value:.3f}" for layer, value in by_layer.items()}


def _order(path):
    words = path.split(".")
    if words[0] == "blocks":
        return 1, int(words[1]), path
    return (0 if words[0] == "embeddings" else 2), 0, path
