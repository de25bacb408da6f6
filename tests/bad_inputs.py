"""A campaign of bad inputs over all programs, each in a process forked from a warm one.

Usage: .venv/bin/python tests/bad_inputs.py [--only=flags/finetune] [--jobs=2] [--report=FILE]

Each input must end in exit code 1 and one sentence of ours that names the flag or file, or be
accepted for a reason that its case states. Nothing that existed may be lost, nothing left behind,
no code in a file run, and no more than 4 GB and 30 seconds needed (FLOP_MOST_SECONDS allows others
on a busy machine). Anything else is a violation, and the exit code is 1. The cases are made by the
modules of `tests/campaign`, one for each kind of input.
"""

import argparse
import collections
import concurrent.futures
import importlib
import json
import os
import pathlib
import re
import sys
import tempfile

# Before anything imports TensorFlow; processes next to each other share the cores. Threads between
# operations stay: tests import this file, and with one of them a parameter server waits for ever.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# Else `tests/bert_tf` passes for the package, whose installed name is looked up last.
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import flop_tools  # noqa: E402, F401  It sets TensorFlow's log level.

import tabulate  # noqa: E402
from campaign import monitor  # noqa: E402
from campaign.fixtures import Fixtures  # noqa: E402

#: Modules of `tests/campaign` with a function `cases`.
KINDS = (
    "valid",
    "flags",
    "paths",
    "json_files",
    "tensor_files",
    "tables",
    "checkpoints",
    "folders",
    "planted_code",
)


def cases(only=""):
    """Returns the cases whose names match a regular expression.

    Raises:
      ValueError: if two of them have the same name.
    """
    modules = [importlib.import_module(f"campaign.{kind}") for kind in KINDS]
    found = [case for module in modules for case in module.cases()]
    counts = collections.Counter(case.name for case in found)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"Each case must have a name of its own, received {twice}.")
    return [case for case in found if re.search(only, case.name)]


def run(selected, folder, jobs=1):
    """Yields the `Result` of each case.

    Args:
      selected: list of `Case`.
      folder: `pathlib.Path` for the fixtures, which stay there, and for what the cases write.
      jobs: how many run at the same time.
    """
    fixtures, scratch = Fixtures(folder / "fixtures"), folder / "cases"
    scratch.mkdir(parents=True, exist_ok=True)
    # Not while cases run: they must find the same files before and after.
    for name in sorted(set().union(*(fixtures.needed_by(case) for case in selected))):
        fixtures.make(name)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda case: monitor.run(case, fixtures, scratch), selected)


def table(results):
    """Returns counts by program and kind as Markdown."""
    rows = collections.defaultdict(collections.Counter)
    for result in results:
        for key in ((result.case.program, result.case.kind), ("all", "")):
            rows[key].update([result.outcome, *result.violations])
    sorts = sorted({name for result in results for name in result.violations})
    columns = ("right", "accepted", "violation", *sorts)
    cells = [[*key, *(rows[key][name] or "" for name in columns)] for key in sorted(rows)]
    return tabulate.tabulate(cells, headers=("program", "kind", *columns), tablefmt="github")


def as_json(result):
    """Returns plain data of a result."""
    case = result.case
    return {
        "name": case.name,
        "command": [case.program, *case.args],
        "outcome": result.outcome,
        "accepted": case.accepted,
        "violations": result.violations,
        "code": result.code,
        "seconds": round(result.seconds, 2),
        "peak_bytes": result.peak_bytes,
        "output": result.text[-3000:],
    }


def _report(results, path):
    print(f"\n{table(results)}")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump([as_json(result) for result in results], file, indent=1)


def main(argv=None):
    """Runs the campaign and returns the number of violations."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="regular expression of names: kind/program/what")
    parser.add_argument("--jobs", type=int, default=1, help="cases at the same time")
    parser.add_argument("--report", help="JSON file with what came of each case")
    parser.add_argument("--folder", help="where fixtures are found again; a temporary one")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.folder or temporary).resolve()
        selected, results = cases(options.only), []
        try:
            for result in run(selected, folder, options.jobs):
                results.append(result)
                place = f"[{len(results)}/{len(selected)}] {result.seconds:5.1f} s "
                for sort, detail in result.violations.items():
                    print(f"{place} {result.case.name}: {sort}: {detail}", flush=True)
        finally:  # What came of a campaign that was stopped counts too.
            _report(results, options.report)
    return sum(bool(result.violations) for result in results)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
