"""Gathers a folder of runs: the best of each task, means over seeds, size, latency and ranks.

Everything is plain data here; `bert_tf.studies.sweeps.report_page` makes Markdown and HTML of it.
"""

import os
import statistics

from bert_tf import timing
from bert_tf.studies.sweeps import run_results, sweep_state

# Flags that name the folders and the seed of a run: runs that differ in no others are the same
# experiment.
_PLACES = {
    *("output_dir", "output_folder_dir", "init_checkpoint", "checkpoint", "teacher"),
    *("made_from", "seed"),
}
# Shown next to the metric that decides.
_OTHER_METRICS = {"f1_score": "eval_accuracy", "pearson": "spearmanr"}


def gather(folder):
    """Reads all runs below a folder.

    Args:
      folder: of `flop-sweep`, or any other that holds runs.

    Returns:
      The content of `report.json`, a dict:
        `runs`: path, program and state of each run and damaged sweep, and the reason where it is
          not finished;
        `results`: task, score, settings, size and latency of each run that was scored;
        `best`: the best result of each task, stage and target sparsity;
        `seeds`: mean, sample standard deviation (n - 1) and number of the results of one command;
        `ranks`: of the best compact model of each task and sparsity, `[layers, projections]`;
        `environments`: devices and versions of sweeps and benchmarks.

    Raises:
      ValueError: if the folder does not exist or holds no runs.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"The folder of runs {str(folder)!r} does not exist.")
    folder = os.path.abspath(folder)
    runs = {
        path: {"run": os.path.relpath(path, folder), **run_results.read(path)}
        for path in run_results.find(folder)
    }
    sweeps, damaged = _sweeps(folder)
    states = [*damaged, *_states(runs, sweeps, folder)]
    if not states:
        raise ValueError(
            f"The folder {folder!r} holds no runs: no run.flags lies in it or in a folder below it."
        )
    scored = [(_result(p, runs), p) for p, run in runs.items() if run.get("score") is not None]
    results = {path: result for result, path in sorted(scored, key=lambda pair: _order(pair[0]))}
    best = _best(results)
    return {
        "folder": folder,
        "runs": states,
        "results": list(results.values()),
        "best": list(best.values()),
        "seeds": _seeds(results, runs),
        "ranks": _ranks(best, runs),
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
    """Returns a run and the runs that made the models it began with, the last first."""
    found = []
    while path in runs and path not in found:
        found.append(path)
        path = runs[path]["source"]
    return [runs[one] for one in found]


def _experiment(path, runs):
    """Returns the settings of a run and those before it, ignoring seed and folder."""
    lineage = _lineage(path, runs)
    settings = [
        frozenset(item for item in run["flags"].items() if item[0] not in _PLACES)
        for run in lineage
    ]
    taught = [bool(run["flags"].get("teacher")) for run in lineage]
    return (*settings, *taught, lineage[-1]["source"])


def _result(path, runs):
    run = runs[path]
    # A model is known by the training of its gates, though its last training came after that.
    flags = [one["flags"] for one in _lineage(path, runs)]
    settings = next((each for each in flags if "target_sparsity" in each), run["flags"])
    trained = run["flags"].get("do_train") != "false" and "learning_rate" in settings
    return {
        **{name: run[name] for name in ("run", "task", "stage", "metric", "score", "selected")},
        "scores": run["scores"],
        "other_scores": _other_scores(run),
        "learning_rate": float(settings["learning_rate"]) if trained else None,
        "seed": int(run["flags"].get("seed", 0)),
        "target": float(settings.get("target_sparsity", round(run["sparsity"], 2))),
        **{name: run.get(name) for name in ("sparsity", "parameters", "train_time", "eval_time")},
        "latency": [
            row for other in runs.values() for row in other.get("latencies", {}).get(path, [])
        ],
    }


def _order(result):
    stage = run_results.STAGES.index(result["stage"])
    return result["task"], stage, result["target"], result["run"]


def _other_scores(run):
    """Returns the other scores that are published for a task, by dev split or metric."""
    scores, reported = run["scores"], run["reported"]
    others = [split for split in scores if split not in ("holdout", reported)]
    found = {split: scores[split][run["metric"]] for split in others}
    name = _OTHER_METRICS.get(run["metric"])
    return found | ({name: scores[reported][name]} if name in scores[reported] else {})


def _best(results):
    """Returns the best result of each task, stage and target sparsity, by path.

    The choice goes by held-out examples where a run has them, else by the dev set.
    """
    found = {}
    for path, result in results.items():
        key = result["task"], result["stage"], result["target"]
        if key not in found or result["selected"] > results[found[key]]["selected"]:
            found[key] = path
    return {path: results[path] for path in found.values()}


def _seeds(results, runs):
    groups = {}
    for path, result in results.items():
        groups.setdefault(_experiment(path, runs), []).append(result)
    shared = ("task", "stage", "target", "learning_rate", "metric")
    rows = []
    for group in groups.values():
        scores = [result["score"] for result in group]
        row = {name: group[0][name] for name in shared}
        row["mean"] = statistics.mean(scores)
        row["deviation"] = statistics.stdev(scores) if len(scores) > 1 else None
        row["seeds"] = [result["seed"] for result in group]
        rows.append({**row, "runs": [result["run"] for result in group]})
    return rows


def _ranks(best, runs):
    found = []
    for path, result in best.items():
        ranks = runs[path]["ranks"]
        if ranks and any(rank is not None for row in ranks for rank in row):
            found.append({**{k: result[k] for k in ("task", "target", "run")}, "ranks": ranks})
    return found


def _states(runs, sweeps, folder):
    """Returns a row for each run, and for each that a sweep has started and that left nothing."""
    rows = {}
    for path, run in runs.items():
        shown = {name: run[name] for name in ("run", "program", "state", "flags")}
        rows[path] = {**shown, "reason": run.get("reason")}
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
    places = [(os.path.relpath(path, folder), s["environment"]) for path, s in sweeps.items()]
    places += [(run["run"], run.get("environment")) for run in runs.values()]
    found = []
    for source, environment in places:
        if environment and environment not in [known for _, known in found]:
            found.append((source, environment))
    found = found or [("this report", timing.environment())]
    return [{"source": source, **environment} for source, environment in found]
