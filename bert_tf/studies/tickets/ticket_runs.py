"""The scored runs of tickets: a row for each by task, method, kind, level and seed."""

import os

from bert_tf.methods.tickets import one_shot, ticket_file
from bert_tf.studies.sweeps import run_results
from bert_tf.studies.tickets import ticket_files
from bert_tf.studies.tickets.ticket_scores import DENSE

# The fields in which two runs must differ.
_KEY = ("task", "seed", "method", "kind", "level", "trained")
_NO_TICKET = {**dict.fromkeys(("method", "name", "level", "mask")), "kind": DENSE}


def read(*folders, without=()):
    """Returns a row for each scored dense model and ticket below folders, plain data.

    A ticket is a run of flop-finetune with the `--mask` of a folder of flop-find-tickets. Runs that
    are unfinished, damaged or of another program do not count.

    Args:
      *folders: of flop-train-tickets, or any others that hold runs.
      without: folders with tickets whose runs do not count.

    Returns:
      List of dicts with `run` (path below its folder), `task`, `metric`, `seed`, `score`, `kind`
      ("dense" for the whole model), `method`, `name` and `level` of the ticket (None for the whole
      model; the level is None where the method has none), `trained` (whether after the mask),
      `share_kept` of all parameters, and `mask`, its path below the folder.

    Raises:
      ValueError: if a file of tickets is damaged, or two runs are of the same thing.
    """
    rows, paths, lists = [], {}, dict.fromkeys(without, {})
    for folder in dict.fromkeys(map(os.path.abspath, folders)):
        for path in run_results.find(folder):
            if (row := _row(path, folder, lists)) is None:
                continue
            first = paths.setdefault(tuple(row[name] for name in _KEY), path)
            if first is path:
                rows.append(row)
            elif first != path:  # Equal paths: it is below two of the folders.
                raise ValueError(
                    "A dense model or ticket of a task must be trained once with a seed, but "
                    f"{first!r} and {path!r} are the same; move one of them elsewhere."
                )
    return rows


def _row(path, folder, lists):
    """Returns the row of a run, or None; `lists` keeps the tickets of each folder by name."""
    run = run_results.read(path)
    # Other programs give a pruned model the score of the run that trained or masked it.
    if run["program"] != "finetune" or run.get("score") is None:
        return None
    flags = run["flags"]
    row = {"run": os.path.relpath(path, folder), "seed": int(flags.get("seed", 0))}
    row |= {name: run[name] for name in ("task", "metric", "score")}
    trained = flags.get("do_train") != "false"
    if not flags.get("mask"):
        is_dense = run["stage"] == DENSE and trained
        return {**row, **_NO_TICKET, "trained": True, "share_kept": 1.0} if is_dense else None
    file = run_results.moved(path, flags, flags["mask"])
    if (ticket := _ticket(file, lists)) is None:
        return None
    level = one_shot.level_name(ticket["removed"]) if ticket["method"] == "super" else None
    row |= {name: ticket[name] for name in ("method", "kind", "name")}
    row |= {"level": level, "share_kept": ticket["share_of_parameters"]}
    return {**row, "trained": trained, "mask": os.path.relpath(file, folder)}


def _ticket(file, lists):
    """Returns the ticket of a mask file as the list next to it has it, or None."""
    name = os.path.basename(file).removesuffix(".safetensors")
    folder = file.removesuffix(ticket_file.mask_file(name)).rstrip(os.sep)
    if folder == file or not os.path.isfile(os.path.join(folder, ticket_file.TICKETS_FILE)):
        return None
    if folder not in lists:
        lists[folder] = {ticket["name"]: ticket for ticket in ticket_files.read(folder)}
    return lists[folder].get(name)
