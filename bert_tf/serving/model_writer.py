"""Writes models with random weights in a process of its own: converters keep one core busy.

As a program this file reads pickled tasks from its input and writes their pickled results.
"""

import os
import pickle
import subprocess
import sys

from bert_tf.serving import latency_probes
from flop_tf import processes

# Fewer are written sooner than another process has started.
_LEAST_TASKS = 3


class Writing:
    """Models that are written while this process goes on.

    Args:
      tasks: list of `(Plan, Format, path of a folder)`, see `latency_probes.served`.
    """

    def __init__(self, tasks):
        self._tasks, self._process = tasks, None
        if len(tasks) < _LEAST_TASKS:
            return
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        # It computes nothing, and a graphics processor is this process's.
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        command = processes.command("-m", __name__)
        self._process = subprocess.Popen(command, env=environment, **pipes)
        self._process.stdin.write(pickle.dumps(tasks))
        self._process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process:
            with self._process:  # It closes the pipes and waits.
                self._process.kill()

    def results(self):
        """Waits until all are written, and returns for each task None or the ValueError."""
        if self._process:
            written, self._process = self._process, None
            with written:
                answer = written.stdout.read()
            if written.returncode == 0:
                return pickle.loads(answer)
        # Formats that a user's program defines are not known elsewhere.
        return write(self._tasks)


def write(tasks):
    """Writes models in this process; returns for each None or the ValueError.

    Args:
      tasks: see `Writing`.
    """
    return [_written(*task) for task in tasks]


def _written(plan, form, folder):
    os.makedirs(folder, exist_ok=True)
    try:
        form.write(latency_probes.served(plan), folder)
    except ValueError as error:
        return error
    return None


def _main():
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # What converters print is no answer.
    results = write(pickle.load(sys.stdin.buffer))
    with open(answer, "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    _main()
