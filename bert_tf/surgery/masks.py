"""Masks of a BERT: their files, and models under them.

A mask names what it keeps by path: units as in `bert_tf.surgery.units`, and weights:
the dense kernels, such as `blocks.0.query.kernel [I, O]`, `pooler.kernel`, and the word embedding,
`embeddings.word_embeddings`. It belongs to an architecture: one that was found on
a fine-tuned model prunes the pretrained one too.
"""

import dataclasses
import json

import numpy as np

from bert_tf.models import model_info, weight_paths
from bert_tf.models.weight_paths import expected_shapes
from bert_tf.surgery import units
from flop_tf import ProjectionSpec, gates
from flop_tf.files import mask_file, tensor_file
from flop_tf.gates.fixed import FixedMask

_KERNEL = ".kernel"

#: Weights outside of the blocks that can be masked, by the name of their gate.
_OTHERS = {path.removeprefix("encoder."): name for name, path in weight_paths.GATED_WEIGHTS.items()}


def identity(config):
    """Returns the fingerprint of the architecture that masks belong to, hexadecimal digits.

    The task head does not count.

    Args:
      config: an `EncoderConfig`.
    """
    shapes = {
        path: shape
        for path, shape in expected_shapes(config.dense).items()
        if path.startswith("encoder.")
    }
    text = json.dumps([sorted(shapes.items()), config.num_attention_heads])
    return tensor_file.fingerprint({"architecture": np.frombuffer(text.encode(), np.uint8)})


def save(path, config, mask, method, **provenance):
    """Writes the file of a mask.

    Args:
      path: of the file.
      config: the `EncoderConfig` of the model.
      mask: dict of boolean arrays by path.
      method: name of what made it.
      **provenance: plain data: which model, data, seed, ...

    Raises:
      OSError: if the file cannot be written.
    """
    mask_file.write(path, mask, method, identity(config), provenance)


def load(path, config):
    """Reads the file of a mask.

    Args:
      path: of the file.
      config: the `EncoderConfig` of the model that it must fit.

    Returns:
      A `flop_tf.files.mask_file.SavedMasks`.

    Raises:
      ValueError: if it is damaged or of another model.
      OSError: if it cannot be read.
    """
    return mask_file.read(path, base=identity(config))


def apply(source, mask, tied=False):
    """Returns a model under a mask: units are removed, weights get a fixed gate and are 0.

    Args:
      source: a `bert_tf.checkpoints.Source`; where weights are masked its projections are dense.
      mask: dict of boolean arrays by path.
      tied: whether the model gets a head that reads the word embedding, see
        `bert_tf.heads.head.Head`. The embedding then stays as it is under its gate.

    Returns:
      A `Source`.

    Raises:
      ValueError: if the mask does not fit or leaves nothing, or the projections are not dense.
    """
    masked = {path: one for path, one in mask.items() if _of_weights(path)}
    if masked:
        source = _with_gates(multiply(source, masked, tied), masked)
    return _without_units(source, source.weights, mask)


def multiply(source, mask, tied=False):
    """Returns a model whose weights are 0 where a mask says so, without gates; units are removed.

    Args:
      source: a `bert_tf.checkpoints.Source`; where weights are masked its projections are dense.
      mask: dict of boolean arrays by path.
      tied: see `apply`.

    Returns:
      A `Source`.

    Raises:
      ValueError: if the mask does not fit or leaves nothing, or the projections are not dense.
    """
    _check_weights(source, mask)
    weights = dict(source.weights)
    left = {weight_paths.WORD_EMBEDDINGS} if tied else set()
    for path in (f"encoder.{path}" for path in mask if _of_weights(path)):
        if path in weights and path not in left:
            weights[path] = weights[path] * mask[path.removeprefix("encoder.")]
    return _without_units(source, weights, mask)


def prunable(source):
    """Returns the weights that a trained mask is over, by path: `kernels`, pooler, embedding.

    Args:
      source: a `bert_tf.checkpoints.Source`.
    """
    others = {path: source.weights.get(f"encoder.{path}") for path in _OTHERS}
    return kernels(source) | {path: array for path, array in others.items() if array is not None}


