"""Factors that are balanced by what ranks become on real inputs."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models.bert import BertModel
from bert_tf.serving import execution_plan, formats, rank_ranges, services
from bert_tf.serving.engines.engine import ENGINES
from bert_tf.serving.execution_plan import Plan
from bert_tf.serving.served_model import ServedModel
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.layers.projection import ProjectionSpec

RANK, NEURONS = 12, 1024


def batch(seed):
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, 22, [16, 9], np.int32)
    mask = (np.arange(9) < generator.integers(1, 10, [16, 1])).astype(np.int32)
    return dict(zip(INPUT_NAMES, (ids, mask, 0 * ids), strict=True))


@pytest.fixture(scope="module")
def model():
    """All neurons are on, and rank 0 of FFN out sums them: its weights are like the others', what
    it becomes is not. What it adds to every output alike, LayerNorm takes away."""
    config = EncoderConfig(
        vocab_size=22,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=NEURONS,
        max_position_embeddings=16,
        initializer_range=0.3,
    ).with_projections({(0, "ffn_out"): ProjectionSpec(RANK)})
    found, generator = BertModel(config), np.random.default_rng(0)
    block = found.encoder.blocks[0]
    block.ffn_in.bias.assign_add(np.full(NEURONS, 4.0))
    factor_in = generator.uniform(-1, 1, [NEURONS, RANK])
    factor_out = generator.uniform(-0.05, 0.05, [RANK, 16])
    factor_in -= factor_in.mean(axis=0)
    factor_in[:, 0], factor_out[0] = 1, 0.005
    block.ffn_out.factor_in.assign(factor_in)
    block.ffn_out.factor_out.assign(factor_out)
    return found


def test_maxima_are_of_tokens_that_are_no_padding(model):
    batches = [batch(0), batch(1)]
    (rank_max,) = rank_ranges.maxima(model, batches).values()
    expected = 0
    for one in batches:
        features = {name: tf.constant(array) for name, array in one.items()}
        (received,) = model.encoder(features)["projection_inputs"]
        ranks = np.abs(received["ffn_out"] @ model.encoder.blocks[0].ffn_out.factor_in.numpy())
        expected = np.maximum(expected, ranks[one["input_mask"].ravel() == 1].max(axis=0))
    np.testing.assert_allclose(rank_max, expected, rtol=1e-5)
    assert rank_max[0] > 10 * np.median(rank_max)
    assert rank_ranges.maxima(model, []) == {}


def logits_in_integers(model, maxima, vocab_file, folder):
    planned = execution_plan.apply(model, Plan(model.config), maxima)
    features = {name: tf.constant(array) for name, array in batch(2).items()}
    expected = model(features, training=False)
    np.testing.assert_allclose(planned(features, training=False), expected, atol=1e-5)
    service = services.get(registry.get("SST-2"), Tokenizer(vocab_file), 11)
    served, form = ServedModel(planned, service, 16), formats.FORMATS["onnx_int8"]
    form = form.keeping([name for name in form.layers(served) if "ffn_out" not in name])
    form.write(served, str(folder))
    answer = ENGINES["onnxruntime_int8"].load(form.path(str(folder)), 1)
    return np.abs(answer("serving_default", batch(2))["logits"] - expected).mean()


def test_a_rank_of_another_scale_leaves_integers_to_the_others(model, vocab_file, tmp_path):
    pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")
    pytest.importorskip("onnxruntime", reason="The extra `export` is not installed.")
    of_weights = logits_in_integers(model, None, vocab_file, tmp_path)
    maxima = rank_ranges.maxima(model, [batch(0), batch(1)])
    of_inputs = logits_in_integers(model, maxima, vocab_file, tmp_path)
    assert of_inputs < of_weights / 2
