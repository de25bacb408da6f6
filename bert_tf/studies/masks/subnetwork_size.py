"""How large a subnetwork of heads and FFNs is, from the counts of its weights.

The originals state sizes without biases or take an embedding share of 21 % off a ratio; here the
base of every share is named.
"""

import math

from bert_tf.models import model_info
from bert_tf.models.weight_paths import expected_shapes

_BLOCKS = "encoder.blocks."


def sizes(config, original=None):
    """Returns how much of a model is left.

    Args:
      config: the `EncoderConfig` of the smaller model.
      original: the `EncoderConfig` of the whole model; None takes `config.dense`.

    Returns:
      Dict with `parameters` and `encoder_parameters` of the smaller model, and their shares of the
      whole model's: `share_of_all` (embeddings, pooler and task head included) and
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
    """Returns the number of parameters of the blocks: no embeddings, no pooler, no task head.

    Args:
      config: an `EncoderConfig`.
    """
    shapes = expected_shapes(config).items()
    return sum(math.prod(shape) for path, shape in shapes if path.startswith(_BLOCKS))
