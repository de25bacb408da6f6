"""The content of a run's folder as plain data: its command and its results."""

import math
import os
import typing

import msgspec

from bert_tf import timing
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import PROJECTIONS
from bert_tf.runs import run_folder, run_search
from bert_tf.studies.sweeps import sweep
from bert_tf.tasks import registry
from flop_tf import files
from flop_tf.files import json_file
from flop_tf.files.json_file import Count, Number, Size

#: Stages of a model, in the order in which a report shows them.
STAGES = ("dense", "factorized", "gated", "sparse", "compact")

# The program by a flag that no other program has.
_PROGRAMS = {
    "init_checkpoint": "finetune",
    "output_folder_dir": "remove_mask",
    "model_dirs": "benchmark",
    "min_heads": "find_tickets",
    "model_dir": "evaluate",
    "checkpoint": "factorize",
}
_OUTPUTS = ("output_dir", "output_folder_dir")
_SOURCES = ("init_checkpoint", "checkpoint")
# The flags that reports compute with.
_NUMBERS = {"seed": int, "learning_rate": float, "target_sparsity": float}


class _Projection(typing.TypedDict):
    projection: typing.Annotated[str, msgspec.Meta(pattern=r"^blocks\.[0-9]{1,3}\.[a-z_]+$")]
    rank: Count | None


class _Model(typing.TypedDict):
    """The keys of `info.json` that are read."""

    stage: typing.Literal[STAGES]
    dense_sparsity: Number
    dense_origin_params: Size
    total_params: Count
    projections: list[_Projection]
    dense_pruned_params: typing.NotRequired[Count]
    dense_nonzero_params: typing.NotRequired[Count]
    stored_sparsity: typing.NotRequired[Number]
    scores: typing.NotRequired[dict[str, dict[str, Number]]]
    task: typing.NotRequired[json_file.Object]


class _Measured(typing.TypedDict):
    model: str
    batch_size: Size
    length: Size
    p50_ms: Number
    spread: Number
    ratios: typing.Annotated[dict[str, Number], msgspec.Meta(min_length=1)]


class _Subject(typing.TypedDict):
    model: str
    folder: typing.NotRequired[str]


class _Benchmark(typing.TypedDict):
    """The keys of `benchmark.json` that are read."""

    models: list[_Subject]
    timings: list[_Measured]
    environment: timing.Environment


def find(folder):
    """Returns the folders of all runs below `folder`, sorted; hidden ones do not count.

    Args:
      folder: path where the search begins.
    """
    return sorted(run_search.holding(folder, run_folder.FLAGS_FILE))


def read(folder):
    """Reads one run.

    Args:
      folder: a folder with `run.flags`.

    Returns:
      Dict with `flags`, `program`, `source` (the folder of the model it began with, where that one
      is now, or None) and `state`, "finished", "unfinished" or "damaged". A damaged one has its
      `reason`. A finished one has its results: a model `stage`, `sparsity`, `parameters`, `ranks`,
      `score` and more; a benchmark `latencies` and `environment`.
    """
    run = {"program": None, "flags": {}, "source": None, "state": "damaged"}
    try:
        run |= _command(folder)
        if not os.path.lexists(os.path.join(folder, sweep.DONE_FILES[run["program"]])):
            return {**run, "state": "unfinished"}
        return {**run, **_contents(folder, run["program"], run["flags"]), "state": "finished"}
    except (OSError, ValueError) as error:
        return {**run, "reason": str(error)}


def read_flags(folder):
    """Returns the flags of the run in a folder, a dict of strings; a folder without has none.

    Args:
      folder: path of the run's folder.

    Raises:
      ValueError: if the file is damaged, or a number that reports compute with is none.
      OSError: if it cannot be read.
    """
    path = os.path.join(folder, run_folder.FLAGS_FILE)
    if not os.path.lexists(path):
        return {}
    flags = parse_flags(files.read_text(path, "flag file"))
    for name, kind in _NUMBERS.items():
        _check_number(f"The flag --{name} of {path!r}", flags.get(name, "0"), kind)
    return flags


def parse_flags(text):
    """Returns the flags of a `run.flags`, a dict of strings; --name is "true", --noname "false".

    Args:
      text: the content of the file, a flag a line.
    """
    flags = {}
    for line in text.splitlines():
        name, equals, value = line.removeprefix("--").partition("=")
        if equals:
            flags[name] = value
        elif name.startswith("no"):
            flags[name.removeprefix("no")] = "false"
        else:
            flags[name] = "true"
    return flags


