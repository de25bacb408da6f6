"""Gathers a folder of runs: the best of each task, means over seeds, size, latency and ranks.

Everything is plain data here; `bert_tf.studies.sweeps.report_page` makes Markdown and HTML of it.
"""

import os
import statistics

from bert_tf import timing
from bert_tf.studies.sweeps import run_results, sweep_state

# Flags that say where a run is and which seed it has: runs that differ in no others are the same
# experiment.
_PLACES = {
    *("output_dir", "output_folder_dir", "init_checkpoint", "checkpoint", "teacher"),
    *("made_from", "seed"),
}
# Shown beside the metric that decides.
_BESIDE = {"f1_score": "eval_accuracy", "pearson": "spearmanr"}


def gather(folder):
    """Reads all runs below a folder.

    Args:
      folder: of `flop-sweep`, or any other that holds runs.

    Returns:
      Dict, what `report.json` holds:
        `runs`: path, program and state of each run and damaged sweep, and the reason where it is
          not finished;
        `results`: task, score, settings, size and latency of each run that was scored;
        `best`: the best result of each task, stage and asked sparsity;
        `seeds`: mean, sample standard deviation (n - 1) and number of the results of one command;
        `ranks`: of the best compact model of each task and sparsity, `[layers, projections]`;
        `environments`: devices and versions of sweeps and benchmarks.

    Raises:
      ValueError: if the folder does not exist or holds no runs.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"The folder of runs {str(folder)!r} does not exist.")
    folder = os.path.abspath(folder)
    runs = {path: run_results.read(path) for path in run_results.find(folder)}
    sweeps, damaged = _sweeps(folder)
    states = [*damaged, *_states(runs, sweeps, folder)]
    if not states:
        raise ValueError(
            f"The folder {folder!r} holds no runs: no run.flags lies in it or in a folder below it."
        )
    results = [
        _result(path, runs, folder) for path, run in runs.items() if run.get("score") is not None
    ]
    results.sort(
        key=lambda r: (r["task"], run_results.STAGES.index(r["stage"]), r["asked"], r["run"])
    )
    best = _best(results)
    return {
        "folder": folder,
        "runs": states,
        "results": results,
        "best": best,
        "seeds": _seeds(results, runs, folder),
        "ranks": _ranks(best, runs, folder),
        "environments": _environments(runs, sweeps, folder),
    }


def _sweeps(folder):
    """Returns the states of sweeps by folder, and a row for each that is damaged."""
    sweeps, damaged = {}, []
    for path in sweep_state.find(folder):
        try:
            sweeps[path] = sweep_state.read(path)
        except (OSError, ValueError) as error:
            name = os.path.relpath(os.path.join(path, sweep_state.STATE_FILE), folder)
            row = {"run": name, "program": "sweep", "state": "damaged", "flags": {}}
            damaged.append({**row, "reason": str(error)})
    return sweeps, damaged


def _lineage(path, runs):
    """Returns a run and those that made the models it began with, the last first."""
    found = []
    while path in runs and path not in found:
        found.append(path)
        path = runs[path]["source"]
    return found


def _experiment(path, runs):
    """Returns what a run and those before it were asked for, whatever their seeds and places."""
    lineage = _lineage(path, runs)
    asked = [
        frozenset(
            (name, value) for name, value in runs[one]["flags"].items() if name not in _PLACES
        )
        for one in lineage
    ]
    taught = [bool(runs[one]["flags"].get("teacher")) for one in lineage]
    return (*asked, *taught, runs[lineage[-1]]["source"])


def _result(path, runs, folder):
    run = runs[path]
    # A model is known by the training of its gates, though its last training came after that.
    flags = [runs[one]["flags"] for one in _lineage(path, runs)]
    settings = next((each for each in flags if "target_sparsity" in each), run["flags"])
    asked = settings.get("target_sparsity", round(run["sparsity"], 2))
    trained = run["flags"].get("do_train") != "false" and "learning_rate" in settings
    return {
        "run": os.path.relpath(path, folder),
        "task": run["task"],
        "stage": run["stage"],
        "metric": run["metric"],
        "score": run["score"],
        "selected": run["selected"],
        "scores": run["scores"],
        "beside": _beside(run),
        "learning_rate": float(settings["learning_rate"]) if trained else None,
        "seed": int(run["flags"].get("seed", 0)),
        "asked": float(asked),
        "sparsity": run["sparsity"],
        "parameters": run["parameters"],
        "train_time": run.get("train_time"),
        "eval_time": run.get("eval_time"),
        "latency": [
            row for other in runs.values() for row in other.get("latencies", {}).get(path, [])
        ],
    }


def _beside(run):
    """Returns what else is published of a task, by name: other dev splits, other metrics."""
    scores, reported = run["scores"], run["reported"]
    others = [split for split in scores if split not in ("holdout", reported)]
    found = {split: scores[split][run["metric"]] for split in others}
    name = _BESIDE.get(run["metric"])
    if name in scores[reported]:
        found[name] = scores[reported][name]
    return found


def _best(results):
    """Returns the best result of each task, stage and asked sparsity.

    The choice goes by held-out examples where a run has them, else by the dev set.
    """
    found = {}
    for result in results:
        key = result["task"], result["stage"], result["asked"]
        if key not in found or result["selected"] > found[key]["selected"]:
            found[key] = result
    return list(found.values())


def _seeds(results, runs, folder):
    groups = {}
    for result in results:
        groups.setdefault(_experiment(os.path.join(folder, result["run"]), runs), []).append(result)
    rows = []
    for group in groups.values():
        scores = [result["score"] for result in group]
        shared = ("task", "stage", "asked", "learning_rate", "metric")
        rows.append(
            {
                **{name: group[0][name] for name in shared},
                "mean": statistics.mean(scores),
                "deviation": statistics.stdev(scores) if len(scores) > 1 else None,
                "seeds": [result["seed"] for result in group],
                "runs": [result["run"] for result in group],
            }
        )
    return rows


def _ranks(best, runs, folder):
    found = []
    for result in best:
        ranks = runs[os.path.join(folder, result["run"])]["ranks"]
        if ranks and any(rank is not None for row in ranks for rank in row):
            found.append({**{k: result[k] for k in ("task", "asked", "run")}, "ranks": ranks})
    return found


def _states(runs, sweeps, folder):
    """Returns a row for each run, those included that a sweep has started and that left nothing."""
    rows = {}
    for path, run in runs.items():
        shown = {name: run[name] for name in ("program", "state", "flags")}
        rows[path] = {"run": os.path.relpath(path, folder), **shown, "reason": run.get("reason")}
    for place, state in sweeps.items():
        for name, entry in state["runs"].items():
            path = os.path.normpath(os.path.join(place, name))
            if entry["state"] == "failed" and rows.get(path, {}).get("state") != "finished":
                empty = {"run": os.path.relpath(path, folder), "program": None, "flags": {}}
                row = rows.get(path, empty)
                rows[path] = {**row, "state": "failed", "reason": entry.get("error")}
    return [rows[path] for path in sorted(rows)]


def _environments(runs, sweeps, folder):
    """Returns each environment once, with the first run or sweep that was made in it."""
    places = [(path, state["environment"]) for path, state in sweeps.items()]
    places += [(path, run.get("environment")) for path, run in runs.items()]
    found = []
    for path, environment in places:
        if environment and environment not in [known for _, known in found]:
            found.append((os.path.relpath(path, folder), environment))
    if not found:
        found.append(("this report", timing.environment()))
    return [{"source": source, **environment} for source, environment in found]
