"""Masks of a BERT: their files, and models under them.

A mask names what it keeps by path: units as in `bert_tf.pruning.units`, and weights of dense
kernels, such as `blocks.0.query.kernel [I, O]`. It belongs to an architecture: one that was found
on a fine-tuned model prunes the pretrained one too.
"""

import dataclasses
import json

import numpy as np

from bert_tf.model import model_info
from bert_tf.model.weight_paths import expected_shapes
from bert_tf.pruning import units
from flop_tf import ProjectionSpec, gates, mask_file

_KERNEL = ".kernel"


def identity(config):
    """Returns what the masks of a model belong to: its architecture, as hexadecimal digits.

    The task head does not count.
    """
    shapes = {
        path: shape
        for path, shape in expected_shapes(config.dense).items()
        if path.startswith("encoder.")
    }
    text = json.dumps([sorted(shapes.items()), config.num_attention_heads])
    return mask_file.fingerprint({"architecture": np.frombuffer(text.encode(), np.uint8)})


def save(path, config, mask, method, **provenance):
    """Writes the file of a mask.

    Args:
      path: of the file.
      config: the `BertConfig` of the model.
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
      config: the `BertConfig` of the model that it must fit.

    Returns:
      A `flop_tf.mask_file.SavedMasks`.

    Raises:
      ValueError: if it is damaged or of another model.
      OSError: if it cannot be read.
    """
    return mask_file.read(path, base=identity(config))


def apply(source, mask):
    """Returns a model under a mask: units are removed, weights get a fixed gate and are 0.

    Args:
      source: a `bert_tf.checkpoints.Source`; where weights are masked its projections are dense.
      mask: dict of boolean arrays by path.

    Returns:
      A `Source`.

    Raises:
      ValueError: if the mask does not fit or the projections are not dense.
    """
    kernels = {path: one for path, one in mask.items() if path.endswith(_KERNEL)}
    if kernels:
        source = _mask_kernels(source, kernels)
    values = {path: one for path, one in mask.items() if path not in kernels}
    config, weights = units.remove(source.config, source.weights, values)
    return dataclasses.replace(source, config=config, weights=weights)


def kernels(source):
    """Returns the dense kernels of the projections by path, such as `blocks.0.query.kernel`."""
    paths = [f"blocks.{index}.{name}{_KERNEL}" for index, name, *_ in source.config.projections()]
    found = {path: source.weights.get(f"encoder.{path}") for path in paths}
    return {path: kernel for path, kernel in found.items() if kernel is not None}


def num_parameters(config, mask):
    """Returns the parameters of a model under a mask, those of weights that are 0 left out.

    Args:
      config: the `BertConfig` of the model.
      mask: dict of boolean arrays by path.
    """
    zeros = sum(
        kept.size - np.count_nonzero(kept) for p, kept in mask.items() if p.endswith(_KERNEL)
    )
    values = {path: kept for path, kept in mask.items() if not path.endswith(_KERNEL)}
    return int(model_info.num_parameters(units.config_under(config, values)) - zeros)


def _mask_kernels(source, mask):
    gate = gates.serialize(gates.get("fixed", axis=None))
    dense = {path: kernel.shape for path, kernel in kernels(source).items()}
    specs, weights = {}, dict(source.weights)
    for path, kept in mask.items():
        if dense.get(path) != kept.shape:
            raise ValueError(
                f"The mask must fit the model, which has {dense.get(path, 'no dense kernel')} at "
                f"{path!r}, received a mask of shape {kept.shape}; take one that was made for this "
                "model."
            )
        _, index, name, _ = path.split(".")
        named = {**gate["config"], "name": f"block_{index}_{name}_gate"}
        specs[int(index), name] = ProjectionSpec(gate={**gate, "config": named})
        values = kept.astype(np.float32)
        weights[f"encoder.{path}"] = weights[f"encoder.{path}"] * values
        owner = f"encoder.blocks.{index}.{name}.gate"
        weights[f"{owner}.{gates.FixedMask.variable_name}"] = values
    config = source.config.with_projections(specs)
    return dataclasses.replace(source, config=config, weights=weights)
