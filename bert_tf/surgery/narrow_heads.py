"""Attention heads made narrower: of query and key, and of value and output, each pair together.

N heads, D their width, K the new width, H hidden.
"""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from bert_tf.surgery.token_sums import token_sums
from flop_tf.linalg import joint_products


class HeadMoments(typing.NamedTuple):
    """What a block's heads make of its inputs, float64.

    Args:
      query: `E[q q^T]`, `[N, D, D]`.
      key: `E[k k^T]`, `[N, D, D]`.
      value: `cov(v)`, `[N, D, D]`.
      value_mean: `E[v]`, `[N, D]`.
    """

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    value_mean: np.ndarray


def head_moments(model, dataset):
    """Returns the `HeadMoments` of every block with heads, by its index.

    Over the tokens of all batches, padding excluded; dropout is off.

    Args:
      model: a `BertModel`.
      dataset: `tf.data.Dataset` of batches `(features, ...)`.
    """
    blocks = {i: block for i, block in enumerate(model.encoder.blocks) if block.layer.num_heads}

    def sums(received, real):
        found = {}
        for index, block in blocks.items():
            heads = block.layer.num_heads
            projected = block.project(tf.boolean_mask(received[index]["query"], real))
            rows = [tf.reshape(each, [-1, heads, each.shape[1] // heads]) for each in projected]
            squares = [tf.einsum("mnd,mne->nde", each, each) for each in rows]
            found[index] = *squares, tf.reduce_sum(rows[-1], axis=0)
        return found

    total, tokens = token_sums(model, dataset, sums)
    moments = {}
    for index, parts in total.items():
        query, key, value, mean = (part / max(1, tokens) for part in parts)
        moments[index] = HeadMoments(query, key, value - mean[:, :, None] * mean[:, None], mean)
    return moments


def narrow(config, weights, moments, sizes):
    """Returns a model whose heads are narrower, see `flop_tf.linalg.joint_products`.

    Args:
      config: an `EncoderConfig` without gates on projections; those of the blocks are dense.
      weights: its arrays by our weight paths.
      moments: `HeadMoments` by the index of the block, at least of those of `sizes`.
      sizes: `(key_size, value_size)` by the index of the block; None leaves a size as it is.

    Returns:
      `(EncoderConfig, weights)`.
    """
    weights, layers = dict(weights), list(config.layers)
    for index, (key_size, value_size) in sizes.items():
        block = f"encoder.blocks.{index}"
        if key_size is not None:
            query, key, _ = joint_products.query_key(moments[index].query, moments[index].key)
            for name, mix in (("query", query), ("key", key)):
                _mix(weights, f"{block}.{name}", mix[..., :key_size])
            layers[index] = dataclasses.replace(layers[index], key_size=key_size)
        if value_size is not None:
            _narrow_values(weights, block, moments[index], value_size)
            layers[index] = dataclasses.replace(layers[index], value_size=value_size)
    return dataclasses.replace(config, layers=tuple(layers)), weights


def _narrow_values(weights, block, moments, size):
    """Gives the values of a block another width; what their means write becomes a bias."""
    path, (heads, old) = f"{block}.attention_output", moments.value_mean.shape
    kernel = weights[f"{path}.kernel"]
    rows = kernel.reshape([heads, old, -1])
    mix, output = joint_products.value_output(moments.value, rows)
    _mix(weights, f"{block}.value", mix[..., :size], moments.value_mean)
    weights[f"{path}.kernel"] = _float(output[:, :size].reshape([heads * size, -1]), kernel)
    shift = np.einsum("nd,ndh->h", moments.value_mean, rows)
    weights[f"{path}.bias"] = _float(weights[f"{path}.bias"] + shift, kernel)


def _mix(weights, path, mix, mean=0.0):
    """Makes the outputs y of a projection `(y - mean) M`, head by head, with M `[N, D, K]`."""
    kernel, bias = (weights[f"{path}.{name}"] for name in ("kernel", "bias"))
    heads, old, new = mix.shape
    mixed = np.einsum("ind,ndk->ink", kernel.reshape([-1, heads, old]), mix)
    weights[f"{path}.kernel"] = _float(mixed.reshape([-1, heads * new]), kernel)
    shifted = np.einsum("nd,ndk->nk", bias.reshape([heads, old]) - mean, mix)
    weights[f"{path}.bias"] = _float(shifted.ravel(), kernel)


def _float(array, like):
    return np.ascontiguousarray(array, like.dtype)
