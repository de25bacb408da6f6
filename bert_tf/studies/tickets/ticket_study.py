"""The reports of two programs: of trained tickets, and of the masks of several tasks and seeds."""

import os
import typing

from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.tickets import intersections
from bert_tf.methods.tickets.ticket_file import SUPER_FILE
from bert_tf.studies.masks import kept_units
from bert_tf.studies.tickets import (
    majority_baseline,
    ticket_files,
    ticket_runs,
    ticket_scores,
    tickets_report,
)
from flop_tf import files
from flop_tf.files import json_file
from flop_tf.files.json_file import Share


class _Patterns(typing.TypedDict):
    shares: dict[str, dict[str, Share]]


def report_trained(folder):
    """Writes the report on trained tickets, and `super_ticket.json` where there are winning ones.

    Paths in `super_ticket.json` are relative to it.

    Args:
      folder: of flop-train-tickets.

    Returns:
      The tables as Markdown, or None where no run has a score yet.

    Raises:
      ValueError: if two runs are of the same thing.
      OSError: if a file cannot be written.
    """
    damaged = ticket_files.damaged([folder])
    rows = ticket_runs.read(folder, without=[row["run"] for row in damaged])
    if not rows:
        return None
    dense = [os.path.join(folder, r["run"]) for r in rows if r["kind"] == ticket_scores.DENSE]
    report = tickets_report.gather({}, **scores(rows, dense), damaged=damaged)
    found = {
        task: {"metric": report["metrics"][task], **_with_files(best, rows)}
        for task, best in report["super_tickets"].items()
    }
    if found:
        files.write_json(os.path.join(folder, SUPER_FILE), found)
    return tickets_report.write(report, folder)


def study(folders, output_dir, method="lottery", name="good", patterns=(), seed=0):
    """Reports on tickets, and writes what the seeds of a task share as tickets of its own.

    Args:
      folders: of flop-find-tickets or flop-train-tickets.
      output_dir: for the files of `bert_tf.studies.tickets.tickets_report`, and for a folder
        for each task of several seeds with the tickets of `bert_tf.methods.tickets.intersections`.
      method: of the tickets.
      name: of the tickets.
      patterns: files of flop-attention-patterns whose shares are shown too.
      seed: int, of the bad and random tickets.

    Returns:
      The tables as Markdown.

    Raises:
      ValueError: if there are no such tickets that are not damaged, one is of another model, or a
        file of patterns is damaged.
      OSError: if a file cannot be written.
    """
    patterns = _patterns(patterns)
    damaged = ticket_files.damaged(folders)
    without = [row["run"] for row in damaged]
    selected = ticket_files.select(ticket_files.find(folders, without), method, name)
    selected, torn = ticket_files.sound_masks(selected)
    config = _config([ticket for seeds in selected.values() for ticket in seeds.values()])
    read = kept_units.weight_shares if method == "magnitude" else kept_units.unit_mask
    kept = {
        task: {seed: read(ticket["file"], config) for seed, ticket in seeds.items()}
        for task, seeds in selected.items()
    }
    # Agreement and overlap are of units; of weights there is the share that a unit keeps.
    masks = {} if method == "magnitude" else kept
    rows = ticket_runs.read(*folders, without=without)
    models = {task: next(iter(seeds.values()))["model_dir"] for task, seeds in selected.items()}
    report = tickets_report.gather(
        masks,
        **scores(rows, models.values()),
        kept=kept,
        config=config,
        patterns=patterns,
        damaged=[*damaged, *torn],
    )
    for task, by_seed in masks.items():
        if len(by_seed) > 1:
            about = {
                "task": {"name": task},
                "model_dir": models[task],
                "tickets_of": [ticket["file"] for ticket in selected[task].values()],
            }
            folder = os.path.join(output_dir, task)
            intersections.write(folder, config, by_seed, method, seed, **about)
    return tickets_report.write(report, output_dir)


def scores(rows, models=()):
    """Returns the arguments of `tickets_report.gather` that are scores, a dict.

    Args:
      rows: the result of `ticket_runs.read`.
      models: folders of dense models, for the scores of labels alone.
    """
    return {
        "points": ticket_scores.super_points(rows),
        "subnetworks": ticket_scores.subnetworks(rows),
        "baselines": majority_baseline.of_models(models),
        "metrics": {row["task"]: row["metric"] for row in rows},
    }


def _with_files(best, rows):
    """Returns a row of `ticket_scores.super_tickets` with mask, model and score by seed."""
    own = [row for row in rows if row["trained"]]
    for name in ("task", "kind", "level"):
        own = [row for row in own if row[name] == best[name]]
    seeds = {
        str(row["seed"]): {"mask": row["mask"], "model": row["run"], "score": row["score"]}
        for row in own
    }
    return {**best, "seeds": seeds}


def _config(tickets):
    """Returns the config of the first model that tickets were found in and that can be read."""
    errors = []
    for ticket in tickets:
        path = os.path.join(ticket["model_dir"], "bert_config.json")
        try:
            if os.path.isfile(path):
                return EncoderConfig.from_json_file(path)
            raise ValueError(
                f"The tickets in {ticket['folder']!r} were found in the model "
                f"{ticket['model_dir']!r}, which is not there any more; put it back."
            )
        except (OSError, ValueError) as error:
            errors.append(error)
    raise errors[0]


def _patterns(paths):
    """Returns the bars of all files together."""
    bars = {}
    for path in paths:
        beginning = f"The file {path!r} must be a patterns.json of flop-attention-patterns"
        data = json_file.read(path, typing.Any, "file of patterns")
        bars |= json_file.check(data, _Patterns, beginning)["shares"]
    return bars
