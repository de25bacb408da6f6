"""The score of labels alone: of the most frequent class, or of random numbers."""

import os

import numpy as np
from absl import logging
from scipy import stats
from sklearn import dummy

from bert_tf.checkpoints import model_dir
from bert_tf.tasks import metrics, model_task


def majority_baseline(task, labels, seed=0):
    """Scores the most frequent class of labels, or draws of a normal distribution fitted to them.

    Args:
      task: a `bert_tf.tasks.text_task.TextTask`.
      labels: `[N]`, the labels of the dev set.
      seed: int, of the draws.

    Returns:
      Dict of float by the names in `task.metrics`.

    Raises:
      ValueError: if the task is of another kind or there are no labels.
    """
    if not task.has_single_answer:
        raise ValueError(
            f"Argument `task` must have a class or a number as a label, received {task.name!r}."
        )
    labels = np.asarray(labels)
    if not labels.size:
        raise ValueError("Argument `labels` must have at least one entry, received none.")
    if task.is_regression:
        mean, deviation = stats.norm.fit(labels)
        draws = stats.norm.rvs(mean, deviation, size=len(labels), random_state=seed)
        return metrics.score(task, draws[:, np.newaxis], labels)
    nothing = np.zeros([len(labels), 1])
    found = dummy.DummyClassifier(strategy="most_frequent").fit(nothing, labels).predict(nothing)
    return metrics.score(task, np.eye(task.num_outputs)[found], labels)


def of_models(folders):
    """Returns the score of labels alone on the dev set of the tasks of models, a dict by task.

    Models that know no task, tasks of another kind, and those whose data are not where the training
    had them are left out; so are damaged models, with a warning.

    Args:
      folders: model directories.
    """
    found = {}
    for folder in folders:
        try:
            info = model_dir.load_info(folder)
            task, data_dir = model_task.find_task(info) if "task" in info else (None, "")
            if task is None or not task.has_single_answer or task.name in found:
                continue
            if os.path.isdir(data_dir):
                labels = task.read(data_dir, task.dev_splits[0]).labels
                found[task.name] = majority_baseline(task, labels)[task.primary_metric]
        except (OSError, ValueError) as error:
            logging.warning("No score of labels alone for %s: %s", folder, error)
    return found
