"""Tickets of several tasks for one encoder, and one task of the model that was trained with them.

Reference: Super Tickets in Pre-Trained Language Models, arXiv 2105.12002.
"""

import dataclasses
import os
import shlex
import typing

import msgspec
import numpy as np

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.encoder import TASK
from bert_tf.heads.head import head_of
from bert_tf.methods.flop import stages
from bert_tf.methods.tickets import ticket_file
from bert_tf.methods.tickets.ticket_file import SUPER_FILE, TICKETS_FILE
from bert_tf.surgery import compression, task_masks, units
from bert_tf.tasks import model_task, multitask, registry
from flop_tf import files
from flop_tf.files import json_file, mask_file
from flop_tf.searches import super_tickets

#: Written last: which tasks share, and how much each of them prunes.
SHARED_FILE = "shared.json"


class _Seed(typing.TypedDict):
    score: json_file.Number
    mask: str | None


class _Super(typing.TypedDict):
    seeds: typing.Annotated[dict[str, _Seed], msgspec.Meta(min_length=1)]


def share(tickets, output_dir):
    """Writes a mask file for each task, and how much they prune.

    Args:
      tickets: "RTE=path,STS-B=path,MNLI=": for each task a mask file, a folder of
        flop-find-tickets with one winning ticket, one of flop-train-tickets, or nothing where
        it keeps everything.
      output_dir: where to write.

    Returns:
      What `shared.json` holds; `mean_removed` is rounded down, by kind of unit.

    Raises:
      ValueError: if a file or a task does not fit.
    """
    paths = _paths(tickets)
    found = {name: _read(path) for name, path in paths.items() if path}
    if not found:
        raise ValueError(
            "Argument `tickets` must have a mask for at least one task, received the whole model "
            f"for each of {', '.join(paths)}; flop-finetune --tasks trains it as it is."
        )
    base = _base(paths, found)
    full = {p: np.ones_like(one) for saved in found.values() for p, one in saved.masks.items()}
    complete, written = {}, {}
    for name, path in paths.items():
        saved = found.get(name)
        complete[name] = {**full, **(saved.masks if saved else {})}
        written[name] = os.path.join("masks", f"{name}.safetensors")
        provenance = {"task": name}
        if saved:
            provenance |= {"file": os.path.abspath(path), "of": saved.provenance}
        method = f"shared: {saved.method}" if saved else "shared: everything"
        target = os.path.join(output_dir, written[name])
        mask_file.write(target, complete[name], method, base, provenance)
    kinds = {name: units.by_kind(mask) for name, mask in complete.items()}
    data = {
        "tasks": list(paths),
        "model": base,
        "masks": written,
        "removed": {
            name: {kind: int(np.count_nonzero(~array)) for kind, array in mask.items()}
            for name, mask in kinds.items()
        },
        "mean_removed": {
            kind: super_tickets.mean_num_removed({n: mask[kind] for n, mask in kinds.items()})
            for kind in units.by_kind(full)
        },
    }
    files.write_json(os.path.join(output_dir, SHARED_FILE), data)
    return data


def command(data, folder):
    """Returns the command that trains the tasks together, with capitals for what is open.

    Args:
      data: what `share` returned.
      folder: where it wrote.
    """
    masks = ",".join(
        f"{name}={os.path.join(os.path.abspath(folder), file)}"
        for name, file in data["masks"].items()
    )
    words = ["flop-finetune", f"--tasks={','.join(data['tasks'])}", f"--task_masks={masks}"]
    return shlex.join([*words, "--glue_dir=GLUE", "--init_checkpoint=BERT", "--output_dir=OUTPUT"])


