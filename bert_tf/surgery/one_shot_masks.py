"""Masks of a BERT without any training: baselines of masks that are trained on text."""

import numpy as np

from bert_tf.surgery import masks, units
from flop_tf.linalg.magnitude import good_masks, random_masks
from flop_tf.training import mask_rules

#: What a mask of single weights keeps.
KINDS = ("magnitude", "random")


def one_shot(source, kind, sparsity, seed=0):
    """Returns the mask of a baseline, each matrix with `round(n s)` zeros.

    Args:
      source: a `bert_tf.checkpoints.Source` of a dense BERT.
      kind: "magnitude" keeps the largest weights, "random" any.
      sparsity: s in [0, 1).
      seed: of random masks.

    Returns:
      Boolean arrays by path, see `bert_tf.surgery.masks.prunable`.

    Raises:
      ValueError: if the kind is unknown, the sparsity out of range or the BERT is not dense.
    """
    if kind not in KINDS:
        raise ValueError(f"Argument `kind` must be magnitude or random, received {kind!r}.")
    mask_rules.check_sparsity(sparsity)
    masks.check_dense(source, "The checkpoint to mask")
    rng, found = np.random.default_rng(seed), {}
    for path, weights in masks.prunable(source).items():
        num_kept = weights.size - mask_rules.num_pruned(weights.size, sparsity)
        one = {path: weights}
        found |= (
            good_masks(one, num_kept) if kind == "magnitude" else random_masks(one, num_kept, rng)
        )
    return found


def of_blocks(config, blocks):
    """Returns the mask that removes the heads and the FFN of all but some blocks: layer dropping.

    What stays of the other blocks is the bias of their attention, and its LayerNorm.

    Args:
      config: an `EncoderConfig`.
      blocks: indexes of those that stay, ints.

    Returns:
      Boolean arrays by path, see `bert_tf.surgery.units`.

    Raises:
      ValueError: if there is no such block.
    """
    number = len(config.layers)
    if strange := sorted(set(blocks) - set(range(number))):
        raise ValueError(
            f"Argument `blocks` must be indexes of the {number} blocks from 0 on, not {strange}."
        )
    found = units.full_mask(config, "heads", "ffn")
    return {path: mask & (int(path.split(".")[1]) in blocks) for path, mask in found.items()}
