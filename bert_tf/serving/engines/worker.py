"""The process of an engine, started by `process.Process`: loads a file, answers, times, measures.

Usage: worker.py FILE FUNCTION CHANNEL

FILE and FUNCTION are where an engine's `load` is, CHANNEL is the number of an open connection, over
which tasks come and results go. Neither this file nor an engine's imports anything of the project,
so that an export is checked and measured as its users run it.
"""

import multiprocessing.connection
import runpy
import sys
import time


def main(file, function, channel):
    """Carries out tasks until the other end of the channel is closed.

    Args:
      file: path of a file of Python code.
      function: name of the engine's `load` in there.
      channel: number of the connection; a task is the name of a method of `Worker` and its
        arguments, an answer its result and None, or None and the reason why there is none.
    """
    channel = multiprocessing.connection.Connection(int(channel))
    worker = Worker(runpy.run_path(file)[function])
    while True:
        try:
            task, arguments = channel.recv()
        except EOFError:
            return
        try:
            answer = getattr(worker, task)(*arguments), None
        except Exception as error:  # Those of engines have no other class in common.
            answer = None, str(error).strip() or type(error).__name__
        channel.send(answer)


class Worker:
    """An engine with its files; requests go to the one that was named last.

    Args:
      load: see `bert_tf.serving.engines.engine.Engine`.
    """

    def __init__(self, load):
        self._load, self._loaded = load, {}

    def load(self, path, alone, threads, options):
        """Loads a file, unless it is loaded, for the requests that follow.

        Args:
          path: of the file or folder.
          alone: whether all that was loaded is dropped before.
          threads: of an operation.
          options: dict of the loader's further arguments.
        """
        if alone:
            self._answer = None
            self._loaded.clear()
        if path not in self._loaded:
            self._loaded[path] = self._load(path, threads, **options)
        self._answer = self._loaded[path]

    def answers(self, requests):
        """Returns the list of answers, `{name: array}`.

        Args:
          requests: list of `(signature, {name: array})`.
        """
        return [self._answer(*request) for request in requests]

    def turn(self, request, seconds):
        """Returns the seconds of each call of a turn, a list; if there are many without the first.

        Args:
          request: `(signature, {name: array})`.
          seconds: how long to go on; there is one call at least.
        """
        found, end = [], time.perf_counter() + seconds
        while not found or time.perf_counter() < end:
            start = time.perf_counter()
            self._answer(*request)
            found.append(time.perf_counter() - start)
        # Others had the caches before it.
        return found[1:] if len(found) > 2 else found

    def memory(self):
        """Returns the most bytes that this process has had until now; needs Linux.

        With a GPU of TensorFlow's they are those of the device.
        """
        tf = sys.modules.get("tensorflow")
        if tf and tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
        # Not `getrusage`: its maximum is taken over from the parent.
        with open("/proc/self/status", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