def cut(folder, task_name, output_dir):
    """Writes one task of a model of several as a model directory of its own.

    The units that the task masks are removed, and of the classifier its outputs are left.

    Args:
      folder: model directory of several tasks.
      task_name: the one that is left.
      output_dir: where to write.

    Returns:
      The largest difference of its logits to those of the model of several tasks.

    Raises:
      ValueError: if the model is of a single task, the task is none of its own, or the logits
        differ by more than `stages.TOLERANCE`.
    """
    source = model_dir.read(folder)
    info = source.info
    task = registry.from_dict(info["task"]) if "task" in info else None
    if not isinstance(task, multitask.MultiTask):
        raise ValueError(
            f"The model in {str(folder)!r} must be one of several tasks, as flop-finetune --tasks "
            f"makes it, received one of {info.get('task', {}).get('name', 'no task')!r}."
        )
    index = task.index(task_name)
    own, outputs = task.tasks[index], task.outputs(index)
    values = task_masks.of_task(source, index)
    config, weights = units.remove(source.config, source.weights, values)
    for path in head_of(config).output_paths:
        weights[path] = weights[path][..., outputs]
    config = dataclasses.replace(config, num_labels=own.num_outputs)
    model = dataclasses.replace(source, config=config, weights=weights).model()
    difference = _difference(source.model(), index, outputs, model)
    if not difference <= stages.TOLERANCE:
        raise ValueError(
            f"The model of the task {own.name!r} differs from that of all tasks by "
            f"{difference:.2e}, more than {stages.TOLERANCE:.0e}; nothing was written, please "
            "report this."
        )
    model_dir.save(
        output_dir,
        model,
        source.tokenizer(),
        task=own.to_dict(),
        data_dir=task.folder(info.get("data_dir", ""), index),
        largest_difference=difference,
        **_inherited(info, task, index),
    )
    return difference


def _inherited(info, task, index):
    """Returns the part of `info.json` that is of one task; not every stage has all of it."""
    known = {key: info[key] for key in ("max_seq_length", "step", "family") if key in info}
    if "scores" in info:
        known["scores"] = task.scores_of(info["scores"], index)
    return known


def _paths(tickets):
    """Returns the mask file of each task, None where it keeps everything."""
    paths = {}
    for name, path in task_masks.pairs("tickets", tickets):
        name = registry.canonical_name(name)
        if name in paths:
            raise ValueError(
                f"Argument `tickets` must name each task once, received {name!r} in {tickets!r}."
            )
        paths[name] = _mask_file(name, path) if path else None
    if not paths:
        raise ValueError(
            f"Argument `tickets` must name at least one task, as RTE=path, received {tickets!r}."
        )
    return paths


def _mask_file(name, path):
    if os.path.isfile(path):
        return path
    if os.path.isfile(os.path.join(path, SUPER_FILE)):
        return _super_ticket(name, path)
    if not os.path.isfile(os.path.join(path, TICKETS_FILE)):
        raise ValueError(
            f"The ticket of the task {name!r} must be a mask file, a folder of flop-find-tickets "
            f"or one of flop-train-tickets with super tickets, received {path!r}."
        )
    tickets = ticket_file.read(path).get("tickets", ())
    winning = [one["file"] for one in tickets if one["kind"] in ("winning", "good")]
    if len(winning) != 1:
        advice = "find one by flop-find-tickets"
        if winning:
            advice = f"name the file of one of them, such as {winning[0]!r}"
        raise ValueError(
            f"The folder {path!r} must have one winning ticket for the task {name!r}, received "
            f"{len(winning)}; {advice}."
        )
    return winning[0]


def _super_ticket(name, path):
    """Returns the mask of the seed with the best score, None where the whole model is best."""
    file = os.path.join(path, SUPER_FILE)
    advice = "train the tickets by flop-train-tickets --method=super"
    known = json_file.read(file, dict[str, _Super], "file of super tickets", advice)
    if name not in known:
        raise ValueError(
            f"The file {file!r} must have the super ticket of the task {name!r}, received those of "
            f"{', '.join(known) or 'none'}; {advice}."
        )
    mask = max(known[name]["seeds"].values(), key=lambda seed: seed["score"])["mask"]
    return None if mask is None else files.inside(path, mask, f"The file {file!r}")


def _read(path):
    saved = mask_file.read(path)
    task_masks.check_units(path, saved.masks)
    return saved


def _base(paths, found):
    """Returns the fingerprint of the model that all masks are of."""
    bases = {saved.base: name for name, saved in found.items()}
    if len(bases) > 1:
        first, second = list(bases.values())[:2]
        raise ValueError(
            f"Tasks that share an encoder must have masks of one model, received those of two: "
            f"{paths[first]!r} and {paths[second]!r}."
        )
    return next(iter(bases))


def _difference(whole, index, outputs, model):
    """Returns the largest difference of a task's logits in two models, on random tokens."""

    def own(features, training):
        task = np.full(len(features["input_mask"]), index, np.int32)
        return whole({**features, TASK: task}, training=training)[:, outputs]

    length = model.config.num_positions
    batches = model_task.random_features(model.config, length, num_batches=2)
    return compression.largest_difference(own, model, [(features,) for features in batches])
