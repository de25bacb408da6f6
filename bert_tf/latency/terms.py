"""The terms of a latency: what a model consists of, and how often it has each part.

A model takes `sum over terms of count * seconds`. Counts follow from the architecture alone, so
that seconds are fitted to the times of some models and predict those of others.
B batch, T tokens, I inputs, O outputs, R rank, N heads, D head size, F feed-forward.

| term | count |
|---|---|
| `FIXED` | 1: embeddings, pooler and head |
| `NORM`, `PLAIN_NORM` | LayerNorms, each with residual and bias; those in several operations |
| `ATTENTION`, `FFN` | blocks with N heads, or F neurons, all projections dense, by size |
| `KERNEL` | below 0: multiplications a token of dense kernels that factors or narrow heads save |
| `FACTORS`, `UNALIGNED_FACTORS` | pairs of factors; those of a rank that is no multiple of 16 |
| `FACTOR_NUMBERS` | their multiplications a token |
| `EINSUM`, `EINSUM_HEADS` | blocks, and heads, with attention by einsums |
| `FUSED`, `FUSED_HEADS` | blocks, and heads, whose dense query, key and value are one layer |
| `FUSED_FACTORS` | blocks whose query, key and value share the first product of their factors |
"""

import bisect
import collections
import dataclasses

from bert_tf.encoders.config import ATTENTION_INPUTS, PROJECTIONS
from flop_tf.linalg import costs

#: Ranks that are a multiple of it may be faster: a vector of the processor holds that many numbers.
ALIGNMENT = 16

FIXED, NORM, PLAIN_NORM = "fixed", "norm", "plain_norm"
ATTENTION, FFN = "attention", "ffn"
KERNEL, FACTOR_NUMBERS = "kernel", "factor_numbers"
FACTORS, UNALIGNED_FACTORS = "factors", "unaligned_factors"
EINSUM, EINSUM_HEADS = "einsum", "einsum_heads"
FUSED, FUSED_HEADS, FUSED_FACTORS = "fused", "fused_heads", "fused_factors"

#: Terms with seconds for several sizes, in between which they are linear; size 0 takes none.
CURVES = (ATTENTION, FFN)
#: Terms that a model has in place of others, so that their seconds may be below 0.
DIFFERENCES = (PLAIN_NORM, FACTORS, EINSUM, EINSUM_HEADS, FUSED, FUSED_HEADS, FUSED_FACTORS)


def of_model(config, execution, sizes):
    """Returns how often a model has each term, a float by `(term, size)`.

    Args:
      config: an `EncoderConfig` without gates.
      execution: an `Execution`.
      sizes: the measured sizes of each of `CURVES`, increasing ints by term.
    """
    norms = 2 * config.num_hidden_layers + 1
    found = collections.Counter({(FIXED, 0): 1, (NORM, 0): norms})
    if not execution.fused_layer_norm:
        found[PLAIN_NORM, 0] = norms
    for index, layer in enumerate(config.layers):
        found.update(of_curve(ATTENTION, layer.num_heads, sizes))
        found.update(of_curve(FFN, layer.intermediate_size, sizes))
        found.update(of_execution(layer, execution, index))
        found.update(of_narrow_heads(layer, config.hidden_size, config.head_size))
    for *_, spec, shape in config.projections():
        if all(shape):
            found.update(of_product(*shape, spec.rank))
    return found


def of_curve(term, size, sizes):
    """Returns the shares of the measured sizes in a size; beyond the last pair as along it.

    Args:
      term: one of `CURVES`.
      size: N or F, a number of at least 0.
      sizes: see `of_model`.
    """
    if not size:
        return {}
    known = [0, *sizes[term]]
    above = min(bisect.bisect_left(known, size), len(known) - 1)
    low, high = known[above - 1 : above + 1]
    share = (size - low) / (high - low)
    shares = {(term, high): share, (term, low): 1 - share}
    return {key: value for key, value in shares.items() if key[1]}


def of_narrow_heads(layer, hidden_size, head_size):
    """Returns the terms by which a block differs from one with heads of the model's width.

    Products of queries with keys, and of probabilities with values, count as if they were as wide.

    Args:
      layer: its `LayerConfig`.
      hidden_size: H.
      head_size: D.
    """
    whole = dataclasses.replace(layer, key_size=None, value_size=None)
    if whole == layer:
        return {}
    sizes = [
        [costs.dense_parameters(*one.shape(name, hidden_size, head_size)) for name in PROJECTIONS]
        for one in (layer, whole)
    ]
    return {(KERNEL, 0): sum(sizes[0]) - sum(sizes[1])}


def of_product(inputs, outputs, rank):
    """Returns the terms that one projection adds to a sublayer of dense ones.

    Args:
      inputs: I, at least 1.
      outputs: O, at least 1.
      rank: R, an int; None of a dense kernel, 0 of nothing but a bias.
    """
    if rank is None:
        return {}
    found = {(KERNEL, 0): -costs.dense_parameters(inputs, outputs)}
    if rank:
        found[FACTORS, 0] = 1
        found[FACTOR_NUMBERS, 0] = costs.factorized_parameters(inputs, outputs, rank)
    if rank % ALIGNMENT:
        found[UNALIGNED_FACTORS, 0] = 1
    return found


def of_execution(layer, execution, index):
    """Returns the terms by which the attention of a block differs from the usual one.

    Args:
      layer: its `LayerConfig`.
      execution: an `Execution`.
      index: number of the block.
    """
    found = {}
    if layer.num_heads and execution.einsum_attention:
        found |= {(EINSUM, 0): 1, (EINSUM_HEADS, 0): layer.num_heads}
    if layer.num_heads and index in execution.fused_blocks:
        ranks = [layer.projection(name).rank for name in ATTENTION_INPUTS]
        found |= of_fused(layer.num_heads, ranks)
    return found


def of_fused(num_heads, ranks):
    """Returns the terms by which query, key and value in one layer differ from three layers.

    Args:
      num_heads: N, at least 1.
      ranks: R of each of the three, None of a dense kernel.
    """
    if any(rank is not None for rank in ranks):
        return {(FUSED_FACTORS, 0): 1}
    return {(FUSED, 0): 1, (FUSED_HEADS, 0): num_heads}
