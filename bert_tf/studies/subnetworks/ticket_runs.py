"""Reads what came of trained tickets: scores by task, method, kind, level and seed."""

import os

from bert_tf.methods.tickets import one_shot, ticket_file
from bert_tf.studies.subnetworks import phase_curves, ticket_files
from bert_tf.studies.sweeps import run_results

#: The kind of the whole model.
DENSE = phase_curves.DENSE

# What tells runs apart.
_KEY = ("task", "seed", "method", "kind", "level", "trained")


def read(*folders, without=()):
    """Returns a row for each scored dense model and ticket below folders, plain data.

    A ticket is a run of flop-finetune with the `--mask` of a folder of flop-find-tickets. Runs that
    are unfinished, damaged or of another program do not count.

    Args:
      *folders: of flop-train-tickets, or any others that hold runs.
      without: folders with tickets whose runs do not count.

    Returns:
      List of dicts with `run` (path below its folder), `task`, `metric`, `seed`, `score`, `kind`
      ("dense" of the whole model), `method`, `name` and `level` of the ticket (None of the whole
      model; the level is None where the method has none), `trained` (whether after the mask),
      `share_kept` of all parameters, and `mask`, its path below the folder.

    Raises:
      ValueError: if a file of tickets is damaged, or two runs are of the same thing.
    """
    rows, paths = [], {}
    for folder in dict.fromkeys(map(os.path.abspath, folders)):
        for row in _read(folder, without):
            key = tuple(row[name] for name in _KEY)
            path = os.path.join(folder, row["run"])
            if paths.get(key) == path:  # Below two of the folders.
                continue
            if key in paths:
                raise ValueError(
                    f"A dense model or ticket of a task must be trained once with a seed, but "
                    f"{paths[key]!r} and {path!r} are the same; move one of them elsewhere."
                )
            paths[key] = path
            rows.append(row)
    return rows


def points(rows):
    """Returns the points of `phase_curves`: the whole models and super's tickets.

    Tickets that were not trained are of the kind "winning, pruned" and so on.

    Args:
      rows: what `read` returns.
    """
    names = ("task", "kind", "seed", "level", "share_kept", "score")
    found = [row for row in rows if row["kind"] == DENSE or row["method"] == "super"]
    return [
        {**{n: row[n] for n in names}, "kind": row["kind"] + ("" if row["trained"] else ", pruned")}
        for row in found
    ]


def super_ticket(row, rows):
    """Returns the super ticket of a task with its files, plain data.

    Args:
      row: of `bert_tf.studies.subnetworks.phase_curves.super_tickets`.
      rows: what `read` returns.

    Returns:
      The row, and by seed the paths of `mask` (None of the whole model) and `model`, and `score`.
    """
    same = [
        each
        for each in rows
        if each["trained"]
        and (each["task"], each["kind"], each["level"]) == (row["task"], row["kind"], row["level"])
    ]
    seeds = {
        str(each["seed"]): {
            "mask": each["mask"],
            "model": each["run"],
            "score": each["score"],
        }
        for each in same
    }
    return {**row, "seeds": seeds}


def _read(folder, without):
    rows, known = [], dict.fromkeys(without, {})
    for path in run_results.find(folder):
        run = run_results.read(path)
        # A pruned model has been trained or masked, whoever did so.
        if run["program"] != "finetune" or run.get("score") is None:
            continue
        flags = run["flags"]
        trained = flags.get("do_train") != "false"
        row = {"run": os.path.relpath(path, folder), "seed": int(flags.get("seed", 0))}
        row |= {name: run[name] for name in ("task", "metric", "score")}
        if not flags.get("mask"):
            if run["stage"] == DENSE and trained:
                empty = dict.fromkeys(("method", "name", "level", "mask"))
                rows.append({**row, **empty, "kind": DENSE, "trained": True, "share_kept": 1.0})
            continue
        file = run_results.moved(path, flags, flags["mask"])
        if ticket := _ticket(file, known):
            mask = os.path.relpath(file, folder)
            rows.append({**row, **ticket, "trained": trained, "mask": mask})
    return rows


def _ticket(file, known):
    """Returns what the folder of a mask says of it, or None; `known` keeps what was read."""
    name = os.path.basename(file).removesuffix(".safetensors")
    folder = file.removesuffix(ticket_file.mask_file(name)).rstrip(os.sep)
    if folder == file or not os.path.isfile(os.path.join(folder, ticket_file.TICKETS_FILE)):
        return None
    if folder not in known:
        known[folder] = {ticket["name"]: ticket for ticket in ticket_files.read(folder)}
    ticket = known[folder].get(name)
    if ticket is None:
        return None
    level = one_shot.level_name(ticket["removed"]) if ticket["method"] == "super" else None
    return {
        **{name: ticket[name] for name in ("method", "kind", "name")},
        "level": level,
        "share_kept": ticket["share_of_parameters"],
    }
