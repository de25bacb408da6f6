"""Carries out the plan of a sweep, a process for each run, with one line of state for each."""

import datetime
import hashlib
import os
import shlex
import statistics
import subprocess
import sys
import time

from bert_tf import timing
from bert_tf.runs import run_folder
from bert_tf.studies.sweeps import run_results, sweep_state


class SweepRunner:
    """Runs that are done already are not started; a failed one stops only the runs that need it.

    A run that is done keeps its model and loses its checkpoints, which are several times as large.

    Args:
      runs: list of `bert_tf.studies.sweeps.sweep.Run`, each one after the runs that it needs.
      folder: the sweep's folder.
      command: function of a run that returns the words of its command, without its flags.
      environment: dict of environment variables for the programs.
      shows_output: whether the programs write to the console instead of `RUN.log`.
      overwrite: whether a run may replace the files of another command.

    Raises:
      ValueError: if the folder's state is damaged.
    """

    def __init__(
        self, runs, folder, command, environment=None, shows_output=False, overwrite=False
    ):
        self.runs, self.folder, self.command = runs, folder, command
        self.environment = environment or {}
        self.shows_output, self.overwrite = shows_output, overwrite
        self.keys = sweep_state.keys(runs)
        self.state = sweep_state.read(folder)
        self.failed = {}

    def start(self):
        """Carries out all runs.

        Returns:
          By name the reason of each run that failed, or that needs one which did.
        """
        os.makedirs(self.folder, exist_ok=True)
        self.state["environment"] = timing.environment()
        for number, run in enumerate(self.runs, start=1):
            if broken := [name for name in run.needs if name in self.failed]:
                self.failed[run.name] = f"needs {broken[0]}"
                self._say(number, run, "skipped", self.failed[run.name])
            elif self._is_done(run):
                self._say(number, run, "was done", self._score(run))
            else:
                self._start(number, run)
        return self.failed

    def _start(self, number, run):
        self._announce(number, run)
        # Its folder changes from here on, and this process may be killed: the old entry is void.
        if self.state["runs"].pop(run.name, None):
            sweep_state.write(self.folder, self.state)
        began = time.monotonic()
        code = self._call(run)
        seconds = time.monotonic() - began
        entry = {"key": self.keys[run.name], "state": "done", "seconds": seconds}
        if code or not os.path.isfile(os.path.join(self.folder, run.done_file)):
            entry |= {"state": "failed", "error": self._reason(run, code)}
            self.failed[run.name] = entry["error"]
        else:
            run_folder.delete_checkpoints(os.path.join(self.folder, run.name))
        self.state["runs"][run.name] = entry
        sweep_state.write(self.folder, self.state)
        self._say(number, run, entry["state"], entry.get("error") or self._score(run), seconds)

    def _is_done(self, run):
        entry = self.state["runs"].get(run.name, {})
        same = entry.get("state") == "done" and entry.get("key") == self.keys[run.name]
        return same and not run.repeats and os.path.isfile(os.path.join(self.folder, run.done_file))

    def _call(self, run):
        """Runs the program to its end and returns its exit code."""
        command = [*self.command(run), *run.flags, *self._made_from(run)]
        command += ["--overwrite"] if self.overwrite else []
        # A group of its own: Ctrl-C reaches a program once, by `_wait`, and not twice.
        settings = {"env": {**os.environ, **self.environment}, "process_group": 0}
        if self.shows_output:
            return _wait(subprocess.Popen(command, **settings), run.name)
        os.makedirs(os.path.dirname(self._log(run)), exist_ok=True)
        with open(self._log(run), "ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            return _wait(subprocess.Popen(command, stdout=log, stderr=log, **settings), run.name)

    def _made_from(self, run):
        """Returns a flag with the digest of how the runs that it needs were made.

        Their folders keep their names when their content changes. With this flag a run from another
        model is another run by the rule of output folders: it does not resume old checkpoints.
        """
        if not run.needs:
            return []
        made = hashlib.sha256()
        for name in run.needs:
            path = os.path.join(self.folder, name)
            made.update((run_folder.command_of(path) or "").encode())
        return [f"--made_from={made.hexdigest()[:16]}"]

    def _log(self, run):
        return os.path.join(self.folder, f"{run.name}.log")

    def _reason(self, run, code):
        if code < 0:
            return f"killed by signal {-code}"
        if not code:
            return f"ended without {run.done_file}"
        if self.shows_output:
            return f"ended with exit code {code}"
        with open(self._log(run), encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return f"ended with exit code {code}" if lines[-1].startswith("$ ") else lines[-1]

    # The console.

    def _announce(self, number, run):
        if self.shows_output:
            print(f"\n== {number} of {len(self.runs)}: {run.title}", flush=True)
        else:
            # On a terminal the line of its end takes the place of this one.
            end = "\r" if sys.stdout.isatty() else "\n"
            print(self._line(number, run, "running", ""), end=end, flush=True)

    def _say(self, number, run, state, what, seconds=None):
        if not self.shows_output:
            # Clears the line of the same run.
            start = "\x1b[2K" if sys.stdout.isatty() else ""
            print(start + self._line(number, run, state, what, seconds), flush=True)
        elif state != "done":
            what = f": {what}" if what else ""
            print(f"\n== {number} of {len(self.runs)}: {run.title}: {state}{what}", flush=True)

    def _line(self, number, run, state, what, seconds=None):
        """Returns the line of a run: number, name, state, score, its time and the time left."""
        total = str(len(self.runs))
        width = max(len(each.name) for each in self.runs)
        left = self._seconds_left(number)
        parts = [
            f"[{number:{len(total)}}/{total}] {run.name:{width}} {state:8}",
            what,
            "" if seconds is None else f"in {_clock(seconds)}",
            "" if left is None else f"{_clock(left)} left",
        ]
        return "  ".join(part for part in parts if part).rstrip()

    def _score(self, run):
        """Returns the score of a training as text."""
        found = run_results.read(os.path.join(self.folder, run.name))
        return f"{found['metric']} {found['score']:.4f}" if found.get("score") is not None else ""

    def _seconds_left(self, number):
        """Returns the seconds left after this run, estimated from the finished runs, or None.

        A run is expected to take as long as the others of its task and stage, else of its stage.
        """
        known = {}
        for run in self.runs:
            entry = self.state["runs"].get(run.name, {})
            if entry.get("state") == "done":
                for kind in ((run.task, run.stage), run.stage, None):
                    known.setdefault(kind, []).append(entry["seconds"])
        pending = [run for run in self.runs[number:] if not self._is_done(run)]
        if not known:
            return None
        total = 0.0
        for run in pending:
            kinds = ((run.task, run.stage), run.stage, None)
            total += statistics.mean(next(known[kind] for kind in kinds if kind in known))
        return total


def _wait(process, name):
    """Returns the exit code of a program; on a signal to end, lets the program save first."""
    try:
        return process.wait()
    except (KeyboardInterrupt, SystemExit):
        try:
            sentence = f"Told to end; waiting for {name} to save, a second signal ends it at once."
            print(sentence, file=sys.stderr, flush=True)
            process.terminate()
            process.wait()
        finally:  # It still runs only after a second signal.
            process.kill()
            process.wait()
        raise


def _clock(seconds):
    return str(datetime.timedelta(seconds=round(seconds)))
