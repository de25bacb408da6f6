"""Which share of its weights each head and each FFN keeps under a mask of single weights.

H hidden, L layers, N heads, D head size.
"""

import numpy as np

from bert_tf.encoders.config import ATTENTION_INPUTS
from bert_tf.surgery import masks


def shares(path, config):
    """Returns what a mask file leaves of heads and FFNs, `{"heads": [L, N], "ffn": [L]}`.

    A head has the kernels `[H, N D]` of query, key and value and `[N D, H]` of the attention output
    in common with the others of its layer, `4 H D` weights of them its own; an FFN has two kernels.
    Kernels that the mask does not name are kept.

    Args:
      path: of the file.
      config: the `BertConfig` of the whole model.

    Raises:
      ValueError: if the mask is damaged or of another model, or has none of these kernels.
    """
    saved = masks.load(path, config).masks
    kernels = {name: mask for name, mask in saved.items() if name.endswith(".kernel")}
    if not any(name.startswith("blocks.") for name in kernels):
        raise ValueError(
            f"The mask {str(path)!r} must be one of weights of the blocks, received one of "
            f"{', '.join(sorted(saved)[:3])}."
        )
    layers = range(config.num_hidden_layers)
    return {
        "heads": np.stack([_of_heads(kernels, index, config) for index in layers]),
        "ffn": np.array([_of_ffn(kernels, index) for index in layers]),
    }


def _of_heads(kernels, index, config):
    num_heads, parts = config.num_attention_heads, []
    for name in (*ATTENTION_INPUTS, "attention_output"):
        mask = kernels.get(f"blocks.{index}.{name}.kernel")
        if mask is None:
            parts.append(np.ones(num_heads))
            continue
        units = np.asarray(mask) if name == "attention_output" else np.transpose(mask)
        parts.append(units.reshape([num_heads, -1]).mean(axis=1))
    # All four have as many weights.
    return np.mean(parts, axis=0)


def _of_ffn(kernels, index):
    found = [kernels.get(f"blocks.{index}.{name}.kernel") for name in ("ffn_in", "ffn_out")]
    return np.mean([1.0 if mask is None else np.mean(mask) for mask in found])
