"""The same outputs by blocks of one size, as programs store them that know no others.

What was removed comes back as zeros: heads and columns of heads write nothing, neurons are GELU or
ReLU of 0, which is 0. Factors become their product.
N heads, D head size, F feed-forward, H hidden.
"""

import dataclasses

import numpy as np

from bert_tf.encoders.config import PROJECTIONS, UNIT_PROJECTIONS
from bert_tf.models.weight_paths import WORD_EMBEDDINGS, WORD_PROJECTION
from bert_tf.surgery import compression

_ATTENTION = (*UNIT_PROJECTIONS["heads"][0], UNIT_PROJECTIONS["heads"][1])


def uniform(config, weights):
    """Returns a model whose blocks all have N heads of D, and as many neurons as the largest one.

    Args:
      config: an `EncoderConfig` without gates.
      weights: its arrays by our weight paths.

    Returns:
      `(EncoderConfig, weights)`, the former its own `dense`.

    Raises:
      ValueError: if there are gates.
    """
    if config.has_gates:
        raise ValueError("Argument `config` must be without gates; remove the masks first.")
    config, weights = compression.merged(config, weights)
    weights = dict(weights)
    if config.word_embedding_rank is not None:
        weights[WORD_EMBEDDINGS] = weights[WORD_EMBEDDINGS] @ weights.pop(WORD_PROJECTION)
    neurons = max(1, *(layer.intermediate_size for layer in config.layers))
    found = dataclasses.replace(config, intermediate_size=neurons).dense
    for index, layer in enumerate(config.layers):
        for name in PROJECTIONS:
            shape = found.layers[index].shape(name, config.hidden_size, config.head_size)
            own = layer.shape(name, config.hidden_size, config.head_size)
            path = f"encoder.blocks.{index}.{name}"
            kernel = weights.get(f"{path}.kernel", np.zeros(own, np.float32))
            bias = weights.get(f"{path}.bias", np.zeros(own[1], np.float32))
            units = config.num_attention_heads if name in _ATTENTION else neurons
            width = layer.unit_width(name, config.head_size)
            for axis, (size, wanted) in enumerate(zip(own, shape, strict=True)):
                if size != wanted:
                    kernel = filled_up(kernel, axis, width, units, wanted)
            if len(bias) != shape[1]:
                bias = filled_up(bias, 0, width, units, shape[1])
            weights |= {f"{path}.kernel": kernel, f"{path}.bias": bias}
    return found, weights


def filled_up(array, axis, width, units, wanted):
    """Returns an array with zeros for units that are gone, and for columns that units lack.

    Args:
      array: an array one of whose axes is of units, one after the other.
      axis: that axis.
      width: columns of a unit.
      units: how many units there shall be, those that lack are the last ones.
      wanted: size of the axis, a multiple of it.
    """
    parts = np.moveaxis(array, axis, 0)
    rest = parts.shape[1:]
    parts = parts.reshape([-1, width, *rest])
    more = [(0, units - len(parts)), (0, wanted // units - width), *[(0, 0)] * len(rest)]
    return np.moveaxis(np.pad(parts, more).reshape([wanted, *rest]), 0, axis)
