"""What a mask file keeps of each head and each FFN: the unit itself, or a share of its weights.

H hidden, L layers, N heads, D head size.
"""

import numpy as np

from bert_tf.encoders.config import ATTENTION_INPUTS
from bert_tf.surgery import masks, units


def unit_mask(path, config):
    """Returns the mask of a file as `{"heads": bool [L, N], "ffn": bool [L]}`.

    Args:
      path: of the file; units that its mask does not name are kept.
      config: the `EncoderConfig` of the whole model.

    Raises:
      ValueError: if the mask is damaged, of another model, or of weights or neurons.
    """
    saved = masks.load(path, config).masks
    whole = units.full_mask(config, "heads", "ffn")
    if other := sorted(set(saved) - set(whole)):
        raise ValueError(
            f"The mask {path!r} must be one of heads and FFNs, received {other[0]!r}; choose "
            "tickets of these units."
        )
    return {kind: np.asarray(mask) for kind, mask in units.by_kind({**whole, **saved}).items()}


def weight_shares(path, config):
    """Returns the share of its weights that each unit keeps, `{"heads": [L, N], "ffn": [L]}`.

    A head shares the kernels `[H, N D]` of query, key and value and `[N D, H]` of the attention
    output with the other heads of its layer and owns `4 H D` of their weights; an FFN owns two
    kernels. Kernels that the mask does not name are kept.

    Args:
      path: of the file.
      config: the `EncoderConfig` of the whole model.

    Returns:
      The float64 arrays, in [0, 1].

    Raises:
      ValueError: if the mask is damaged or of another model, or has none of these kernels.
    """
    saved = masks.load(path, config).masks
    kernels = {name: np.asarray(m) for name, m in saved.items() if name.endswith(".kernel")}
    if not any(name.startswith("blocks.") for name in kernels):
        raise ValueError(
            f"The mask {str(path)!r} must be one of weights of the blocks, received one of "
            f"{', '.join(sorted(saved)[:3])}."
        )

    def kernel(index, name):
        return kernels.get(f"blocks.{index}.{name}.kernel", np.ones([num_heads, 1], bool))

    def heads(index):
        parts = [kernel(index, name).T for name in ATTENTION_INPUTS]
        parts.append(kernel(index, "attention_output"))
        # All four have as many weights.
        return np.mean([part.reshape([num_heads, -1]).mean(axis=1) for part in parts], axis=0)

    num_heads, layers = config.num_attention_heads, range(config.num_hidden_layers)
    ffn = [[kernel(index, name).mean() for name in ("ffn_in", "ffn_out")] for index in layers]
    return {"heads": np.stack([heads(index) for index in layers]), "ffn": np.mean(ffn, axis=1)}
