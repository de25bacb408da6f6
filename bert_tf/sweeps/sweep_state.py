"""`sweep.json`: what a sweep knows of its runs, so that finished ones are not started again."""

import hashlib
import json
import os

from flop_tf import files

STATE_FILE = "sweep.json"


def find(folder):
    """Returns the folders at and below `folder` that hold the state of a sweep."""
    return sorted(path for path, _, names in os.walk(folder) if STATE_FILE in names)


def read(folder):
    """Returns the state of a sweep, a dict; one without runs where there is none yet.

    Its `runs` hold for each name a `key` (see `keys`), the `state` "done" or "failed", `seconds`
    and of a failed one the `error`; `environment` is where the newest ones ran.

    Raises:
      ValueError: if the file is damaged.
    """
    path = os.path.join(folder, STATE_FILE)
    if not os.path.isfile(path):
        return {"environment": None, "runs": {}}
    try:
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        return {"environment": state["environment"], "runs": dict(state["runs"])}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The file {path!r} is damaged, delete it and start the sweep again, which finds its "
            f"finished runs: {error!r}"
        ) from error


def write(folder, state):
    """Writes the state of a sweep."""
    files.write_json(os.path.join(folder, STATE_FILE), state)


def keys(runs):
    """Returns a key for each run by name: of what it does and of the runs that it needs.

    Args:
      runs: list of `bert_tf.sweeps.sweep.Run`, each one after those that it needs.
    """
    found = {}
    for run in runs:
        parts = [run.program, *run.flags, *(found[name] for name in run.needs)]
        found[run.name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return found
