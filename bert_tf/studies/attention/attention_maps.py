"""Attention maps: probabilities, and the norms of the vectors that they add to the outputs.

B batch, T tokens, H hidden, N heads of a block, D head size. Rows are the tokens that attend,
columns the tokens that they attend to; rows and columns of padding are 0.
"""

import math
import typing

import numpy as np
import tensorflow as tf

from bert_tf.encoders.encoder import INPUT_NAMES


class AttentionMaps(typing.NamedTuple):
    """The maps of one block.

    Args:
      probabilities: float32 `[B, N, T, T]`, the softmax of each head.
      norms: float32 `[B, N, T, T]`, see `weighted_norms`.
    """

    probabilities: tf.Tensor
    norms: tf.Tensor


def attention_maps(model):
    """Returns a compiled function that computes the maps of every head.

    Args:
      model: a `BertModel`, at any stage; dropout is off.

    Returns:
      A function of the features of a batch (a dict with int32 `[B, T]` of `INPUT_NAMES`) that
      returns a list of `AttentionMaps`, one for each block. A block without heads has N = 0.
    """
    encoder = model.encoder
    signature = {name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_NAMES}

    @tf.function(input_signature=[signature])
    def maps(features):
        mask = features["input_mask"]
        received = encoder(features, training=False)["projection_inputs"]
        pairs = zip(encoder.blocks, received, strict=True)
        return [_block_maps(block, inputs, mask) for block, inputs in pairs]

    def maps_of_inputs(features):
        return maps({name: features[name] for name in INPUT_NAMES})

    return maps_of_inputs


def weighted_norms(probabilities, values, kernel):
    """Returns the norm of what each token adds to each other one, by head.

    `M[h, j, k] = || a[h, j, k] v[h, k] W_O^h ||_2 = a[h, j, k] || v[h, k] W_O^h ||_2`.

    Args:
      probabilities: a, float `[B, N, T, T]`.
      values: v with its bias, float `[B, N, T, D]`.
      kernel: of the output projection, float `[N D, H]`: head h owns the rows from h D to
        (h + 1) D.

    Returns:
      Float `[B, N, T, T]`.

    Reference:
      Attention is Not Only a Weight, arXiv 2004.10102.
    """
    num_heads, head_size = values.shape[1], values.shape[3]
    slices = tf.reshape(kernel, [num_heads, head_size, kernel.shape[1]])
    norms = tf.norm(tf.einsum("bntd,ndh->bnth", values, slices), axis=-1)
    return probabilities * norms[:, :, tf.newaxis, :]


def attention_entropy(model, dataset):
    """Returns how widely each head looks: the mean over tokens of `-sum_k p_k ln p_k`, in nats.

    Args:
      model: a `BertModel`, at any stage.
      dataset: `tf.data.Dataset` of batches `(features, ...)`.

    Returns:
      A float64 array `[N]` for each block.

    Raises:
      ValueError: if the dataset has no token.
    """
    maps = attention_maps(model)

    @tf.function(input_signature=dataset.element_spec[:1])
    def sums(features):
        found = [block.probabilities for block in maps(features)]
        return [-tf.reduce_sum(tf.math.xlogy(p, p), axis=[0, 2, 3]) for p in found]

    by_batch, tokens = [], 0
    for features, *_ in dataset:
        by_batch.append([entropy.numpy().astype(np.float64) for entropy in sums(features)])
        tokens += int(tf.reduce_sum(features["input_mask"]))
    if not tokens:
        raise ValueError("Argument `dataset` must have at least one token, received none.")
    return [sum(entropies) / tokens for entropies in zip(*by_batch, strict=True)]


def _block_maps(block, inputs, mask):
    """Returns the `AttentionMaps` of a block from what its projections received."""
    if not block.layer.num_heads:
        shape = tf.shape(mask)
        empty = tf.zeros([shape[0], 0, shape[1], shape[1]])
        return AttentionMaps(empty, empty)
    query, key, value = _attention_inputs(block, inputs, mask)
    real = tf.cast(mask, query.dtype)
    scores = tf.matmul(query, key, transpose_b=True)
    scores += (1 - real[:, tf.newaxis, tf.newaxis, :]) * (scores.dtype.min / 2)
    probabilities = tf.nn.softmax(scores) * real[:, tf.newaxis, :, tf.newaxis]
    # A text of no tokens, which only fills up a batch, attends to its padding.
    probabilities *= real[:, tf.newaxis, tf.newaxis, :]
    norms = weighted_norms(probabilities, value, _kernel(block))
    return AttentionMaps(tf.cast(probabilities, tf.float32), tf.cast(norms, tf.float32))


def _attention_inputs(block, inputs, mask):
    """Returns query, key and value, `[B, N, T, D]`; the query holds the scale."""
    projected = block.project(inputs["query"], training=False)
    scale = 1.0 if block.is_scaled else math.sqrt(block.config.head_size)
    sizes, heads = tf.unstack(tf.shape(mask)), block.layer.num_heads
    query, key, value = (
        tf.transpose(tf.reshape(each, [*sizes, heads, each.shape[1] // heads]), [0, 2, 1, 3])
        for each in projected
    )
    return query / scale, key, value


def _kernel(block):
    """Returns the kernel of the output projection, `[N D, H]`, with the gates on its inputs."""
    size = block.layer.num_heads * block.layer.unit_width("value", block.config.head_size)
    layer, unit = block.attention_output, tf.eye(size, dtype=block.compute_dtype)
    for kind in ("heads", "attention"):
        unit = block.gated(kind, unit, size, training=False)
    # The layer applies its factors and gates, and then adds the bias.
    return layer(unit, training=False) - tf.cast(layer.bias, block.compute_dtype)
