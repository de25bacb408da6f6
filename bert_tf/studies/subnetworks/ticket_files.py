"""The tickets below folders: where their masks lie, and of which task, seed and method they are."""

import os
import typing

import msgspec
import numpy as np

from bert_tf.methods.tickets import ticket_file
from bert_tf.studies.sweeps import run_results
from bert_tf.surgery import masks, units
from flop_tf.files import json_file
from flop_tf.files.json_file import Count, Share


class _Task(typing.TypedDict):
    # A report has a folder of that name.
    name: typing.Annotated[str, msgspec.Meta(pattern=r"^[^/\\\0.][^/\\\0]*$")]


class _Ticket(typing.TypedDict):
    name: str
    removed: dict[str, Count]
    share_of_parameters: Share


class _Tickets(typing.TypedDict):
    """What is read of a list besides files and kinds."""

    method: str
    model_dir: str
    task: _Task
    tickets: list[_Ticket]


def find(folders, without=()):
    """Returns the tickets that flop-find-tickets has left at and below folders.

    Args:
      folders: list of folders, of it or of flop-train-tickets.
      without: folders with tickets that are left out, unless there are no others.

    Returns:
      List of dicts with `folder`, `method`, `task` (its name), `seed` (that of the fine-tuned
      model), `model_dir`, and what `tickets.json` says of a ticket: `name`, `kind`, `removed`,
      `share_of_parameters` and `file`, here the whole path of the mask.

    Raises:
      ValueError: if there is no folder or no ticket, or a file is damaged.
    """
    if not folders:
        raise ValueError("Argument `folders` must name at least one folder, received none.")
    for folder in folders:
        if not os.path.isdir(folder):
            raise ValueError(f"The folder of tickets {str(folder)!r} does not exist.")
    places = list(lists(folders))
    sound = [path for path in places if path not in without]
    found = [ticket for path in sound or places for ticket in read(path)]
    if not found:
        raise ValueError(
            f"The folders {[str(folder) for folder in folders]} hold no tickets; name those of "
            "flop-find-tickets or flop-train-tickets."
        )
    return found


def lists(folders):
    """Yields the folders with a `tickets.json` at and below folders, each once."""
    seen = set()
    for folder in folders:
        for path, below, names in os.walk(os.path.abspath(folder)):
            if ticket_file.TICKETS_FILE in (*below, *names) and path not in seen:
                seen.add(path)
                yield path
            below[:] = sorted(name for name in below if not name.startswith("."))


def read(folder):
    """Returns the tickets of one folder, see `find`; a report's file of that name has none.

    Raises:
      ValueError: if a file is damaged.
      OSError: if one cannot be read.
    """
    data = ticket_file.read(folder)
    if "tickets" not in data:
        return []
    path = os.path.join(folder, ticket_file.TICKETS_FILE)
    json_file.check(data, _Tickets, f"The file {path!r} is damaged", ticket_file.ADVICE)
    shared = {
        "folder": folder,
        "method": data["method"],
        "task": data["task"]["name"],
        **_origin(folder, data["model_dir"]),
    }
    return [{**shared, **ticket} for ticket in data["tickets"]]


def select(tickets, method, name):
    """Returns the tickets of a method and name, a dict by task of dicts by seed.

    Args:
      tickets: what `find` returns.
      method: of `bert_tf.methods.tickets.finding.KINDS`.
      name: such as "good" or "winning-14-1".

    Raises:
      ValueError: if there is none, or two are of one task and seed.
    """
    found = {}
    for ticket in tickets:
        if (ticket["method"], ticket["name"]) != (method, name):
            continue
        seeds = found.setdefault(ticket["task"], {})
        if ticket["seed"] in seeds:
            raise ValueError(
                f"Tickets {name!r} of {ticket['task']} must be of different seeds, received two of "
                f"seed {ticket['seed']}: {seeds[ticket['seed']]['file']!r} and {ticket['file']!r}."
            )
        seeds[ticket["seed"]] = ticket
    if not found:
        known = list(dict.fromkeys(f"{each['method']}: {each['name']}" for each in tickets))
        raise ValueError(
            f"There must be tickets {name!r} of the method {method!r}, received {known}."
        )
    return found


def unit_mask(path, config):
    """Returns the mask of a file as `{"heads": bool [L, N], "ffn": bool [L]}`.

    Args:
      path: of the file; what its mask does not name is kept.
      config: the `BertConfig` of the whole model.

    Raises:
      ValueError: if the mask is damaged, of another model, or of weights or neurons.
    """
    saved = masks.load(path, config).masks
    whole = units.full_mask(config, "heads", "ffn")
    if other := sorted(set(saved) - set(whole)):
        raise ValueError(
            f"The mask {path!r} must be one of heads and FFNs, received {other[0]!r}; choose "
            "tickets of these units."
        )
    return {kind: np.asarray(mask) for kind, mask in units.by_kind({**whole, **saved}).items()}


def load(selected, config, read_mask=unit_mask):
    """Reads the masks of selected tickets.

    Args:
      selected: what `select` returns.
      config: the `BertConfig` of the whole model.
      read_mask: function of a mask file and the config.

    Returns:
      Dict by task of dicts by seed of what `read_mask` returns; of `unit_mask` it is what
      `bert_tf.studies.subnetworks.mask_summary` takes.

    Raises:
      ValueError: if a mask is damaged, of another model, or of other things than `read_mask` reads.
    """
    return {
        task: {seed: read_mask(ticket["file"], config) for seed, ticket in seeds.items()}
        for task, seeds in selected.items()
    }


def _origin(folder, model_dir):
    """Returns the fine-tuned model that tickets were found in, and its seed."""
    flags = run_results.read_flags(folder)
    if "model_dir" in flags:
        model_dir = run_results.moved(folder, flags, flags["model_dir"])
    trained = run_results.read_flags(model_dir)
    return {"model_dir": model_dir, "seed": int(trained.get("seed", flags.get("seed", 0)))}
