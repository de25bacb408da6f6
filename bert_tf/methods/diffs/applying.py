"""A difference as a model directory of its own, and back; and what is in it."""

import os

import numpy as np

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.diffs import base_model
from bert_tf.methods.diffs.diff_store import DIFF_FILE
from flop_tf import surgery
from flop_tf.files import diff_file

# What a model directory takes over from its difference.
_INHERITED = ("task", "data_dir", "max_seq_length", "step", "loss", "scores")


def read(path):
    """Reads a difference.

    Args:
      path: of the file, or of the folder of its stage.

    Returns:
      `(flop_tf.files.diff_file.Diff, path of the file)`.

    Raises:
      ValueError: if there is none or it is damaged.
    """
    file = os.path.join(path, DIFF_FILE) if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise ValueError(f"Expected the difference {str(file)!r}, found no such file.")
    return diff_file.read(file), file


def apply(path, base, output_dir):
    """Writes the model directory of a base with a difference.

    Args:
      path: of the difference, see `read`.
      base: a BERT of any format; nothing is written there.
      output_dir: where to write.

    Raises:
      ValueError: if the difference is damaged or of another base.
    """
    diff, file = read(path)
    source = read_source(base)
    model = base_model.build(source, diff, file)
    known = {key: diff.info[key] for key in _INHERITED if key in diff.info}
    known |= model_dir.family_of(source.info)
    provenance = {"base": os.path.abspath(base), "diff": os.path.abspath(file)}
    model_dir.save(output_dir, model, source.tokenizer(), **known, **provenance)


def remove(path, base, folder, output_dir):
    """Writes the base again as a model directory, from what `apply` wrote.

    Args:
      path: of the difference, see `read`.
      base: the BERT that it belongs to; its weights are taken, nothing is subtracted.
      folder: model directory of the base with the difference.
      output_dir: where to write.

    Raises:
      ValueError: if the model is not the base with this difference.
    """
    diff, file = read(path)
    source = read_source(base)
    weights = base_model.base_weights(source)
    removed = diff_file.remove(diff, read_source(folder).weights, weights, file)
    model = source.model()
    surgery.assign_weights(
        model, removed, new=[p for p in surgery.named_variables(model) if p not in removed]
    )
    known = {"labels": list(source.labels)} if source.labels else {}
    known |= model_dir.family_of(source.info)
    model_dir.save(output_dir, model, source.tokenizer(), **known)


def inspect(path):
    """Returns a summary of a difference, plain data.

    Args:
      path: of the difference, see `read`.
    """
    diff, file = read(path)
    return {
        **diff.info,
        "fingerprint": diff.base,
        "bytes": os.path.getsize(file),
        "entries": diff.num_entries,
        "parameters": diff.num_parameters,
        "density": diff.density,
        "groups": len(diff.shapes),
        "stored_whole": sum(array.size for array in diff.dense.values()),
        **densities(diff),
    }


def densities(diff):
    """Returns the density by layer and by kind, and the groups without any entry.

    Args:
      diff: a `flop_tf.files.diff_file.Diff` of a BERT.

    Returns:
      Dict with `layers`, dict of floats by `embeddings`, `0`, `1`, ... and `pooler`; `kinds`, dict
      of floats by `query.kernel`, ...; `zero_groups`, list of the tensors without an entry.
    """
    layers, kinds = {}, {}
    for name, shape in diff.shapes.items():
        found = np.array([len(diff.positions[name]), np.prod(shape)])
        for groups, key in ((layers, _layer(name)), (kinds, base_model.kind_of(name))):
            groups[key] = groups.get(key, 0) + found
    return {
        "layers": {key: float(k / n) for key, (k, n) in sorted(layers.items(), key=_by_number)},
        "kinds": {key: float(k / n) for key, (k, n) in kinds.items()},
        "zero_groups": [name for name in diff.shapes if not len(diff.positions[name])],
    }


def _layer(name):
    parts = name.split(".")
    return parts[2] if parts[1] == "blocks" else parts[1]


def _by_number(item):
    return (item[0].isdigit(), int(item[0]) if item[0].isdigit() else 0, item[0])
