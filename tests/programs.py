"""Programs in processes of their own that start at once: each is forked where TensorFlow is loaded.

Next to the tests and not in `conftest.py`, so that the new process can import it.
"""

import contextlib
import importlib
import multiprocessing
import os
import resource
import sys
import tempfile

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["flop_tools.finetune", "flop_tools.factorize", "flop_tools.find_tickets"]
)


class Program:
    """A running program, as `subprocess.Popen` with text of both streams in one file, `log`.

    Args:
      module: its name, which has a function `run`.
      *args: its command line.
      folder: where it starts, as `python -m` does, with processes of a session of its own.
      file_size: bytes beyond which none of its files can grow.
      **environment: variables to set; None removes one.
    """

    def __init__(self, module, *args, folder=None, file_size=None, **environment):
        with tempfile.NamedTemporaryFile(suffix=".log", delete=False) as file:
            self.log = file.name
        self._process = _context.Process(
            target=_run, args=(module, args, self.log, folder, file_size, environment)
        )
        self._process.start()
        self.pid, self.kill, self.terminate = (
            self._process.pid,
            self._process.kill,
            self._process.terminate,
        )

    def poll(self):
        """Returns the exit code, negative after a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout=600):
        """Returns the exit code and what was printed.

        Raises:
          TimeoutError: with what was printed, if it does not end in so many seconds.
        """
        self._process.join(timeout)
        if self.poll() is None:
            raise TimeoutError(
                f"Process {self.pid} still runs after {timeout} seconds:\n{self.text()}"
            )
        return self.poll(), self.text()

    def text(self):
        """Returns what was printed so far."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()


def _run(module, args, log, folder, file_size, environment):
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name, value in environment.items():
        with contextlib.suppress(KeyError):
            del os.environ[name]
        if value is not None:
            os.environ[name] = value
    if folder is not None:
        os.setsid()
        os.chdir(folder)
        sys.path.insert(0, "")
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    sys.argv = [module.split(".")[-1], *args]
    importlib.import_module(module).run()
