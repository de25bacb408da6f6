"""Tests of bert_tf.tasks.class_counts."""

import numpy as np
import pytest

from bert_tf.tasks import class_counts, registry


@pytest.fixture
def report(caplog):
    def call(labels, counts):
        classes = np.repeat(np.arange(len(labels)), counts)
        with caplog.at_level("INFO", "absl"):
            class_counts.report("train.tsv", labels, classes)
        return caplog.messages

    return call


def test_counts(report):
    assert report(("neg", "pos", "new"), (1200, 30, 0)) == [
        "train.tsv has 1,230 examples: 1,200 of 'neg', 30 of 'pos', 0 of 'new'."
    ]


@pytest.mark.parametrize(
    "labels, counts, warning",
    [
        (("a", "here"), (99, 1), "train.tsv has one example alone of the classes 'here'."),
        (
            tuple("abcde"),
            (9, 9, 9, 9, 9),
            "train.tsv has 5 classes in 45 examples; if its labels are numbers, pass "
            "--label_type=number.",
        ),
        (("1", "1.0", "2"), (50, 50, 50), "train.tsv has the classes '1', '1.0', which look like"),
        (("01", "1", "2"), (50, 50, 50), "train.tsv has the classes '01', '1', which look like"),
        (("Yes", "no", "yes"), (50, 50, 50), "train.tsv has the classes 'Yes', 'yes', which look"),
        (("NaN", "nan", "x"), (50, 50, 50), "train.tsv has the classes 'NaN', 'nan', which look"),
        (("a  b", "a b", "x"), (50, 50, 50), "train.tsv has the classes 'a  b', 'a b', which look"),
    ],
)
def test_warnings(report, labels, counts, warning):
    messages = report(labels, counts)
    assert len(messages) == 2 and messages[1].startswith(warning)


def test_many_classes(report):
    messages = report([str(i) for i in range(30)], [100] * 30)
    assert len(messages) == 1 and messages[0].endswith("100 of '19', 10 more.")


def test_a_published_task(shared, caplog):
    with caplog.at_level("INFO", "absl"):
        for name in ("RTE", "STS-B"):
            for split in ("train", "dev"):
                registry.get(name).read(shared / "data" / "glue" / name, split)
    (message,) = caplog.messages
    assert message.endswith(
        "RTE/train.tsv has 2,490 examples: 1,249 of 'entailment', 1,241 of 'not_entailment'."
    )