def check_dense(source, what):
    """Raises ValueError where a model that is to be masked is not dense.

    Args:
      source: a `bert_tf.checkpoints.Source`.
      what: that it is, for the sentence.
    """
    if source.config != source.config.dense:
        raise ValueError(
            f"{what} must be dense, received one with factors, gates or units removed; take the "
            "model before pruning."
        )


def kernels(source):
    """Returns the dense kernels of the projections by path, such as `blocks.0.query.kernel`.

    Args:
      source: a `bert_tf.checkpoints.Source`.
    """
    paths = [f"blocks.{index}.{name}{_KERNEL}" for index, name, *_ in source.config.projections()]
    found = {path: source.weights.get(f"encoder.{path}") for path in paths}
    return {path: kernel for path, kernel in found.items() if kernel is not None}


def num_parameters(config, mask):
    """Returns the parameters of a model under a mask, without weights that are 0.

    Args:
      config: the `EncoderConfig` of the model.
      mask: dict of boolean arrays by path.
    """
    zeros = sum(kept.size - np.count_nonzero(kept) for p, kept in mask.items() if _of_weights(p))
    values = {path: kept for path, kept in mask.items() if not _of_weights(path)}
    return int(model_info.num_parameters(units.config_under(config, values)) - zeros)


def with_gates(source, name, blocks=None):
    """Returns a model with a gate of a name over each weight that `prunable` returns.

    Args:
      source: a `bert_tf.checkpoints.Source` whose projections are dense.
      name: of the gate, see `flop_tf.gates.GATES`.
      blocks: indices of the blocks that get gates, next to the pooler and the embedding; None is
        all.

    Returns:
      A `Source`; the variables of its gates start anew.
    """
    paths = [
        path
        for path in prunable(source)
        if blocks is None or path in _OTHERS or int(path.split(".")[1]) in blocks
    ]
    config = _gated(source.config, paths, gates.get(name, axis=None))
    return dataclasses.replace(source, config=config)


def _of_weights(path):
    return path.endswith(_KERNEL) or path in _OTHERS


def _without_units(source, weights, mask):
    """Returns a model with other weights and without the units that a mask removes."""
    values = {path: one for path, one in mask.items() if not _of_weights(path)}
    config, weights = units.remove(source.config, weights, values)
    if values and not any(layer.num_heads or layer.intermediate_size for layer in config.layers):
        raise ValueError(
            "The mask must leave a head or an FFN of the model, received one that removes all."
        )
    return dataclasses.replace(source, config=config, weights=weights)


def _check_weights(source, mask):
    """Raises ValueError where masks of weights do not fit a model."""
    dense = {path: kernel.shape for path, kernel in kernels(source).items()}
    shapes = expected_shapes(source.config)
    # A head that does not read the pooler may come without.
    dense |= {path: shapes.get(f"encoder.{path}") for path in _OTHERS}
    for path, kept in mask.items():
        if _of_weights(path) and dense.get(path) != kept.shape:
            raise ValueError(
                f"The mask must fit the model, which has {dense.get(path, 'no dense kernel')} at "
                f"{path!r}, received a mask of shape {kept.shape}; take one that was made for this "
                "model."
            )


def _with_gates(source, mask):
    """Returns a model with fixed gates that hold a mask of weights."""
    weights = dict(source.weights)
    for path, kept in mask.items():
        gate = weight_paths.GATES.get(_OTHERS.get(path))
        owner = gate or f"encoder.{path.removesuffix(_KERNEL)}.gate"
        weights[f"{owner}.{FixedMask.variable_name}"] = kept.astype(np.float32)
    config = _gated(source.config, mask, gates.get("fixed", axis=None))
    return dataclasses.replace(source, config=config, weights=weights)


def _gated(config, paths, gate):
    """Returns a config with a copy of a gate over the weights at each path."""
    data = gates.serialize(gate)
    specs, others = {}, dict(config.gates)
    for path in paths:
        if path in _OTHERS:
            named = {**data["config"], "name": f"{_OTHERS[path]}_gate"}
            others[_OTHERS[path]] = {**data, "config": named}
        else:
            _, index, name, _ = path.split(".")
            named = {**data["config"], "name": f"block_{index}_{name}_gate"}
            specs[int(index), name] = ProjectionSpec(gate={**data, "config": named})
    return dataclasses.replace(config.with_projections(specs), gates=others)
