"""Attentions and FFNs that give every token the same are not computed but added as a bias.

Pruning leaves such ones where a projection has rank 0, which is nothing but its bias:

* of values it makes all contexts one vector, as attention weights sum to 1,
* of the first FFN projection all activated neurons,
* of an output projection nothing that comes before it counts.
"""

import numpy as np

from bert_tf.encoders.encoder import activation
from bert_tf.models.bert import BertModel
from bert_tf.surgery import units
from flop_tf import surgery


def fold(model):
    """Returns a BERT of the same outputs, without sublayers that are the same for every token.

    Args:
      model: a `BertModel` without gates; returned itself where nothing folds.
    """
    weights, folded = surgery.named_weights(model), {}
    for index, layer in enumerate(model.config.layers):
        block = f"encoder.blocks.{index}"
        if layer.num_heads and _is_constant(layer, "value", "attention_output"):
            context = weights[f"{block}.value.bias"]
            _add_product(weights, f"{block}.attention_output", context)
            folded[f"blocks.{index}.heads"] = np.zeros(layer.num_heads)
        if layer.intermediate_size and _is_constant(layer, "ffn_in", "ffn_out"):
            neurons = activation(model.config.hidden_act)(weights[f"{block}.ffn_in.bias"])
            _add_product(weights, f"{block}.ffn_out", neurons.numpy())
            folded[f"blocks.{index}.neurons"] = np.zeros(layer.intermediate_size)
    if not folded:
        return model
    config, weights = units.remove(model.config, weights, folded)
    smaller = BertModel(config)
    surgery.assign_weights(smaller, weights)
    return smaller


def _is_constant(layer, *names):
    return any(layer.projection(name).rank == 0 for name in names)


def _add_product(weights, path, constant):
    """Adds the product of a projection with a constant input to its bias."""
    product = constant.astype(np.float64)
    matrices = [f"{path}.{part}" for part in ("kernel", "factor_in", "factor_out")]
    found = [weights[matrix] for matrix in matrices if matrix in weights]
    for matrix in found:
        product = product @ matrix
    if found:
        weights[f"{path}.bias"] = (weights[f"{path}.bias"] + product).astype(np.float32)
