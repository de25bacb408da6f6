"""`sweep.json`, the state of a sweep: finished runs are not started again."""

import hashlib
import os
import typing

import msgspec

from bert_tf import timing
from bert_tf.runs import run_search
from flop_tf import files
from flop_tf.files import json_file

STATE_FILE = "sweep.json"


class _Run(typing.TypedDict):
    key: str
    state: typing.Literal["done", "failed"]
    seconds: typing.Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    error: typing.NotRequired[str]


class _State(typing.TypedDict):
    environment: timing.Environment | None
    runs: dict[str, _Run]


def find(folder):
    """Returns the folders at and below `folder` that hold the state of a sweep.

    Args:
      folder: path where the search begins.
    """
    return sorted(run_search.holding(folder, STATE_FILE))


def read(folder):
    """Returns the state of a sweep, a dict; one without runs where there is none yet.

    Its `runs` hold for each name a `key` (see `keys`), the `state` "done" or "failed", `seconds`
    and of a failed one the `error`; `environment` is where the newest ones ran.

    Args:
      folder: path of the sweep's folder.

    Raises:
      ValueError: if the file is damaged or a run is not in the folder.
      OSError: if it cannot be read.
    """
    path = os.path.join(folder, STATE_FILE)
    if not os.path.lexists(path):
        return {"environment": None, "runs": {}}
    # With --overwrite runs that it no longer knows would be made anew.
    advice = "move it away and start the sweep again without --overwrite, it finds finished runs"
    state = json_file.read(path, _State, "state of a sweep", advice)
    for name in state["runs"]:
        files.inside(folder, name, f"The state of a sweep {path!r}")
    return state


def write(folder, state):
    """Writes the state of a sweep.

    Args:
      folder: path of the sweep's folder.
      state: dict, see `read`.

    Raises:
      OSError: if it cannot be written.
    """
    files.write_json(os.path.join(folder, STATE_FILE), state)


def keys(runs):
    """Returns a key for each run by name: of what it does and of the runs that it needs.

    Args:
      runs: list of `bert_tf.studies.sweeps.sweep.Run`, each one after the runs that it needs.
    """
    found = {}
    for run in runs:
        parts = [run.program, *run.flags, *(found[name] for name in run.needs)]
        found[run.name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return found
