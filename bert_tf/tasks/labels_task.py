"""Several labels for a text or a pair of texts, each of which holds or not. C labels, N examples.

A label holds where its probability is at least its threshold. Thresholds are chosen on the split
that decides, so that its own scores are a little too good; held-out examples leave dev untouched.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from absl import logging
from scipy import special
from sklearn import metrics as sklearn_metrics

from bert_tf.tasks import class_counts, metrics
from bert_tf.tasks.text_task import TextTask

#: Between the labels of an answer for people.
JOINED = ", "

# Of a label without a threshold of its own.
_MIDDLE = 0.5
# What a column of one label holds in lower case, as JSON, pandas and spreadsheets write it.
_VALUES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


@dataclasses.dataclass(frozen=True)
class LabelsTask(TextTask):
    """Several labels for a text or a pair of texts.

    Args:
      separator: text between the labels in a cell, and in files of predictions.
      has_columns: whether each label has a column of its own, of 0 and 1; default is one cell.
      thresholds: of each label, C floats in [0, 1]; None chooses them by `tuned`.
    """

    primary_metric: str = "f1_micro"
    separator: str = ","
    has_columns: bool = False
    thresholds: tuple | None = None

    has_single_answer = False
    metrics = (
        *("f1_micro", "f1_macro", "precision_micro", "recall_micro"),
        *("precision_macro", "recall_macro", "subset_accuracy"),
    )

    @property
    def head(self):
        """A head of C labels, as fields of `EncoderConfig`."""
        return {"head": "labels", "num_labels": self.num_outputs}

    @property
    def least_probabilities(self):
        """The thresholds, .5 where there are none, see `Task`."""
        return self.thresholds or (_MIDDLE,) * len(self.labels)

    def to_dict(self):
        """Returns plain data with the thresholds, see `TextTask`."""
        known = {} if self.thresholds is None else {"label_thresholds": list(self.thresholds)}
        return {**super().to_dict(), **known}

    def tuned(self, logits, encoded):
        """Returns the task with the thresholds of best F1, unless it has some; see `Task`."""
        if self.thresholds is not None:
            return self
        pairs = zip(_probabilities(logits).T, np.asarray(encoded.labels).T, strict=True)
        return dataclasses.replace(self, thresholds=tuple(best_threshold(*pair) for pair in pairs))

    def tuned_as(self, info):
        """Returns the task with the thresholds of a model, by the names of labels; see `Task`."""
        stored = info.get("task", {})
        names, thresholds = (stored.get(key) or () for key in ("labels", "label_thresholds"))
        known = dict(zip(names, thresholds, strict=False))
        if not known:
            return self
        found = tuple(known.get(label, _MIDDLE) for label in self.labels)
        return dataclasses.replace(self, thresholds=found)

    def decided(self, logits, encoded=None):
        """Returns which labels hold, bool `[N, C]`."""
        return _probabilities(logits) >= self.least_probabilities

    def score(self, logits, encoded):
        """Returns `eval_loss`, the mean binary cross-entropy, and the metrics, a dict of floats.

        Micro counts all labels of all examples together, macro is the mean over labels, where a
        label that neither holds nor is predicted counts 0. Subset accuracy is the share of examples
        whose labels are all right.
        """
        labels = np.asarray(encoded.labels)
        logits = metrics.checked(self, logits, labels)
        given, scores = self.decided(logits), {}
        scores["eval_loss"] = float((np.logaddexp(0, logits) - labels * logits).mean())
        for average in ("micro", "macro"):
            precision, recall, f1_score, _ = sklearn_metrics.precision_recall_fscore_support(
                labels, given, average=average, zero_division=0.0
            )
            scores[f"f1_{average}"] = float(f1_score)
            scores[f"precision_{average}"] = float(precision)
            scores[f"recall_{average}"] = float(recall)
        scores["subset_accuracy"] = float(sklearn_metrics.accuracy_score(labels, given))
        return scores

    def by_label(self, logits, encoded):
        """Returns the scores of each label, see `Task`."""
        return metrics.by_class(self.labels, self.decided(logits), encoded.labels)

    def compared(self, examples, answers, other, other_answers):
        """Returns which sets of labels differ, see `Task`.

        The distance is the mean over labels of the absolute difference of the probabilities.
        """
        (logits, _), (other_logits, _) = answers, other_answers
        sets = examples.labels > 0, self.decided(logits), other.decided(other_logits)
        difference = np.abs(_probabilities(logits) - _probabilities(other_logits)).mean(axis=1)
        shown = [self._joined(one, JOINED) for one in sets]
        return (sets[1] != sets[2]).any(axis=1), difference, shown

    def texts_of(self, logits):
        """Returns the labels of each answer, as in files of data."""
        return self._joined(self.decided(logits), self.separator)

    def answers(self, outputs, vocab):
        """Adds the labels that hold, `labels [B]`, texts with `JOINED` between them."""
        names = tf.broadcast_to(tf.constant(self.labels), tf.shape(outputs["probabilities"]))
        hold = outputs["probabilities"] >= tf.constant(self.least_probabilities, tf.float32)
        held = tf.ragged.boolean_mask(names, hold)
        return {**outputs, "labels": tf.strings.reduce_join(held, axis=1, separator=JOINED)}

    def _joined(self, sets, separator):
        """Returns the names of the labels in each row of bool `[N, C]`, N texts."""
        return [separator.join(np.array(self.labels, object)[row]) for row in sets]

    def _report(self, path, labels, split):
        if split == "train":
            class_counts.report_labels(path, self.labels, labels)
        elif not labels.any():
            logging.warning("%s: no example has a label; all scores of labels are 0.", path)

    def _parse(self, labels, line_numbers, path):
        """Turns cells, or tuples of them, into float32 `[N, C]` of 0 and 1."""
        found = np.zeros([len(labels), len(self.labels)], np.float32)
        for row, (given, number) in enumerate(zip(labels, line_numbers, strict=True)):
            if self.has_columns:
                found[row] = self._of_columns(given, number, path)
            else:
                found[row, self._of_cell(given, number, path)] = 1
        return found

    def _of_columns(self, cells, number, path):
        for cell in cells:
            if cell.strip().lower() not in _VALUES:
                expected = f"0 or 1 in each of the columns {self._listing}"
                raise self._refused(path, expected, cell, number)
        return [_VALUES[cell.strip().lower()] for cell in cells]

    def _of_cell(self, cell, number, path):
        names = split(cell, self.separator)
        if len(set(names)) < len(names) or not set(names) <= set(self.labels):
            expected = f"some of {self._listing}, each once with {self.separator!r} between them,"
            raise self._refused(path, expected, cell, number)
        return [self.labels.index(name) for name in names]


def split(cell, separator):
    """Returns the labels in a cell without blanks around them, a list; [] of an empty cell.

    Args:
      cell: the text, or a tuple of labels.
      separator: text between labels.
    """
    names = cell
    if isinstance(cell, str):
        names = cell.split(separator) if cell.strip() else ()
    return [name.strip() for name in names]


def best_threshold(probabilities, labels):
    """Returns the threshold of one label at which F1 is best, in [0, 1].

    It lies halfway between two probabilities, and is .5 where that is as good, or where the label
    never holds.

    Args:
      probabilities: `[N]`, floats in [0, 1].
      labels: `[N]`, 0 or 1.
    """
    if not labels.any():
        return _MIDDLE
    precision, recall, highest = sklearn_metrics.precision_recall_curve(labels, probabilities)
    total = precision + recall
    f1_scores = np.divide(2 * precision * recall, total, np.zeros_like(total), where=total > 0)[:-1]
    # From the highest threshold at which nothing changes down to the next probability.
    lowest = np.append(0.0, highest[:-1])
    best = np.flatnonzero(f1_scores == f1_scores.max())
    if ((lowest[best] < _MIDDLE) & (highest[best] >= _MIDDLE)).any():
        return _MIDDLE
    middles = (lowest[best] + highest[best]) / 2
    return float(middles[np.argmin(np.abs(middles - _MIDDLE))])


def _probabilities(logits):
    return special.expit(np.asarray(logits, np.float64))
