"""What lies in the folder of a run, as plain data: what it was asked for, and what came of it."""

import json
import os

from bert_tf import model_dir
from bert_tf.model.config import PROJECTIONS
from bert_tf.sweeps import sweep
from bert_tf.tasks import registry
from bert_tf.training import run_folder

# The flag that only this program has, by program.
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


def find(folder):
    """Returns the folders of all runs below `folder`, sorted; hidden ones do not count."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if run_folder.FLAGS_FILE in files:
            found.append(path)
    return sorted(found)


def read(folder):
    """Reads one run.

    Args:
      folder: a folder with `run.flags`.

    Returns:
      Dict with `flags`, `program`, `source` (the folder of the model it began with, where that one
      is now, or None) and `state`, "finished", "unfinished" or "damaged". A damaged one has its
      `reason`. A finished one has what came of it: of a model `stage`, `sparsity`, `parameters`,
      `ranks`, `score` and more; of a benchmark `latencies` and `environment`.
    """
    run = {"program": None, "flags": {}, "source": None, "state": "damaged"}
    try:
        run |= _command(folder)
        if not os.path.isfile(os.path.join(folder, sweep.DONE_FILES[run["program"]])):
            return {**run, "state": "unfinished"}
        return {**run, **_contents(folder, run["program"], run["flags"]), "state": "finished"}
    except KeyError as error:
        return {**run, "reason": f"The entry {error} is missing."}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return {**run, "reason": str(error)}


def parse_flags(text):
    """Returns the flags of a `run.flags`, a dict of strings; --name is "true", --noname "false"."""
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
    """Returns what `run.flags` says: `flags`, `program` and `source`."""
    with open(os.path.join(folder, run_folder.FLAGS_FILE), encoding="utf-8") as file:
        flags = parse_flags(file.read())
    program = next((name for flag, name in _PROGRAMS.items() if flag in flags), None)
    if program is None:
        raise ValueError("Its run.flags is of no program that is known.")
    source = next((flags[name] for name in _SOURCES if name in flags), None)
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
    return os.path.normpath(os.path.join(folder, os.path.relpath(path, output)))


def _contents(folder, program, flags):
    if program == "benchmark":
        return _benchmark(folder, flags)
    if program in ("evaluate", "find_tickets"):
        return {}
    return _model(folder) | (_times(folder) if program == "finetune" else {})


def _benchmark(folder, flags):
    """Returns where it ran and the latencies of each model by folder; of training steps none."""
    with open(os.path.join(folder, sweep.DONE_FILES["benchmark"]), encoding="utf-8") as file:
        report = json.load(file)
    folders = {row["model"]: row["folder"] for row in report["models"] if "folder" in row}
    latencies = {}
    for row in report["timings"]:
        if row["model"] in folders:
            path = moved(folder, flags, folders[row["model"]])
            (ratio,) = row["ratios"].values()
            shown = {name: row[name] for name in ("batch_size", "length", "p50_ms", "spread")}
            latencies.setdefault(path, []).append({**shown, "ratio": ratio})
    return {"environment": report["environment"], "latencies": latencies}


def _model(folder):
    """Returns what `info.json` says of a model: stage, size, ranks, and task and scores if any."""
    info = model_dir.load_info(folder)
    gated = info["stage"] == "gated"
    # Gates leave the ranks in place that they close.
    sparsity = info["stored_sparsity"] if gated else info["dense_sparsity"]
    original, zeros = info["dense_origin_params"], 0
    if "dense_nonzero_params" in info:  # Zeros of kernels count for the sparsity, and are stored.
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
    """Returns task, metric and scores; `selected` is what a choice among runs goes by."""
    scores = info.get("scores")
    if not scores:
        return {"score": None}
    task = registry.get(**info["task"])
    first = next(iter(scores))
    reported = next((split for split in scores if split != "holdout"), first)
    return {
        "task": task.name,
        "metric": task.primary_metric,
        "score": scores[reported][task.primary_metric],
        "reported": reported,
        "selected": scores[first][task.primary_metric],
        "scores": scores,
        "step": info["step"],
    }


def _times(folder):
    """Returns the seconds that `eval_results.txt` states; a run of before has none."""
    with open(os.path.join(folder, sweep.DONE_FILES["finetune"]), encoding="utf-8") as file:
        lines = dict(line.split(" = ") for line in file)
    names = ("train_time", "eval_time")
    return {name: float(lines[name]) for name in names if name in lines}
