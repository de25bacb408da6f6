import numpy as np
import pytest
import tensorflow as tf

from bert_tf import batching, evaluation, tasks
from bert_tf.classifier import BertClassifier
from bert_tf.config import BertConfig

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=16,
    initializer_range=0.5,
)


@pytest.fixture
def encoded():
    """Texts of 3 to 13 tokens, by no means sorted."""
    lengths = [9, 3, 13, 5, 4, 12, 7]
    generator = np.random.default_rng(0)
    ids = tf.ragged.constant([generator.integers(1, 50, n).tolist() for n in lengths], tf.int32)
    labels = np.array([0, 1, 1, 0, 1, 0, 1], np.int32)
    return batching.EncodedExamples(ids, tf.zeros_like(ids), labels, 13)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_logits_come_in_the_order_of_the_data(encoded, batch_size):
    model = BertClassifier(CONFIG)
    logits = evaluation.predict(model, encoded, batch_size)
    for row, ids in zip(logits, encoded.ids, strict=True):
        ids = ids[tf.newaxis]
        features = {"input_word_ids": ids, "input_mask": tf.ones_like(ids)}
        alone = model({**features, "input_type_ids": tf.zeros_like(ids)}, training=False)
        np.testing.assert_allclose(row, alone[0], atol=1e-5)


def test_scores_of_several_splits(encoded):
    task = tasks.get("sst-2")
    splits = {"a": encoded, "b": encoded.first(3)}
    scores = evaluation.score(BertClassifier(CONFIG), task, splits, 2)
    assert list(scores) == ["a", "b"]
    assert set(scores["a"]) == {"eval_loss", *task.metrics}


def test_loss_of_classes():
    logits = np.array([[0.0, 0.0], [0.0, np.log(3.0)]], np.float32)
    scores = evaluation.score_logits(tasks.get("sst-2"), logits, np.array([1, 1]))
    assert scores["eval_loss"] == pytest.approx((np.log(2) + np.log(4 / 3)) / 2, rel=1e-5)
    assert scores["eval_accuracy"] == 0.5


def test_loss_of_a_regression():
    logits = np.array([[1.0], [3.0]], np.float32)
    scores = evaluation.score_logits(tasks.get("sts-b"), logits, np.array([1.0, 5.0]))
    assert scores["eval_loss"] == 2.0 and scores["pearson"] == pytest.approx(1)


@pytest.mark.parametrize("task", ["sst-2", "sts-b"])
def test_a_diverged_model(task):
    task = tasks.get(task)
    logits = np.full([2, task.num_outputs], np.nan)
    with pytest.raises(ValueError, match="`logits` must be finite, received NaN or infinity"):
        evaluation.score_logits(task, logits, np.array([0, 1]))
