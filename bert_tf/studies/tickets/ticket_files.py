"""The tickets below folders: where their masks are, and which task, seed and method they have."""

import os
import typing

import msgspec

from bert_tf.methods.tickets import ticket_file
from bert_tf.runs import run_search
from bert_tf.studies.sweeps import run_results
from flop_tf.files import json_file, mask_file
from flop_tf.files.json_file import Count, Share


class _Task(typing.TypedDict):
    # A report has a folder of that name.
    name: typing.Annotated[str, msgspec.Meta(pattern=r"^[^/\\\0.][^/\\\0]*$")]


class _Ticket(typing.TypedDict):
    name: str
    removed: dict[str, Count]
    share_of_parameters: Share


class _Tickets(typing.TypedDict):
    """The keys of a list that are read, next to files and kinds."""

    method: str
    model_dir: str
    task: _Task
    tickets: list[_Ticket]


def find(folders, without=()):
    """Returns the tickets of flop-find-tickets at and below folders.

    Args:
      folders: list of folders, of flop-find-tickets or of flop-train-tickets.
      without: folders with tickets that are left out, unless there are no others.

    Returns:
      List of dicts with `folder`, `method`, `task` (its name), `seed` (of the fine-tuned model),
      `model_dir`, and the fields of `tickets.json`: `name`, `kind`, `removed`,
      `share_of_parameters` and `file`, here the whole path of the mask.

    Raises:
      ValueError: if there is no folder or no ticket, or a file is damaged.
    """
    if not folders:
        raise ValueError("Argument `folders` must name at least one folder, received none.")
    for folder in folders:
        if not os.path.isdir(folder):
            raise ValueError(f"The folder of tickets {str(folder)!r} does not exist.")
    lists = _lists(folders)
    sound = [path for path in lists if path not in without]
    if found := [ticket for path in sound or lists for ticket in read(path)]:
        return found
    raise ValueError(
        f"The folders {[str(folder) for folder in folders]} hold no tickets; name those of "
        "flop-find-tickets or flop-train-tickets."
    )


def read(folder):
    """Returns the tickets of one folder, see `find`; a report's file of that name has none.

    Args:
      folder: path of a folder with a `tickets.json`.

    Raises:
      ValueError: if a file is damaged.
      OSError: if one cannot be read.
    """
    data = ticket_file.read(folder)
    if "tickets" not in data:
        return []
    path = os.path.join(folder, ticket_file.TICKETS_FILE)
    json_file.check(data, _Tickets, f"The file {path!r} is damaged", ticket_file.ADVICE)
    flags, model_dir = run_results.read_flags(folder), data["model_dir"]
    if "model_dir" in flags:
        model_dir = run_results.moved(folder, flags, flags["model_dir"])
    seed = run_results.read_flags(model_dir).get("seed", flags.get("seed", 0))
    shared = {"folder": folder, "method": data["method"], "task": data["task"]["name"]}
    shared |= {"model_dir": model_dir, "seed": int(seed)}
    return [{**shared, **ticket} for ticket in data["tickets"]]


def select(tickets, method, name):
    """Returns the tickets of a method and name, a dict by task of dicts by seed.

    Args:
      tickets: the result of `find`.
      method: of `bert_tf.methods.tickets.finding.KINDS`.
      name: such as "good" or "winning-14-1".

    Raises:
      ValueError: if there is none, or two are of one task and seed.
    """
    found = {}
    for ticket in tickets:
        if (ticket["method"], ticket["name"]) == (method, name):
            seeds = found.setdefault(ticket["task"], {})
            if first := seeds.get(ticket["seed"]):
                raise ValueError(
                    f"Tickets {name!r} of {ticket['task']} must be of different seeds, received "
                    f"two of seed {ticket['seed']}: {first['file']!r} and {ticket['file']!r}."
                )
            seeds[ticket["seed"]] = ticket
    if not found:
        known = list(dict.fromkeys(f"{each['method']}: {each['name']}" for each in tickets))
        raise ValueError(
            f"There must be tickets {name!r} of the method {method!r}, received {known}."
        )
    return found


def damaged(folders):
    """Returns a row for each damaged run and each damaged list of tickets below folders.

    Args:
      folders: of flop-find-tickets or flop-train-tickets.

    Returns:
      List of dicts with `run`, the whole path of a folder, and `reason`.
    """
    found = {}
    for path in _lists(folders):
        try:
            read(path)
        except (OSError, ValueError) as error:
            found[path] = str(error)
    for folder in folders:
        for path in run_results.find(os.path.abspath(folder)):
            run = run_results.read(path)
            if run["state"] == "damaged":
                found.setdefault(path, run["reason"])
    return [{"run": path, "reason": reason} for path, reason in sorted(found.items())]


def sound_masks(selected):
    """Returns the selected tickets whose masks can be read, and a row for each of the others.

    Args:
      selected: the result of `select`.

    Returns:
      `(selected, damaged)`, the second as `damaged` returns it.

    Raises:
      ValueError: if no mask can be read, with the reason of the first.
    """
    sound, torn = {}, []
    for task, seeds in selected.items():
        for seed, ticket in seeds.items():
            try:
                mask_file.read(ticket["file"])
                sound.setdefault(task, {})[seed] = ticket
            except (OSError, ValueError) as error:
                torn.append({"run": ticket["folder"], "reason": str(error)})
    if not sound:
        raise ValueError(torn[0]["reason"])
    return sound, torn


def _lists(folders):
    """Returns the folders with a `tickets.json` at and below folders, each once."""
    paths = [run_search.holding(os.path.abspath(f), ticket_file.TICKETS_FILE) for f in folders]
    return list(dict.fromkeys(path for found in paths for path in found))
