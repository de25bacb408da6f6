"""Predictions in the format of a GLUE submission."""

import csv
import io
import os

import numpy as np

from flop_tf import files


def write(task, split, ids, logits, directory):
    """Writes a tab-separated file with the header `index`, `prediction`.

    Answers are written as the task's texts, quoted where they hold quotes or tabs. The file is
    written aside and renamed.

    Args:
      task: `bert_tf.tasks.text_task.TextTask`.
      split: for example "test"; a test split gets the name of a submission
        ("SST-2.tsv", "MNLI-mm.tsv"), another one gets its own ("SST-2.dev.tsv").
      ids: N strings, `Examples.ids`.
      logits: `[N, num_outputs]`.
      directory: where to write; made if it does not exist.

    Returns:
      Path of the file.

    Raises:
      ValueError: if the shapes do not fit.
    """
    logits = np.asarray(logits)
    if logits.shape != (len(ids), task.num_outputs):
        raise ValueError(
            f"Argument `logits` must have the shape {(len(ids), task.num_outputs)}, "
            f"received {logits.shape}."
        )
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerows([("index", "prediction"), *zip(ids, task.texts_of(logits), strict=True)])
    name = dict(task.prediction_files).get(split, f"{task.name}.{split}.tsv")
    path = os.path.join(directory, name)
    files.write_text(path, table.getvalue())
    return path
