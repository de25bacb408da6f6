"""Everything that masks and scores of several tasks and seeds tell, as one report."""

import os
import typing

from bert_tf.encoders.config import BertConfig
from bert_tf.methods.tickets import intersections
from bert_tf.studies.subnetworks import (
    damaged_runs,
    kept_weights,
    majority_baseline,
    subnetwork_table,
    ticket_files,
    ticket_runs,
    tickets_report,
)
from flop_tf.files import json_file
from flop_tf.files.json_file import Share


class _Patterns(typing.TypedDict):
    shares: dict[str, dict[str, Share]]


def study(folders, output_dir, method="lottery", name="good", patterns=(), seed=0):
    """Reports on tickets, and writes what the seeds of a task share as tickets of its own.

    Args:
      folders: of flop-find-tickets or flop-train-tickets.
      output_dir: for the files of `bert_tf.studies.subnetworks.tickets_report`, and for a folder
        for each task of several seeds with the tickets of `bert_tf.methods.tickets.intersections`.
      method: of the tickets.
      name: of the tickets.
      patterns: files of flop-attention-patterns whose shares are shown too.
      seed: int, of what is drawn.

    Returns:
      The tables as Markdown.

    Raises:
      ValueError: if there are no such tickets that are not damaged, one is of another model, or a
        file of patterns is damaged.
      OSError: if a file cannot be written.
    """
    patterns = _patterns(patterns)
    damaged = damaged_runs.find(folders)
    without = [row["run"] for row in damaged]
    selected = ticket_files.select(ticket_files.find(folders, without), method, name)
    selected, damaged_masks = damaged_runs.sound_masks(selected)
    config = _config(selected)
    if method == "magnitude":
        # Agreement and overlap are of units; of weights there is the share that a unit keeps.
        masks, kept = {}, ticket_files.load(selected, config, kept_weights.shares)
    else:
        masks = kept = ticket_files.load(selected, config)
    rows = ticket_runs.read(*folders, without=without)
    models = [_first(seeds)["model_dir"] for seeds in selected.values()]
    report = tickets_report.gather(
        masks,
        ticket_runs.points(rows),
        kept=kept,
        config=config,
        baselines=majority_baseline.of_models(models),
        patterns=patterns,
        metrics={row["task"]: row["metric"] for row in rows},
        subnetworks=subnetwork_table.means(rows),
        damaged=[*damaged, *damaged_masks],
    )
    for task, by_seed in masks.items():
        if len(by_seed) > 1:
            about = {
                "task": {"name": task},
                "model_dir": _first(selected[task])["model_dir"],
                "tickets_of": [ticket["file"] for ticket in selected[task].values()],
            }
            folder = os.path.join(output_dir, task)
            intersections.write(folder, config, by_seed, method, seed, **about)
    return tickets_report.write(report, output_dir)


def _first(seeds):
    return next(iter(seeds.values()))


def _config(selected):
    """Returns the config of the first model that tickets were found in and that can be read."""
    errors = []
    for ticket in (ticket for seeds in selected.values() for ticket in seeds.values()):
        try:
            return _config_of(ticket)
        except (OSError, ValueError) as error:
            errors.append(error)
    raise errors[0]


def _config_of(ticket):
    path = os.path.join(ticket["model_dir"], "bert_config.json")
    if not os.path.isfile(path):
        raise ValueError(
            f"The tickets in {ticket['folder']!r} were found in the model {ticket['model_dir']!r}, "
            "which is not there any more; put it back."
        )
    return BertConfig.from_json_file(path)


def _patterns(paths):
    """Returns the bars of all files together."""
    bars = {}
    for path in paths:
        beginning = f"The file {path!r} must be a patterns.json of flop-attention-patterns"
        data = json_file.read(path, typing.Any, "file of patterns")
        bars |= json_file.check(data, _Patterns, beginning)["shares"]
    return bars
