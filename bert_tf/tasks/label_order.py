"""A classifier's outputs in the order of a task's labels.

A checkpoint that was fine-tuned elsewhere has names for its outputs, in an order of its own.
"""

import dataclasses

from absl import logging

from bert_tf.heads.head import head_of
from bert_tf.models.weight_paths import in_encoder


def outputs_of(names, task, owner):
    """Returns for each label of a task the output of a checkpoint that means it.

    Names are compared as they are, then without their case, then as the published names of a
    task whose files have numbers: NEGATIVE is the label 0 of SST-2.

    Args:
      names: of the checkpoint's outputs in their order, or None.
      task: a `bert_tf.tasks.text_task.TextTask`.
      owner: of the outputs, for errors: "the checkpoint 'x'".

    Returns:
      List of outputs in the order of `task.labels`, or a slice of all where nothing says an order.

    Raises:
      ValueError: if names and labels are different sets.
    """
    if names is None or task.labels is None:
        return slice(None)
    if all(name == f"LABEL_{output}" for output, name in enumerate(names)):
        logging.warning(
            "The labels of %s have no names; its outputs are taken for %s in this order.",
            owner,
            ", ".join(task.labels),
        )
        return slice(None)
    for labels in _spellings(task):
        found = {_plain(name): output for output, name in enumerate(names)}
        if set(names) == set(labels):
            return [names.index(label) for label in labels]
        if len(found) == len(names) and set(found) == set(map(_plain, labels)):
            return [found[_plain(label)] for label in labels]
    raise ValueError(
        f"Task {task.name!r} has the labels {list(task.labels)}, but {owner} has "
        f"{list(names)}; both must have the same, so rename those of one of them, or start from "
        "a model without a task head."
    )


def in_order(source, outputs, labels):
    """Returns a `Source` with the outputs of its classifier in another order.

    Args:
      source: a `bert_tf.checkpoints.Source` with a classifier.
      outputs: the present outputs in their new order, a list or a slice.
      labels: their names in that order.
    """
    weights = {
        path: source.weights[path][..., outputs] for path in head_of(source.config).output_paths
    }
    return dataclasses.replace(source, weights={**source.weights, **weights}, labels=tuple(labels))


def without_head(source):
    """Returns a `Source` without its task head, which then starts anew.

    Args:
      source: a `bert_tf.checkpoints.Source`.
    """
    kept = {path: array for path, array in source.weights.items() if in_encoder(path)}
    return dataclasses.replace(source, weights=kept, labels=None)


def _spellings(task):
    return [task.labels, *([task.class_names] if task.class_names else [])]


def _plain(name):
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
