"""From the names of a source to our weight paths, by a table, with every check in one place."""

import dataclasses
import re

import numpy as np
from absl import logging

from bert_tf.families.names import per_block
from bert_tf.heads.head import HEADS
from bert_tf.models.weight_paths import expected_shapes, in_encoder

#: Longest list of names in an error.
_MOST_NAMES = 24

# Kinds of NumPy's types; bfloat16 is one that NumPy does not know.
_FLOATS = "fV"


def translate(variables, table, config, ignored=r"(?!)", optional=()):
    """Returns the config with the source's task head, and our weights.

    Args:
      variables: the source's `Variables`.
      table: `From` by our path.
      config: the `EncoderConfig` that the weights must fit. `num_labels` is taken from the task
        head where there is one, and so is `head` unless its weights are there.
      ignored: regular expression of whole names that are no part of a BERT.
      optional: paths that a source may lack together; a model of it starts them anew.

    Returns:
      `(config, weights)`, the weights float32 by path.

    Raises:
      ValueError: naming variables that are missing, unused, of another shape or not finite.
    """
    table = per_block(table, config.num_hidden_layers)
    present = {path for path, row in table.items() if row.name in variables.shapes}
    head = _head(present, config)
    absent = {path for path in table if not in_encoder(path)} - set(head.weights if head else ())
    if not present.intersection(optional):
        absent |= set(optional)
        if optional and (head is None or head.reads_pooler):
            logging.info("%s lacks %s; they start anew.", variables.origin, " and ".join(optional))
    table = {path: row for path, row in table.items() if path not in absent}
    _check_names(variables, {row.name for row in table.values()}, re.compile(ignored))
    weights = {path: _to_ours(variables, row) for path, row in table.items()}
    if head:
        outputs = head.num_outputs or weights[head.output_paths[-1]].shape[-1]
        config = dataclasses.replace(config, head=head.name, num_labels=outputs)
    _check_weights(variables.origin, table, weights, config)
    return config, weights


def _head(present, config):
    """Returns the `Head` some of whose weights are present, or None.

    That of pretraining comes last; of heads with the same weights the config's comes first.
    """
    names = sorted(HEADS, key=lambda name: (HEADS[name].is_tied, name != config.head, name))
    heads = (HEADS[name](config) for name in names)
    return next((head for head in heads if present & head.weights.keys()), None)


def _to_ours(variables, row):
    array = np.asarray(variables.read(row.name))
    if array.dtype.kind not in _FLOATS:
        raise ValueError(
            f"{variables.origin} must have floating point numbers in {row.name!r}, received "
            f"{array.dtype}; quantized weights are not read."
        )
    return np.ascontiguousarray(row.transform(array), np.float32)


def _check_names(variables, wanted, ignored):
    missing = sorted(wanted - set(variables.shapes))
    if missing:
        raise ValueError(
            f"{variables.origin} lacks {len(missing)} variables that its BERT config requires: "
            f"{_listing(missing)}; check that the config belongs to these weights."
        )
    unused = sorted(name for name in set(variables.shapes) - wanted if not ignored.fullmatch(name))
    if unused:
        raise ValueError(
            f"{variables.origin} has {len(unused)} variables that its BERT config has no use for: "
            f"{_listing(unused)}; check that the config belongs to these weights."
        )


def _check_weights(origin, table, weights, config):
    rows = weights["encoder.embeddings.word_embeddings"].shape[0]
    if rows != config.vocab_size:
        raise ValueError(
            f"{origin} has a word embedding of {rows} rows where its BERT config has vocab_size "
            f"{config.vocab_size}; check that the config belongs to these weights."
        )
    shapes = expected_shapes(config)
    wrong = [
        f"{table[path].name} gives {list(weight.shape)} instead of {list(shapes.get(path, []))}"
        for path, weight in weights.items()
        if weight.shape != shapes.get(path)
    ]
    if wrong:
        raise ValueError(
            f"{origin} has {len(wrong)} variables of a shape that does not fit its BERT config: "
            f"{_listing(wrong)}; check that the config belongs to these weights."
        )
    bad = [table[path].name for path, weight in weights.items() if not np.isfinite(weight).all()]
    if bad:
        raise ValueError(
            f"{origin} has NaN or infinite values in {len(bad)} variables: {_listing(bad)}; "
            "take weights from before the training diverged."
        )


def _listing(names):
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