def _command(folder):
    """Returns the content of `run.flags`: `flags`, `program` and `source`."""
    flags = read_flags(folder)
    program = next((name for flag, name in _PROGRAMS.items() if flag in flags), None)
    if program is None:
        raise ValueError("Its run.flags is of no program that is known.")
    source = next((flags[name] for name in _SOURCES if flags.get(name)), None)
    return {
        "flags": flags,
        "program": program,
        "source": None if source is None else moved(folder, flags, source),
    }


def moved(folder, flags, path):
    """Returns where a path of `run.flags` is now, if the run was moved together with it.

    Args:
      folder: the run's folder.
      flags: its flags.
      path: of a model that the run has read.
    """
    output = next((flags[name] for name in _OUTPUTS if name in flags), folder)
    return os.path.normpath(os.path.join(folder, os.path.relpath(path or os.curdir, output)))


def _contents(folder, program, flags):
    if program == "benchmark":
        return _benchmark(folder, flags)
    if program in ("evaluate", "find_tickets"):
        return {}
    return _model(folder) | (_times(folder) if program == "finetune" else {})


def _benchmark(folder, flags):
    """Returns where it ran and the latencies of each model by folder; of training steps none."""
    path = os.path.join(folder, sweep.DONE_FILES["benchmark"])
    report = json_file.read(path, _Benchmark, "benchmark", "measure again by flop-benchmark")
    folders = {row["model"]: row["folder"] for row in report["models"] if "folder" in row}
    latencies = {}
    for row in report["timings"]:
        if row["model"] in folders:
            path = moved(folder, flags, folders[row["model"]])
            ratio = next(iter(row["ratios"].values()))
            shown = {name: row[name] for name in ("batch_size", "length", "p50_ms", "spread")}
            latencies.setdefault(path, []).append({**shown, "ratio": ratio})
    return {"environment": report["environment"], "latencies": latencies}


def _model(folder):
    """Returns stage, size and ranks of a model from `info.json`, and task and scores if any."""
    info = json_file.read(os.path.join(folder, model_dir.INFO_FILE), _Model, "info file")
    gated = info["stage"] == "gated"
    # Gates leave the ranks in place that they close.
    sparsity = info.get("stored_sparsity") if gated else info["dense_sparsity"]
    if sparsity is None:
        raise ValueError("Its info.json must have 'stored_sparsity', as of every gated model.")
    original, zeros = info["dense_origin_params"], 0
    if {"dense_pruned_params", "dense_nonzero_params"} <= info.keys():
        # Zeros of kernels count for the sparsity, and are stored.
        zeros = info["dense_pruned_params"] - info["dense_nonzero_params"]
        sparsity += 0.0 if gated else zeros / original
    return {
        "stage": info["stage"],
        "sparsity": sparsity,
        "parameters": round(info["total_params"] - sparsity * original) + zeros,
        "ranks": None if gated else _ranks(info["projections"]),
        **_scores(info),
    }


def _ranks(projections):
    """Returns the ranks `[layers, projections]`, nested lists, None where a kernel is dense."""
    rows = {}
    for row in projections:
        _, index, name = row["projection"].split(".")
        rows.setdefault(int(index), {})[name] = row["rank"]
    return [[rows[index].get(name) for name in PROJECTIONS] for index in sorted(rows)]


def _scores(info):
    """Returns task, metric and scores; a choice among runs goes by `selected`."""
    scores = info.get("scores")
    if not scores:
        return {"score": None}
    task = registry.from_dict(info.get("task", {}))
    for split, values in scores.items():
        if task.primary_metric not in values:
            raise ValueError(
                f"The scores of its info.json must have {task.primary_metric!r}, as the task "
                f"{task.name!r} has, received {list(values)} of {split!r}."
            )
    first = next(iter(scores))
    reported = next((split for split in scores if split != "holdout"), first)
    return {
        "task": task.name,
        "metric": task.primary_metric,
        "score": scores[reported][task.primary_metric],
        "reported": reported,
        "selected": scores[first][task.primary_metric],
        "scores": scores,
    }


def _times(folder):
    """Returns the seconds that `eval_results.txt` states; a run of before has none."""
    path = os.path.join(folder, sweep.DONE_FILES["finetune"])
    found = {}
    for line in files.read_text(path, "file of results").splitlines():
        name, _, value = line.partition(" = ")
        _check_number(f"The line {name!r} of its {os.path.basename(path)}", value, float)
        found[name] = float(value)
    return {name: found[name] for name in ("train_time", "eval_time") if name in found}


def _check_number(subject, text, kind):
    try:
        fits = math.isfinite(kind(text))
    except (OverflowError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"{subject} must be a finite number, received {text!r}.")
