import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data import batching
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.runs import evaluation
from bert_tf.tasks import registry

CONFIG = EncoderConfig(
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
    model = BertModel(CONFIG)
    logits = evaluation.predict(model, encoded, batch_size)
    for row, ids in zip(logits, encoded.ids, strict=True):
        ids = ids[tf.newaxis]
        features = {"input_word_ids": ids, "input_mask": tf.ones_like(ids)}
        alone = model({**features, "input_type_ids": tf.zeros_like(ids)}, training=False)
        np.testing.assert_allclose(row, alone[0], atol=1e-5)


def test_scores_of_several_splits(encoded):
    task = registry.get("sst-2")
    splits = {"a": encoded, "b": encoded.take(range(3))}
    scores, tuned = evaluation.score(BertModel(CONFIG), task, splits, 2)
    assert list(scores) == ["a", "b"]
    assert set(scores["a"]) == {"eval_loss", *task.metrics}
    # As many digits as float32 has: later ones may differ after a resume.
    for found in scores.values():
        assert all(value == float(f"{value:.7g}") for value in found.values())
