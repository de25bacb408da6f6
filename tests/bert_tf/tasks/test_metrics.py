"""Tests of bert_tf.tasks.metrics and its agreement with the tasks."""

import math
import warnings

import numpy as np
import pytest

from bert_tf.tasks import metrics, registry

MNLI = registry.get("mnli")
SST = registry.get("sst-2")
STS = registry.get("sts-b")


def one_hot(classes, num_classes):
    return np.eye(num_classes)[classes]


def test_binary_scores_are_of_class_one():
    # True positives 2, false positives 1, false negatives 1, true negatives 4.
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    scores = metrics.score(SST, one_hot([1, 1, 0, 1, 0, 0, 0, 0], 2), labels)
    assert tuple(scores) == SST.metrics
    assert scores["eval_accuracy"] == pytest.approx(6 / 8)
    assert scores["precision"] == scores["recall"] == scores["f1_score"] == pytest.approx(2 / 3)
    assert scores["matthews_corrcoef"] == pytest.approx((2 * 4 - 1) / math.sqrt(3 * 3 * 5 * 5))


def test_three_classes_are_averaged():
    scores = metrics.score(MNLI, one_hot([0, 0, 1, 1], 3), np.array([0, 1, 1, 1]))
    assert scores["eval_accuracy"] == pytest.approx(3 / 4)
    assert scores["precision"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert scores["recall"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert scores["f1_score"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_scores_by_class():
    # Of class 0 one of two predictions is right, of class 1 both are, class 2 is never predicted.
    found = metrics.by_class(MNLI.labels, np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    assert [row.pop("label") for row in found] == ["contradiction", "entailment", "neutral"]
    assert found == [
        {"examples": 1, "precision": 0.5, "recall": 1.0, "f1_score": pytest.approx(2 / 3)},
        {"examples": 3, "precision": 1.0, "recall": pytest.approx(2 / 3), "f1_score": 0.8},
        {"examples": 0, "precision": 0.0, "recall": 0.0, "f1_score": 0.0},
    ]


def test_regression():
    scores = metrics.score(STS, np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 3.0, 4.0]))
    assert tuple(scores) == STS.metrics
    assert scores["spearmanr"] == pytest.approx(1.0)
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 4], [1, 3, 4])[0, 1])
    assert scores["mse"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "task, logits, labels",
    [
        (SST, one_hot([0, 0], 2), [0, 0]),
        (SST, one_hot([0, 0], 2), [1, 0]),
        (SST, one_hot([1, 1], 2), [0, 0]),
        (MNLI, one_hot([2], 3), [2]),
        (STS, np.ones((3, 1)), [1.0, 2.0, 3.0]),
        (STS, np.full((3, 1), 0.1) + 1e-17, [1.0, 2.0, 3.0]),
        (STS, np.array([[1.0], [2.0]]), [3.0, 3.0]),
        (STS, np.array([[1.0]]), [3.0]),
    ],
)
def test_constants_have_defined_scores_and_no_warnings(task, logits, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.score(task, logits, np.array(labels))
    assert all(type(value) is float and math.isfinite(value) for value in scores.values())
    for name in ("matthews_corrcoef", "pearson", "spearmanr"):
        assert scores.get(name, 0.0) == 0.0


@pytest.mark.parametrize(
    "logits, message",
    [
        (np.zeros((2, 3)), r"must have the shape \(2, 2\), .* received \(2, 3\)"),
        (np.zeros((0, 2)), r"received \(0, 2\)"),
        (np.array([[0, np.nan], [0, 0]]), "must be finite"),
    ],
)
def test_bad_logits(logits, message):
    with pytest.raises(ValueError, match=message):
        metrics.score(SST, logits, np.array([0, 1]))


def test_no_examples():
    with pytest.raises(ValueError, match="at least one"):
        metrics.score(SST, np.zeros((0, 2)), np.array([]))
