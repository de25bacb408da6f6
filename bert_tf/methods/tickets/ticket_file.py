"""The files of a ticket: its mask, and what a list of tickets says of it."""

import os
import typing

from bert_tf.models import model_info
from bert_tf.surgery import masks
from flop_tf import files
from flop_tf.files import json_file

#: Next to the folder of masks, written last: what was found, with a file for each.
TICKETS_FILE = "tickets.json"

#: Of flop-train-tickets: the super ticket of each task, with the paths of its masks and models by
#: seed.
SUPER_FILE = "super_ticket.json"

#: What to do about a damaged list.
ADVICE = "find the tickets anew"


class _Ticket(typing.TypedDict):
    kind: str
    file: str


class _Tickets(typing.TypedDict):
    tickets: typing.NotRequired[list[_Ticket]]


def mask_file(name):
    """Returns where the mask of a ticket lies in the folder of its list.

    Args:
      name: of the ticket.
    """
    return os.path.join("masks", f"{name}.safetensors")


def write(folder, name, kind, config, mask, removed, method, **provenance):
    """Writes the mask of a ticket and returns its entry in a list of tickets, plain data.

    Args:
      folder: of the list.
      name: of the ticket.
      kind: winning, random, good, ...
      config: the `EncoderConfig` of the whole model.
      mask: dict of boolean arrays by path.
      removed: how many units or weights went, plain data.
      method: what found it.
      **provenance: plain data for the file of the mask.

    Raises:
      OSError: if the file cannot be written.
    """
    file = mask_file(name)
    masks.save(os.path.join(folder, file), config, mask, f"{method}: {kind}", **provenance)
    count = masks.num_parameters(config, mask)
    return {
        "name": name,
        "kind": kind,
        "file": file,
        "removed": removed,
        "parameters": count,
        "share_of_parameters": count / model_info.num_parameters(config),
    }


def read(folder):
    """Returns the content of `tickets.json` in a folder, plain data, with whole paths of the masks.

    Args:
      folder: of flop-find-tickets; a report of tickets has a file of that name, without `tickets`.

    Raises:
      ValueError: if the file is damaged or a mask is not in the folder.
      OSError: if it cannot be read.
    """
    path = os.path.join(folder, TICKETS_FILE)
    data = json_file.read(path, json_file.Object, "list of tickets", ADVICE)
    json_file.check(data, _Tickets, f"The file {path!r} is damaged", ADVICE)
    for ticket in data.get("tickets", ()):
        ticket["file"] = files.inside(folder, ticket["file"], f"The file {path!r}")
    return data
