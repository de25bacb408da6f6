"""How large a model is: counts that follow from its config alone.

I inputs, O outputs, R rank. The names are the original's, from its `info.txt`; the counts are true.
What is stored counts as stored, zeros too: `dense_nonzero_params`, ours, leaves them out.
"""

import math

from bert_tf.heads.head import head_of
from bert_tf.models.weight_paths import expected_shapes
from flop_tf.linalg import costs


def num_parameters(config):
    """Returns the number of weights of a model, task head and gates included.

    Args:
      config: an `EncoderConfig`.
    """
    return sum(math.prod(shape) for shape in expected_shapes(config).values())


def num_kernel_parameters(config):
    """Returns the parameters of the projections' kernels and factors.

    Args:
      config: an `EncoderConfig`.
    """
    return sum(
        costs.kernel_parameters(inputs, outputs, spec.rank)
        for _, _, spec, (inputs, outputs) in config.projections()
    )


def multiplications_per_token(config, length):
    """Returns the multiplications of a forward pass for one of `length` tokens.

    Projections, attention scores and sums, the factors and the projection of embeddings, and the
    task head.

    Args:
      config: an `EncoderConfig`.
      length: tokens of an input, at least 1.
    """
    attention = length * sum(
        layer.num_heads * layer.unit_width(name, config.head_size)
        for layer in config.layers
        for name in ("key", "value")
    )
    width = config.embedding_width
    words = (config.word_embedding_rank or 0) * width
    words += 0 if config.embedding_size is None else width * config.hidden_size
    head = head_of(config).multiplications(length)
    return round(words + num_kernel_parameters(config) + attention + head / length)


def stage(config):
    """Returns "gated", "factorized", "compact" or "dense", as far as a config shows it.

    Factorized means that all projections of a kind have one rank, compact that
    ranks are uneven, heads, neurons or FFNs were removed, or the word embedding has a rank.

    Args:
      config: an `EncoderConfig`.
    """
    if config == config.dense:
        return "dense"
    if config.has_gates:
        return "gated"
    narrow = any(layer.key_size or layer.value_size for layer in config.layers)
    if narrow or config.word_embedding_rank or list(config.units()) != list(config.dense.units()):
        return "compact"
    ranks = {(name, spec.rank) for _, name, spec, _ in config.projections()}
    return "factorized" if len(ranks) == len({name for name, _ in ranks}) else "compact"


def counts(config, factorized=None, zeros=0):
    """Returns the original's `info.txt` as a dict, with the number of parameters that are not 0.

    Args:
      config: the model that is stored.
      factorized: the model before removal; None means that nothing was removed.
      zeros: weights of dense kernels that are stored though they are 0 or masked.
    """
    original = num_kernel_parameters(config.dense)
    kernels = num_kernel_parameters(config)
    total = num_parameters(config.dense)
    stored = num_parameters(config)
    return {
        "dense_origin_params": original,
        "dense_total_params": num_kernel_parameters(factorized or config),
        "dense_pruned_params": kernels,
        "dense_sparsity": 1 - kernels / original,
        "non_kernel_params": total - original,
        "total_params": total,
        "pruned_total_params": stored,
        "actual_compact_rate": stored / total,
        "dense_nonzero_params": kernels - zeros,
    }


def as_text(info):
    """Returns `info.txt`: a line `key = value` for each count, in the original's format.

    Args:
      info: of `counts`.
    """
    lines = (
        f"{key} = {value:.6f}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in info.items()
    )
    return "\n".join(lines) + "\n"


def per_projection(config):
    """Returns a list of the sizes of each projection as stored, for `info.json`.

    Args:
      config: an `EncoderConfig`.
    """
    return [
        {
            "projection": f"blocks.{index}.{name}",
            "shape": [inputs, outputs],
            "rank": spec.rank,
            "stored_parameters": costs.kernel_parameters(inputs, outputs, spec.rank),
            "dense_parameters": costs.dense_parameters(inputs, outputs),
        }
        for index, name, spec, (inputs, outputs) in config.projections()
    ]
