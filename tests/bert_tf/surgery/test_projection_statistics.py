import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data import batching
from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.heads import losses
from bert_tf.models.bert import BertModel
from bert_tf.surgery import projection_statistics
from flop_tf.layers.projection import ProjectionSpec

CONFIG = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
    initializer_range=0.5,
)
LENGTHS = [9, 3, 13, 5, 4, 12, 7]


def encoded(labels):
    generator = np.random.default_rng(0)
    ids = tf.ragged.constant([generator.integers(1, 50, n).tolist() for n in LENGTHS], tf.int32)
    return batching.EncodedExamples(ids, tf.zeros_like(ids), labels, 13, pad_id=3)


@pytest.fixture
def examples():
    return encoded(np.array([0, 1, 1, 0, 1, 0, 1], np.int32))


def batches(examples):
    """Returns batches of 3, 3 and 1 of different widths, and one that takes part again."""
    return batching.training_dataset(examples, 3, seed=0, num_steps=4)


def test_second_moments(examples):
    model = BertModel(CONFIG)
    found = projection_statistics.second_moments(model, batches(examples))
    assert set(found) == {path for path, _ in model.encoder.projections()}
    rows, tokens = {path: [] for path in found}, 0
    for *_, index in batches(examples):
        for position in index.numpy():
            # Each text alone: no padding at all.
            ids = examples.ids[position][tf.newaxis]
            features = {"input_word_ids": ids, "input_mask": tf.ones_like(ids)}
            features["input_type_ids"] = tf.zeros_like(ids)
            outputs = model.encoder(features, training=False)
            tokens += ids.shape[1]
            for i, block in enumerate(outputs["projection_inputs"]):
                for name, inputs in block.items():
                    rows[f"blocks.{i}.{name}"].append(inputs.numpy().astype(np.float64))
    for path, moment in found.items():
        stacked = np.concatenate(rows[path])
        assert len(stacked) == tokens and moment.dtype == np.float64
        np.testing.assert_allclose(moment, stacked.T @ stacked / tokens, rtol=1e-4, atol=1e-5)
    assert found["blocks.1.ffn_out"].shape == (12, 12)
    np.testing.assert_array_equal(found["blocks.0.query"], found["blocks.0.value"])


@pytest.mark.parametrize("num_labels", [2, 1])
def test_squared_gradients(examples, num_labels):
    if num_labels == 1:
        examples = encoded(np.linspace(0, 5, 7, dtype=np.float32))
    layers = (LayerConfig(2, 12, {"query": ProjectionSpec(3)}), LayerConfig(2, 12))
    config = dataclasses.replace(CONFIG, num_labels=num_labels, layers=layers)
    model = BertModel(config)
    loss = losses.task_loss(num_labels == 1)
    found = projection_statistics.squared_gradients(model, batches(examples), loss)
    assert len(found) == 11 and "blocks.0.query" not in found
    kernel = model.encoder.blocks[1].ffn_in.kernel
    expected = []
    for features, labels, _ in batches(examples):
        with tf.GradientTape() as tape:
            logits = model(features, training=False)
            if num_labels == 1:
                value = tf.reduce_mean((logits[:, 0] - labels) ** 2)
            else:
                value = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
        expected.append(tape.gradient(value, kernel).numpy().astype(np.float64) ** 2)
    assert found["blocks.1.ffn_in"].shape == (8, 12)
    np.testing.assert_allclose(
        found["blocks.1.ffn_in"], np.mean(expected, axis=0), rtol=1e-3, atol=1e-7
    )
