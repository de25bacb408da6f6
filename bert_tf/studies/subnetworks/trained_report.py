"""The report on trained tickets, and the file that says which one is the super ticket."""

import os

from bert_tf.methods.tickets.ticket_file import SUPER_FILE
from bert_tf.studies.subnetworks import (
    damaged_runs,
    majority_baseline,
    phase_curves,
    subnetwork_table,
    ticket_runs,
    tickets_report,
)
from flop_tf import files


def write(folder):
    """Writes `tickets.md`, `.json` and `.html`, and `super_ticket.json` where winning ones are.

    Paths in `super_ticket.json` are relative to it.

    Args:
      folder: of flop-train-tickets.

    Returns:
      The tables as Markdown, or None where no run has a score yet.

    Raises:
      ValueError: if two runs are of the same thing.
      OSError: if a file cannot be written.
    """
    damaged = damaged_runs.find([folder])
    rows = ticket_runs.read(folder, without=[row["run"] for row in damaged])
    if not rows:
        return None
    report = tickets_report.gather({}, **scores(rows, folder), damaged=damaged)
    found = {
        task: {"metric": report["metrics"][task], **ticket_runs.super_ticket(best, rows)}
        for task, best in report["super_tickets"].items()
    }
    if found:
        files.write_json(os.path.join(folder, SUPER_FILE), found)
    return tickets_report.write(report, folder)


def scores(rows, folder):
    """Returns what `tickets_report.gather` takes of the scores below a folder, a dict.

    Args:
      rows: what `ticket_runs.read` returns.
      folder: that the rows are of.
    """
    whole = [row["run"] for row in rows if row["kind"] == phase_curves.DENSE]
    return {
        "points": ticket_runs.points(rows),
        "subnetworks": subnetwork_table.means(rows),
        "baselines": majority_baseline.of_models(os.path.join(folder, run) for run in whole),
        "metrics": {row["task"]: row["metric"] for row in rows},
    }
