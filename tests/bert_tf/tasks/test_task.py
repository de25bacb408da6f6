"""Tests of bert_tf.tasks.task: what a task of texts makes of logits."""

import numpy as np
import pytest

from bert_tf.data.examples import Examples
from bert_tf.tasks import registry


def labelled(*labels):
    names = [str(i) for i in range(len(labels))]
    return Examples(names, None, np.array(labels), names)


def test_loss_of_classes():
    logits = np.array([[0.0, 0.0], [0.0, np.log(3.0)]], np.float32)
    scores = registry.get("sst-2").score(logits, labelled(1, 1))
    assert scores["eval_loss"] == pytest.approx((np.log(2) + np.log(4 / 3)) / 2, rel=1e-5)
    assert scores["eval_accuracy"] == 0.5


def test_loss_of_a_regression():
    logits = np.array([[1.0], [3.0]], np.float32)
    scores = registry.get("sts-b").score(logits, labelled(1.0, 5.0))
    assert scores["eval_loss"] == 2.0 and scores["pearson"] == pytest.approx(1)


@pytest.mark.parametrize("task", ["sst-2", "sts-b"])
def test_a_diverged_model(task):
    task = registry.get(task)
    logits = np.full([2, task.num_outputs], np.nan)
    with pytest.raises(ValueError, match="`logits` must be finite, received NaN or infinity"):
        task.score(logits, labelled(0, 1))


@pytest.mark.parametrize(("name", "num_labels"), [("sst-2", 2), ("mnli", 3), ("sts-b", 1)])
def test_head(name, num_labels):
    assert registry.get(name).head == {"head": "classifier", "num_labels": num_labels}


def test_holdout_of_a_task_is_that_of_its_examples():
    rest, held = registry.get("sst-2").holdout(labelled(*range(10)), 3, seed=0)
    assert len(held) == 3 and sorted([*rest.labels, *held.labels]) == list(range(10))
