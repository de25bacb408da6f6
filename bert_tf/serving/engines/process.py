"""An engine in a process of its own, and times of several of them by turns.

In one process they would spoil each other's times: their threads wait for the next call in loops.
"""

import inspect
import multiprocessing
import os
import pathlib
import signal
import subprocess
import tempfile

import numpy as np
import tensorflow as tf

from flop_tf import processes

_WORKER = pathlib.Path(__file__).with_name("worker.py")
#: How long one engine computes while the others wait.
TURN_SECONDS = 0.1


def num_threads():
    """Returns how many threads an operation has in this process: TensorFlow's setting, or all."""
    return tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()


class Process:
    """An engine that has loaded a file, in a process that ends with this one.

    ```python
    with Process(ENGINES["onnxruntime"], "served/1/model.onnx") as process:
        (answer,) = process.answers([("serving_default", ids)])
    ```

    Args:
      engine: an `Engine`.
      path: of a file or folder that it reads.
      threads: of an operation, at least 1; default `num_threads()`.
      **options: further arguments of the engine's `load`.

    Raises:
      ValueError: if a package is missing or the file cannot be loaded.
    """

    def __init__(self, engine, path, threads=None, **options):
        engine.check()
        self._title, self._settings = engine.title, (threads or num_threads(), options)
        self._channel, other = multiprocessing.Pipe()
        self._errors = tempfile.TemporaryFile()
        where = inspect.getfile(engine.load), engine.load.__name__, str(other.fileno())
        with other:
            self._process = subprocess.Popen(
                processes.command(str(_WORKER), *where),
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
            )
        try:
            self.load(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def load(self, path, alone=False):
        """Answers by another file from now on.

        Args:
          path: of a file or folder that the engine reads.
          alone: whether the files that were loaded before are dropped, the same path too; by
            default they stay loaded.

        Raises:
          ValueError: if the file cannot be loaded.
        """
        self._path = os.fspath(path)
        self._ask("load", self._path, alone, *self._settings)

    def answers(self, requests):
        """Returns the answers to requests, a list of `{name: array}`, texts as NumPy strings.

        Args:
          requests: list of `(name of a signature, {name: array})`.

        Raises:
          ValueError: if the engine refuses one.
        """
        return self._ask("answers", requests)

    def turn(self, request, seconds=TURN_SECONDS):
        """Returns the seconds of each call while this process has the turn, a list.

        After it the process is stopped until it is needed: threads of engines wait for the next
        call in loops, on the cores of those that come after it.

        Args:
          request: `(name of a signature, {name: array})`.
          seconds: how long it has it; there is one call at least.

        Raises:
          ValueError: if the engine refuses the request.
        """
        try:
            return self._ask("turn", request, seconds)
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def memory(self):
        """Returns the most bytes that the process has had, an int; needs Linux."""
        return self._ask("memory")

    def close(self):
        """Ends the process."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _ask(self, task, *arguments):
        self._process.send_signal(signal.SIGCONT)
        try:
            self._channel.send((task, arguments))
            result, reason = self._channel.recv()
        except (EOFError, OSError):  # It has ended.
            reason, result = self._last_words(), None
        if reason is not None:
            verb = "load" if task == "load" else "run"
            line = reason.partition("\n")[0].rstrip(".")[:300]
            raise ValueError(f"{self._title} cannot {verb} {self._path!r}: {line}.")
        return result

    def _last_words(self):
        """Returns why the process ended: the last line that it wrote, or its exit code."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines and code > 0 else f"its process was ended with code {code}"


def by_turns(running, request, rounds, warmup_rounds=1):
    """Times processes by turns, so that a busy machine slows all alike.

    While one computes, the others wait. Every round starts with another one.

    Args:
      running: list of `Process`.
      request: `(name of a signature, {name: array})`.
      rounds: turns of each that count, at least 1.
      warmup_rounds: turns of each before them.

    Returns:
      For each process a list of the seconds of its calls, an array a round.

    Raises:
      ValueError: if an engine refuses the request.
    """
    found = [[] for _ in running]
    for number in range(warmup_rounds + rounds):
        for turn in range(len(running)):
            index = (number + turn) % len(running)
            found[index].append(np.array(running[index].turn(request)))
    return [turns[warmup_rounds:] for turns in found]
