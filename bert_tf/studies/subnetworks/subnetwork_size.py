"""How large a subnetwork of heads and FFN blocks is, counted and by closed formulas.

H hidden, N heads, D head size, F feed-forward, L layers. The originals state sizes without biases
or take an embedding share of 21 % off a ratio; here the base of every share is named.
"""

import math

from bert_tf.models import model_info
from bert_tf.models.weight_paths import expected_shapes

_BLOCKS = "encoder.blocks."


def sizes(config, original=None):
    """Returns how much of a model is left, from the counts of its weights.

    Args:
      config: the `BertConfig` of the smaller model.
      original: that of the whole one; None takes `config.dense`.

    Returns:
      Dict with `parameters` and `encoder_parameters` of the smaller model, and what they are of
      the whole one's: `share_of_all` (embeddings, pooler and task head included) and
      `share_of_encoder` (blocks alone: projections and LayerNorms).
    """
    original = config.dense if original is None else original
    parameters, encoder = model_info.num_parameters(config), encoder_parameters(config)
    return {
        "parameters": parameters,
        "encoder_parameters": encoder,
        "share_of_all": parameters / model_info.num_parameters(original),
        "share_of_encoder": encoder / encoder_parameters(original),
    }


def encoder_parameters(config):
    """Returns the parameters of the blocks: no embeddings, no pooler, no task head."""
    return sum(
        math.prod(shape)
        for path, shape in expected_shapes(config).items()
        if path.startswith(_BLOCKS)
    )


def head_parameters(hidden_size, head_size, biases=True):
    """Returns `4 H D + 3 D`, what one head has: 196,800 in BERT-base.

    Args:
      hidden_size: H.
      head_size: D.
      biases: whether those of query, key and value count; without them it is `4 H D`.
    """
    return 4 * hidden_size * head_size + (3 * head_size if biases else 0)


def ffn_parameters(hidden_size, intermediate_size, biases=True):
    """Returns `2 H F + F + H`, what one FFN has: 4,722,432 in BERT-base.

    Args:
      hidden_size: H.
      intermediate_size: F.
      biases: whether they count; without them it is `2 H F`.
    """
    kernels = 2 * hidden_size * intermediate_size
    return kernels + (intermediate_size + hidden_size if biases else 0)


def share_left(config, num_heads, num_ffns, total=None, biases=True):
    """Returns the share of parameters left without some heads and FFNs, by the formulas above.

    `1 - (heads (4 H D + 3 D) + FFNs (2 H F + F + H)) / P`, with biases what `sizes` counts.

    Args:
      config: the `BertConfig` of the whole model.
      num_heads: how many heads are removed, over all layers.
      num_ffns: how many FFNs are removed.
      total: P; None takes all parameters of the model, task head included.
      biases: whether they count; Super Tickets leaves them out.

    Raises:
      ValueError: if the model has not so many heads or FFNs.

    Reference:
      Super Tickets in Pre-Trained Language Models, arXiv 2105.12002.
    """
    there = len(config.layers) * config.num_attention_heads
    for name, value, most in (
        ("num_heads", num_heads, there),
        ("num_ffns", num_ffns, len(config.layers)),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"Argument `{name}` must be in [0, {most}], received {value}.")
    total = model_info.num_parameters(config.dense) if total is None else total
    removed = num_heads * head_parameters(config.hidden_size, config.head_size, biases)
    removed += num_ffns * ffn_parameters(config.hidden_size, config.intermediate_size, biases)
    return 1 - removed / total
