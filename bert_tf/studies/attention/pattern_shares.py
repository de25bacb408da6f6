"""Which patterns the heads of a model and of its subnetworks show.

B batch, T tokens, N heads of a block.
"""

import numpy as np
from scipy import stats

from bert_tf import ranges
from bert_tf.data import batching
from bert_tf.studies.attention import attention_maps

# What the crop leaves of the padding of the shortest texts.
_ROOM = 20
_BATCH = 8


def classify_heads(classifier, model, encoded, kind, *, num_texts=100, seed=0):
    """Classifies the maps of all heads on random texts that are not too short.

    Texts have at least as many tokens as the smallest map of the training. A map is cropped to
    its tokens, or to 20 more than that smallest map has if these are more.

    Args:
      classifier: a `bert_tf.studies.attention.pattern_classifier.PatternClassifier`.
      model: a `BertModel`, at any stage.
      encoded: `bert_tf.data.batching.EncodedExamples`.
      kind: a field of `bert_tf.studies.attention.attention_maps.AttentionMaps`: "probabilities"
        or "norms", as the classifier was trained on.
      num_texts: how many texts, all if there are fewer.
      seed: int, of their choice.

    Returns:
      Int64 `[texts, heads]`, positions in `classifier.labels`; heads are those of all blocks, the
      first block's first.

    Raises:
      ValueError: if an argument is out of range or all texts are too short.
    """
    kinds = attention_maps.AttentionMaps._fields
    if kind not in kinds:
        raise ValueError(f"Argument `kind` must be one of {list(kinds)}, received {kind!r}.")
    ranges.check("Argument `num_texts`", num_texts, int, ranges.FROM_1)
    chosen = _chosen(encoded, classifier.smallest, num_texts, seed)
    compute = attention_maps.attention_maps(model)
    patterns = []
    for features, *_ in batching.evaluation_dataset(encoded.take(chosen), _BATCH):
        blocks = np.concatenate([getattr(maps, kind) for maps in compute(features)], axis=1)
        tokens = np.sum(features["input_mask"], axis=1)
        for maps, length in zip(blocks, tokens, strict=True):
            shown = cropped(maps, max(length, classifier.smallest + _ROOM))
            patterns.append(classifier.classify(shown))
    return np.stack(patterns)


def cropped(maps, size):
    """Returns the first `size` rows and columns of maps `[..., T, T]`, with zeros if T is less.

    Args:
      maps: array `[..., T, T]`.
      size: int, at least 1.
    """
    kept = maps[..., :size, :size]
    missing = size - kept.shape[-1]
    return np.pad(kept, [(0, 0)] * (kept.ndim - 2) + [(0, missing)] * 2)


def shares(patterns, labels, heads=None):
    """Returns the share of each pattern over texts and heads.

    Args:
      patterns: list of int `[texts, heads]`, one for each seed.
      labels: the C names of the patterns.
      heads: list of bool `[heads]` for each seed, true for the heads of a subnetwork; None takes
        all. `[L, N]` is also taken, where all blocks have N heads.

    Returns:
      Dict of float by label, which add up to 1; None where the subnetworks have no head.

    Raises:
      ValueError: if the heads do not fit the patterns.
    """
    pairs = zip(patterns, _fitting(patterns, heads), strict=True)
    shown = np.concatenate([found[:, kept].ravel() for found, kept in pairs])
    if not shown.size:
        return None
    counts = np.bincount(shown, minlength=len(labels))
    return dict(zip(labels, (counts / shown.size).tolist(), strict=True))


def survivor_correlation(patterns, pattern, heads):
    """Returns Pearson's correlation of "shows the pattern" and "survives", over texts and heads.

    Args:
      patterns: list of int `[texts, heads]`, one for each seed.
      pattern: int, the pattern, such as the position of "heterogeneous" in the labels.
      heads: list of bool `[heads]` for each seed, true where a head survives, see `shares`.

    Returns:
      `(r, p)`, two floats; `(None, None)` where one of the two is always or never so.

    Raises:
      ValueError: if the heads do not fit the patterns.
    """
    kept = [
        np.tile(own, len(p)) for p, own in zip(patterns, _fitting(patterns, heads), strict=True)
    ]
    shows = np.concatenate([found.ravel() == pattern for found in patterns])
    pair = np.stack([shows, np.concatenate(kept)])
    if any(each.all() or not each.any() for each in pair):
        return None, None
    result = stats.pearsonr(*pair.astype(np.float64))
    return float(result.statistic), float(result.pvalue)


def _chosen(encoded, smallest, num_texts, seed):
    """Returns the positions of random texts that have at least `smallest` tokens."""
    long_enough = np.flatnonzero(encoded.lengths >= smallest)
    if not long_enough.size:
        raise ValueError(
            f"Argument `encoded` must have texts of at least {smallest} tokens, as the classifier "
            f"was trained on, received {max(encoded.lengths, default=0)} at most."
        )
    number = min(num_texts, long_enough.size)
    return np.random.default_rng(seed).choice(long_enough, number, replace=False)


def _fitting(patterns, heads):
    """Returns a mask of heads for each seed, `[heads]`."""
    sizes = [found.shape[1] for found in patterns]
    if heads is None:
        return [np.ones([size], bool) for size in sizes]
    masks = [np.ravel(mask) for mask in heads]
    if [mask.size for mask in masks] != sizes or any(mask.dtype != bool for mask in masks):
        raise ValueError(
            f"Argument `heads` must have bool masks of {sizes} heads, one for each seed, received "
            f"{[f'{mask.dtype} {mask.size}' for mask in masks]}."
        )
    return masks
