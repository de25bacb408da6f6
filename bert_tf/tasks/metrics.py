"""Scores of predictions, computed by scikit-learn and SciPy."""

import warnings

import numpy as np
from scipy import special, stats
from sklearn import metrics


def score(task, logits, labels):
    """Scores logits against labels.

    Precision, recall and F1 are of class 1 for two classes, else the mean over
    classes (macro). A score that the predictions leave undefined, such as the
    correlation of a constant, is 0.

    Args:
      task: `bert_tf.tasks.text_task.TextTask`.
      logits: `[N, num_outputs]`, floats.
      labels: `[N]`, classes or scores.

    Returns:
      Dict of float by the names in `task.metrics`.

    Raises:
      ValueError: if the shapes do not fit or a logit is not a finite number.
    """
    labels = np.asarray(labels)
    logits = checked(task, logits, labels)
    if task.is_regression:
        return regression(logits[:, 0], labels.astype(np.float64))
    return _classification(logits.argmax(axis=1), labels, len(task.labels))


def checked(task, logits, labels):
    """Returns the logits as float64 `[N, num_outputs]`.

    Args:
      task: `bert_tf.tasks.text_task.TextTask`.
      logits: a row for each label, floats.
      labels: `[N, ...]`.

    Raises:
      ValueError: if the shapes do not fit or a logit is not a finite number.
    """
    logits = np.asarray(logits, np.float64)
    if logits.shape != (len(labels), task.num_outputs) or not len(labels):
        raise ValueError(
            f"Argument `logits` must have the shape {(len(labels), task.num_outputs)}, a row "
            f"for each label and at least one, received {logits.shape}."
        )
    check_finite(logits)
    return logits


def by_class(names, decided, labels):
    """Returns the scores of each class, undefined ones as 0.

    Args:
      names: of the classes.
      decided: `[N]`, classes as int, or `[N, C]`, whether each label holds.
      labels: the same of the examples.

    Returns:
      For each class, in the order of the names, a dict of its name as `label`, its `examples` and
      its `precision`, `recall` and `f1_score`.
    """
    found = metrics.precision_recall_fscore_support(
        labels, decided, labels=np.arange(len(names)), zero_division=0.0
    )
    return [
        {
            "label": name,
            "examples": int(support),
            "precision": float(precision),
            "recall": float(recall),
            "f1_score": float(f1_score),
        }
        for name, precision, recall, f1_score, support in zip(names, *found, strict=True)
    ]


def loss(task, logits, labels):
    """Returns the mean loss, a float: squared error or cross-entropy.

    Args:
      task: `bert_tf.tasks.text_task.TextTask`.
      logits: `[N, num_outputs]`, floats.
      labels: `[N]`, classes or scores.
    """
    if task.is_regression:
        return float(metrics.mean_squared_error(labels, logits[:, 0]))
    return cross_entropy(logits, labels)


def cross_entropy(logits, labels):
    """Returns the mean cross-entropy, a float.

    Args:
      logits: `[..., C]`, floats.
      labels: `[...]`, classes as int.
    """
    log_probabilities = special.log_softmax(logits.astype(np.float64), axis=-1)
    return float(-np.take_along_axis(log_probabilities, labels[..., np.newaxis], -1).mean())


def check_finite(logits):
    """Raises ValueError if a logit is not a finite number.

    Args:
      logits: floats of any shape.
    """
    if not np.isfinite(logits).all():
        raise ValueError(
            "Argument `logits` must be finite, received NaN or infinity, as of a model that has "
            "diverged; train it anew, in float32 or with a lower learning rate."
        )


def regression(predictions, labels):
    """Returns the correlations and the mean squared error of one number, a dict of floats.

    Args:
      predictions: `[N]`, floats.
      labels: `[N]`, floats.
    """
    with warnings.catch_warnings():
        # A constant has no correlation, which `nan_to_num` turns into 0.
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        if len(labels) < 2:
            pearson = spearman = 0.0
        else:
            pearson = np.nan_to_num(stats.pearsonr(predictions, labels).statistic)
            spearman = np.nan_to_num(stats.spearmanr(predictions, labels).statistic)
    return {
        "pearson": float(pearson),
        "spearmanr": float(spearman),
        "mse": float(metrics.mean_squared_error(labels, predictions)),
    }


def _classification(predictions, labels, num_classes):
    average = "binary" if num_classes == 2 else "macro"
    precision, recall, f1_score, _ = metrics.precision_recall_fscore_support(
        labels,
        predictions,
        labels=None if num_classes == 2 else np.arange(num_classes),
        average=average,
        zero_division=0.0,
    )
    with warnings.catch_warnings():
        # The coefficient of one class is 0 and need not be announced.
        warnings.simplefilter("ignore")
        matthews = metrics.matthews_corrcoef(labels, predictions)
    return {
        "eval_accuracy": float(metrics.accuracy_score(labels, predictions)),
        "precision": float(precision),
        "recall": float(recall),
        "f1_score": float(f1_score),
        "matthews_corrcoef": float(matthews),
    }
