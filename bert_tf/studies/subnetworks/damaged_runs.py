"""Runs and tickets that a report leaves out because a file of theirs is damaged."""

import os

from bert_tf.studies.subnetworks import ticket_files
from bert_tf.studies.sweeps import run_results
from flop_tf.files import mask_file


def find(folders):
    """Returns a row for each damaged run and each damaged list of tickets below folders.

    Args:
      folders: of flop-find-tickets or flop-train-tickets.

    Returns:
      List of dicts with `run`, the whole path of a folder, and `reason`.
    """
    found = {}
    for path in ticket_files.lists(folders):
        try:
            ticket_files.read(path)
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
      selected: what `bert_tf.studies.subnetworks.ticket_files.select` returns.

    Returns:
      `(selected, damaged)`, the second as `find` returns it.

    Raises:
      ValueError: if no mask can be read, with the reason of the first.
    """
    sound, damaged = {}, []
    for task, seeds in selected.items():
        for seed, ticket in seeds.items():
            try:
                mask_file.read(ticket["file"])
            except (OSError, ValueError) as error:
                damaged.append({"run": ticket["folder"], "reason": str(error)})
            else:
                sound.setdefault(task, {})[seed] = ticket
    if not sound:
        raise ValueError(damaged[0]["reason"])
    return sound, damaged
