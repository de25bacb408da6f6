"""Writes models with random weights in a process of its own: converters keep one core busy.

As a program this file reads pickled tasks from one file and writes their results to another.
"""

import os
import pickle
import subprocess
import sys
import tempfile

from absl import logging

from bert_tf.serving import latency_probes
from flop_tf import processes

# Fewer are written sooner than another process has started.
_LEAST_TASKS = 3


class Writing:
    """Models that are written while this process goes on, for a `with` block.

    Args:
      tasks: list of `(Plan, Format, path of a folder)`, see `latency_probes.served`.
    """

    def __init__(self, tasks):
        self._tasks, self._process = tasks, None
        pickled = _pickled(tasks) if len(tasks) >= _LEAST_TASKS else None
        if pickled is None:
            return
        self._folder = tempfile.TemporaryDirectory()
        given, self._answer = (os.path.join(self._folder.name, name) for name in ("in", "out"))
        with open(given, "wb") as file:
            file.write(pickled)
        changes = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",  # A GPU belongs to this process.
            "TMPDIR": self._folder.name,  # What converters leave where they are killed.
        }
        self._process = subprocess.Popen(
            processes.command("-m", __name__, given, self._answer),
            env={**os.environ, **changes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process:
            self._process.kill()
            self._process.wait()
            self._folder.cleanup()

    def results(self):
        """Waits until all are written, and returns for each task None or the ValueError."""
        if self._process:
            if self._process.wait() == 0:
                with open(self._answer, "rb") as file:
                    return pickle.load(file)
            logging.info("Another process could not write these models; they are written here.")
        return write(self._tasks)


def write(tasks):
    """Writes models in this process; returns for each None or the ValueError.

    A model is made once for tasks of one plan that follow each other: formats share conversions.

    Args:
      tasks: see `Writing`.
    """
    results, made = [], None
    for plan, form, folder in tasks:
        if plan != made:
            made, served = plan, latency_probes.served(plan)
        results.append(_written(served, form, folder))
    return results


def _written(served, form, folder):
    os.makedirs(folder, exist_ok=True)
    try:
        form.write(served, folder)
    except ValueError as error:
        return ValueError(str(error))
    return None


def _pickled(tasks):
    """Returns the bytes of tasks; None where a format of a user's program has no pickle."""
    try:
        return pickle.dumps(tasks)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def main(given, answer):
    """Carries out the tasks of a file and writes their results to another one.

    Args:
      given: path of the pickled tasks.
      answer: path of the file to write.
    """
    with open(given, "rb") as file:
        tasks = pickle.load(file)
    results = write(tasks)
    with open(answer, "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
