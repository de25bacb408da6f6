"""Runs a case in a process of its own and looks for all that must not happen."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import signal
import stat
import tempfile
import time

from programs import Program

#: What a case must not need more of.
MOST_BYTES = 4 * 2**30
MOST_SECONDS = float(os.environ.get("FLOP_MOST_SECONDS", 30))

#: What code that lies in a file makes in the working directory when it is run.
MARKER = "code_ran"

# Every folder's own way to leave something half written or aside.
_ASIDE = re.compile(r"\..*\.(partial|replaced|deleted|lock)(-\w+)?")
_OFFLINE = {"PIP_NO_INDEX": "1"}
# ONNX Runtime's, in the folder of temporary files.
_FOREIGN = {".ses"}
# Seconds in which a child may end after its parent.
_GRACE = 1.0


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a case.

    Args:
      case: the `Case`.
      code: exit code, negative after a signal.
      text: what was printed.
      violations: what must not happen and has, a text by sort.
      seconds: wall-clock time.
      peak_bytes: the most memory of its processes together.
    """

    case: object
    code: int
    text: str
    violations: dict
    seconds: float
    peak_bytes: int

    @property
    def outcome(self):
        """ "violation", "accepted" or "right"."""
        return "violation" if self.violations else "right" if self.code else "accepted"


def run(case, fixtures, scratch):
    """Returns the `Result` of a case.

    Args:
      case: the `Case`.
      fixtures: the `Fixtures` that its arguments name.
      scratch: existing folder, `pathlib.Path`, for the case's own, which is deleted afterwards.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder, temporary = pathlib.Path(name, "case"), pathlib.Path(name, "tmp")
        folder.mkdir(), temporary.mkdir()
        fixtures.copy(fixtures.needed_by(case), folder)
        case.prepare(folder)
        before = _contents(folder) | _contents(fixtures.folder)
        environment = {"TMPDIR": str(temporary), **_OFFLINE, **case.environment}
        module = f"flop_tools.{case.program}"
        process = Program(module, *case.args, folder=str(folder), **environment)
        violations, seconds, peak = _watch(process)
        code, text = process.wait()
        os.remove(process.log)
        if not violations:  # A process that was killed cannot tidy up.
            violations |= _said(case, code, text)
            violations |= _left(case, folder, temporary, before)
        violations |= _lost(case, code, _contents(folder) | _contents(fixtures.folder), before)
        if any(path.name.startswith(MARKER) for path in folder.rglob("*")):
            violations["code ran"] = "code of a file was run"
        return Result(case, code, text, violations, seconds, peak)


def _watch(process):
    """Waits for a process and its children; returns violations, seconds and bytes."""
    start, peak, violations = time.monotonic(), 0, {}
    while process.poll() is None and not violations:
        time.sleep(0.02)
        peak = max(peak, sum(map(_resident_bytes, _session(process.pid))))
        if peak > MOST_BYTES:
            violations["memory"] = f"more than {MOST_BYTES / 2**30:.0f} GB"
        if time.monotonic() - start > MOST_SECONDS:
            violations["time"] = f"more than {MOST_SECONDS:.0f} s"
    seconds = time.monotonic() - start
    while not violations and _session(process.pid) and time.monotonic() - start < seconds + _GRACE:
        time.sleep(0.05)
    for left in _session(process.pid):
        violations.setdefault("leftover", f"process {left} was left behind")
        with contextlib.suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)
    if violations.keys() & {"memory", "time"}:
        violations.pop("leftover", None)
    return violations, seconds, peak


def _session(leader):
    """Returns the processes of a session that have not ended."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == leader and _status(name)["State"][0] not in "ZX":
                found.append(int(name))
    return found


def _resident_bytes(pid):
    with contextlib.suppress(OSError, KeyError):
        return int(_status(pid)["VmHWM"].split()[0]) * 1024
    return 0


def _status(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def _said(case, code, text):
    """Returns what is wrong with the exit code and the last words."""
    found = {}
    if "Traceback (most recent call last)" in text:
        found["traceback"] = text.strip().splitlines()[-1][:300]
    elif case.is_valid:
        if code:
            found["exit code"] = f"{code} of a valid command"
    elif code == 0:
        if case.accepted is None:
            found["not refused"] = "exit code 0, though nothing says that this may be accepted"
    elif code != 1:
        found["exit code"] = f"{code}"
    else:
        lines = text.strip().splitlines() or [""]
        start = f"{case.program}: error: "
        one = sum(line.startswith(start) for line in lines) == 1 and lines[-1].startswith(start)
        if not one or 'File "' in lines[-1]:  # Keras puts places in the code into its errors.
            found["no sentence"] = lines[-1][:300]
        elif case.accepted is None and not re.search(case.names, lines[-1], re.IGNORECASE):
            found["no subject"] = f"{lines[-1][:300]} (expected {case.names!r} in it)"
    return found


def _left(case, folder, temporary, before):
    """Returns files that were left aside, or are neither in the output nor next to it."""
    new = {path for path in _contents(folder) if path not in before}
    aside = sorted(path for path in new if _ASIDE.fullmatch(os.path.basename(path)))
    aside += sorted(str(path) for path in temporary.iterdir() if path.name not in _FOREIGN)
    # A teacher's logits are kept next to the teacher.
    known = (*_targets(case), MARKER, "logits-")
    roots = {os.path.relpath(path, folder) for path in new}
    outside = sorted(path for path in roots if not any(name in path for name in known))
    outside = [] if "." in known else outside
    found = {"leftover": aside, "outside": outside}
    return {sort: ", ".join(paths) for sort, paths in found.items() if paths}


def _targets(case):
    """Returns the paths that a case may write to."""
    flags = dict(arg.removeprefix("--").split("=", 1) for arg in case.args if "=" in arg)
    names = [name for name in flags if name.startswith("output")] or ["runs_dir"]
    return [flags[name].split("/")[0] for name in names if flags.get(name)]


def _lost(case, code, after, before):
    """Returns what stood there before and does not any more, or is another one."""
    lost = sorted(path for path, content in before.items() if after.get(path) != content)
    if code == 0:
        may = tuple(f"/case/{name}" for name in case.replaces)
        lost = [path for path in lost if not any(name in path for name in may)]
    return {"lost": ", ".join(os.path.relpath(path) for path in lost)} if lost else {}


def _contents(folder):
    """Returns a digest of every file by path; of what is no file, its type or its target."""
    found = {}
    for path, folders, names in os.walk(folder):
        for name in (*folders, *names):
            one = os.path.join(path, name)
            mode = os.lstat(one).st_mode
            if stat.S_ISREG(mode):
                with open(one, "rb") as file:
                    found[one] = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                found[one] = os.readlink(one) if stat.S_ISLNK(mode) else stat.S_IFMT(mode)
    return found
