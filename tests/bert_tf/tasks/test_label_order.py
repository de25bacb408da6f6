import dataclasses

import numpy as np
import pytest

from bert_tf.checkpoints import Source, read_source
from bert_tf.models.weight_paths import in_encoder
from bert_tf.tasks import registry
from bert_tf.tasks.label_order import outputs_of

MNLI = registry.get("mnli")
COLORS = registry.get("tsv", text_columns="a", label_column="b", labels=["blue", "green", "red"])


@pytest.mark.parametrize(
    ("task", "names", "expected"),
    [
        (COLORS, ("red", "blue", "green"), [1, 2, 0]),
        (COLORS, ("RED", "Blue", "green"), [1, 2, 0]),
        (registry.get("sst-2"), ("POSITIVE", "NEGATIVE"), [1, 0]),
        (registry.get("sst-2"), ("negative", "positive"), [0, 1]),
        (registry.get("sst-2"), ("1", "0"), [1, 0]),
        (registry.get("mrpc"), ("equivalent", "not_equivalent"), [1, 0]),
        (registry.get("rte"), ("entailment", "not_entailment"), [0, 1]),
        (registry.get("qnli"), ("not entailment", "ENTAILMENT"), [1, 0]),
        (MNLI, ("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), [0, 2, 1]),
        (MNLI, None, slice(None)),
        (registry.get("sts-b"), ("LABEL_0",), slice(None)),
    ],
)
def test_outputs(task, names, expected):
    assert task.outputs_of(names, "the model") == expected


def test_names_differ_in_their_case_alone():
    task = registry.get("tsv", text_columns="a", label_column="b", labels=["US", "us"])
    assert outputs_of(("us", "US"), task, "x") == [1, 0]
    with pytest.raises(ValueError, match="both must have the same"):
        outputs_of(("Us", "uS"), task, "x")


def test_names_without_meaning_warn(caplog):
    assert outputs_of(("LABEL_0", "LABEL_1", "LABEL_2"), MNLI, "the model") == slice(None)
    assert "labels of the model have no names; its outputs are taken for contra" in caplog.text


@pytest.mark.parametrize(
    "names", [("red", "green", "pink"), ("red", "green"), ("LABEL_1", "LABEL_0", "LABEL_2")]
)
def test_other_sets_are_an_error_with_both(names):
    with pytest.raises(ValueError) as error:
        outputs_of(names, COLORS, "the checkpoint 'x'")
    text = str(error.value)
    assert "['blue', 'green', 'red']" in text and f"the checkpoint 'x' has {list(names)}" in text


# Sources


@pytest.fixture
def source(bert_dir):
    found = read_source(bert_dir)
    rng = np.random.default_rng(0)
    head = {"classifier.kernel": rng.normal(size=[32, 3]), "classifier.bias": rng.normal(size=[3])}
    config = dataclasses.replace(found.config, num_labels=3)
    weights = {**found.weights, **head}
    return dataclasses.replace(
        found, config=config, weights=weights, labels=("red", "blue", "green")
    )


def test_the_head_is_permuted(source):
    ordered = COLORS.with_head(source, "x")
    assert isinstance(ordered, Source) and ordered.labels == COLORS.labels
    for path in ("classifier.kernel", "classifier.bias"):
        expected = source.weights[path][..., [1, 2, 0]]
        np.testing.assert_array_equal(ordered.weights[path], expected)
    again = COLORS.with_head(ordered, "x")
    np.testing.assert_array_equal(
        again.weights["classifier.bias"], ordered.weights["classifier.bias"]
    )


def test_a_start_with_other_labels_has_a_new_head(source, caplog):
    caplog.set_level("INFO", logger="absl")
    kept = COLORS.start(source, "x")
    assert kept.labels == COLORS.labels and not caplog.text
    started = MNLI.start(source, "the checkpoint 'x'")
    assert all(map(in_encoder, started.weights)) and started.labels is None
    assert "The task head starts anew. Task 'MNLI' has the labels" in caplog.text
    sized = registry.get("sst-2").start(source, "x")
    assert all(map(in_encoder, sized.weights))


def test_a_head_that_is_lacking(source):
    lacking = dataclasses.replace(source, missing_head="BertForMultipleChoice")
    with pytest.raises(ValueError, match="has the head of BertForMultipleChoice, which this"):
        COLORS.with_head(lacking, "x")
