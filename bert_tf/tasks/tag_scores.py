"""Scores of the tags of words: entities by seqeval, plain tags by scikit-learn."""

import itertools

import numpy as np
from seqeval.metrics import sequence_labeling
from sklearn import metrics as sklearn_metrics

from bert_tf.tasks import metrics, tag_schemes

#: Names of the scores.
METRICS = ("precision", "recall", "f1", "eval_accuracy")


def score(tags, sentences, predictions):
    """Returns the scores of entities, or of plain tags, a dict of floats by `METRICS`.

    An entity is right if its type, its first and its last word are. Precision, recall and F1 count
    all entities (micro). This is seqeval's default mode, which gives the numbers of CoNLL's own
    program: an I- without a B- before it begins an entity. Its strict mode, in which such a
    prediction is no entity at all, is not used.

    Of plain tags they are the means over the tags that occur (macro). Accuracy counts words.
    A score that is undefined is 0.

    Args:
      tags: all tags of the task, texts.
      sentences: for each sentence the list of its tags.
      predictions: the same, of a model.
    """
    flat, given = (list(itertools.chain(*found)) for found in (sentences, predictions))
    right = [one == other for one, other in zip(flat, given, strict=True)]
    if tag_schemes.types(tags):
        parts = sequence_labeling.precision_recall_fscore_support(
            sentences, predictions, average="micro", zero_division=0
        )
    else:
        parts = sklearn_metrics.precision_recall_fscore_support(
            flat, given, average="macro", zero_division=0.0
        )
    found = dict(zip(METRICS, map(float, parts[:3]), strict=False))
    return {**found, "eval_accuracy": float(np.mean(right)) if right else 0.0}


def by_class(tags, sentences, predictions):
    """Returns the scores of each type of entity, or of each plain tag.

    Args:
      tags: see `score`; so the others.
      sentences: see above.
      predictions: see above.

    Returns:
      As `bert_tf.tasks.metrics.by_class`.
    """
    types = tag_schemes.types(tags)
    if not types:
        numbers = {tag: number for number, tag in enumerate(tags)}
        flat = (
            np.array([numbers[tag] for tag in itertools.chain(*found)], np.int32)
            for found in (predictions, sentences)
        )
        return metrics.by_class(tags, *flat)
    entities = map(sequence_labeling.get_entities, (sentences, predictions))
    present = sorted({name for name, *_ in itertools.chain(*entities)})
    parts = sequence_labeling.precision_recall_fscore_support(
        sentences, predictions, average=None, zero_division=0
    )
    found = dict(zip(present, zip(*parts, strict=True), strict=True))
    return [
        {
            "label": name,
            "examples": int(examples),
            "precision": float(precision),
            "recall": float(recall),
            "f1_score": float(f1_score),
        }
        for name in types
        for precision, recall, f1_score, examples in [found.get(name, (0, 0, 0, 0))]
    ]
