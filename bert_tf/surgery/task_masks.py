"""Masks of tasks that share an encoder: each task has its own units, one model has all.

Reference: Super Tickets in Pre-Trained Language Models, arXiv 2105.12002.
"""

import dataclasses

import numpy as np

from bert_tf.encoders.config import UNITS
from bert_tf.surgery import masks, units
from flop_tf.gates.switched import SwitchedMask
from flop_tf.searches import super_tickets


def load(text, task, config):
    """Reads the mask files of tasks.

    Args:
      text: "RTE=path,STS-B=path"; a task without one keeps everything.
      task: the `bert_tf.tasks.multitask.MultiTask`.
      config: the `EncoderConfig` of the model that the masks must fit.

    Returns:
      For each task in its order a mask of units by path.

    Raises:
      ValueError: if the text, a task or a file does not fit.
    """
    found = [{} for _ in task.tasks]
    for name, path in pairs("task_masks", text):
        index = task.index(name)
        if not path or found[index]:
            raise ValueError(
                f"Argument `task_masks` must have one file for a task, received {text!r}."
            )
        mask = masks.load(path, config).masks
        check_units(path, mask)
        found[index] = mask
    return found


def pairs(argument, text):
    """Returns `(name, path)` of each `name=path` in a text, separated by commas.

    Args:
      argument: name of the argument, for errors.
      text: "RTE=path,STS-B=path".

    Raises:
      ValueError: if a part is none.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in parts if "=" not in part.lstrip("=")]:
        raise ValueError(
            f"Argument `{argument}` must be of parts TASK=path with commas between them, received "
            f"{wrong[0]!r}."
        )
    return [tuple(word.strip() for word in part.split("=", 1)) for part in parts]


def check_units(path, mask):
    """Raises ValueError where the mask in a file is not one of units.

    Args:
      path: of the file.
      mask: dict of arrays by path of a weight or a unit.
    """
    if not mask or any(name.rpartition(".")[2] not in UNITS for name in mask):
        raise ValueError(
            f"The file {str(path)!r} must have masks of heads, neurons or FFNs, received "
            f"{', '.join(sorted(mask)[:3])}; weights cannot be shared."
        )


def check_one_mask(folder, config):
    """Raises ValueError where the model in a folder has masks of several tasks to choose from.

    Args:
      folder: of the model.
      config: its `EncoderConfig`.
    """
    if config.num_masks:
        raise ValueError(
            f"The model in {str(folder)!r} has a mask for each of {config.num_masks} tasks; "
            "cut it to one of them by flop-share-tickets."
        )


def with_masks(source, found):
    """Returns a model with the masks of tasks, where a batch uses the mask of its task.

    Args:
      source: a `bert_tf.checkpoints.Source`; masks that it has are replaced.
      found: a mask of units by path for each task; what it does not name is kept.

    Raises:
      ValueError: if a mask does not fit.
    """
    for mask in found:
        units.check_mask(source.config, mask)
    kinds = sorted({path.rpartition(".")[2] for mask in found for path in mask})
    full = units.full_mask(source.config, *kinds)
    complete = dict(enumerate({**full, **mask} for mask in found))
    config = units.with_gates(source.config, kinds, "switched", num_masks=len(found))
    weights = dict(source.weights)
    for path in full:
        stacked = super_tickets.stack_masks({k: m[path] for k, m in complete.items()}, complete)
        weights[_values(path)] = stacked.astype(np.float32)
    return dataclasses.replace(source, config=config, weights=weights)


def of_task(source, index):
    """Returns the values of a task's units by path, from the weights of a model of several.

    Args:
      source: a `bert_tf.checkpoints.Source`.
      index: of the task.
    """
    found = {}
    for path in units.full_mask(source.config):
        if _values(path) in source.weights and _is_switched(source.config, path):
            found[path] = source.weights[_values(path)][index]
    return found


def _is_switched(config, path):
    _, block, kind = path.split(".")
    gate = config.layers[int(block)].gates.get(kind)
    return gate is not None and "num_masks" in gate["config"]


def _values(path):
    return f"encoder.{path}_gate.{SwitchedMask.variable_name}"
