"""What a training set says of its classes, so that nobody trains on one that was not meant."""

import collections
import math

import numpy as np
from absl import logging

# Classes that a line names.
_MOST = 20


def report(file, labels, classes):
    """Logs the classes of a training set with their counts, and warns of what looks like a mistake.

    Mistakes are a class of one example, more classes than a tenth of the examples, and classes
    that differ by case, blanks or the form of a number alone.

    Args:
      file: name of the training set.
      labels: K names of classes, strings.
      classes: `[N]` int, the index of the class of each example.
    """
    counts = np.bincount(classes, minlength=len(labels)).tolist()
    _report_counts(file, labels, counts, len(classes))
    if len(labels) > max(2, len(classes) / 10):
        logging.warning(
            "%s has %d classes in %d examples; if its labels are numbers, pass "
            "--label_type=number.",
            file,
            len(labels),
            len(classes),
        )


def report_labels(file, labels, given):
    """Logs the labels of a training set with their counts, and warns of likely mistakes.

    Mistakes are labels of one example or none, and those that look like one, see `report`.

    Args:
      file: name of the training set.
      labels: C names of labels, strings.
      given: `[N, C]`, 0 or 1, whether an example has each label.
    """
    counts = given.sum(axis=0).astype(int).tolist()
    _report_counts(file, labels, counts, len(given))
    if without := np.count_nonzero(~given.any(axis=1)):
        logging.info("%s has %s examples without a label.", file, f"{without:,}")
    if unused := [repr(label) for label, count in zip(labels, counts, strict=True) if not count]:
        logging.warning("%s has no example of the labels %s.", file, _listing(unused))


def _report_counts(file, labels, counts, num_examples):
    counted = list(zip(map(repr, labels), counts, strict=True))
    listed = _listing([f"{count:,} of {label}" for label, count in counted])
    logging.info("%s has %s examples: %s.", file, f"{num_examples:,}", listed)
    if single := [label for label, count in counted if count == 1]:
        logging.warning("%s has one example alone of the classes %s.", file, _listing(single))
    for group in _look_alikes(labels):
        logging.warning("%s has the classes %s, which look like one.", file, _listing(group))


def _look_alikes(labels):
    """Returns the lists of labels that are one as numbers or without case and blanks."""
    groups = collections.defaultdict(list)
    for label in labels:
        groups[_plain(label)].append(repr(label))
    return [group for group in groups.values() if len(group) > 1]


def _plain(label):
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return number if math.isfinite(number) else "".join(label.split()).casefold()


def _listing(parts):
    more = [f"{len(parts) - _MOST} more"] if len(parts) > _MOST else []
    return ", ".join([*parts[:_MOST], *more])
