"""Narrower attention heads: equal at full width, and what is lost below it."""

import dataclasses

import numpy as np
import pytest

from bert_tf.checkpoints import read_source
from bert_tf.data import batching
from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.serving import execution_plan
from bert_tf.surgery import compression, narrow_heads, units
from bert_tf.tasks import registry
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec


@pytest.fixture(scope="module")
def source(bert_dir):
    """Two blocks, with biases that are not 0."""
    found = read_source(bert_dir)
    config = dataclasses.replace(found.config, num_hidden_layers=2, layers=())
    rng = np.random.default_rng(0)
    weights = {
        path: array + np.float32(0.1 * rng.normal(size=array.shape))
        for path, array in surgery.named_weights(BertModel(config)).items()
    }
    return dataclasses.replace(found, config=config, weights=weights)


@pytest.fixture(scope="module")
def dataset(source, sst_dir):
    task = registry.get("sst-2")
    encoded = task.encode(task.read(sst_dir, "train"), source.tokenizer(), 11)
    return batching.evaluation_dataset(encoded, 32)


@pytest.fixture(scope="module")
def moments(source, dataset):
    return narrow_heads.head_moments(source.model(), dataset)


def narrowed(source, moments, sizes):
    config, weights = narrow_heads.narrow(source.config, source.weights, moments, sizes)
    return dataclasses.replace(source, config=config, weights=weights)


def distance(one, other, dataset):
    return max(np.abs(one(x) - other(x)).max() for x, *_ in dataset)


def test_full_width_is_the_same_model(source, moments, dataset):
    size = source.config.head_size
    found = narrowed(source, moments, {0: (size, size), 1: (None, size)})
    assert found.config == source.config
    assert not np.allclose(
        found.weights["encoder.blocks.1.value.kernel"],
        source.weights["encoder.blocks.1.value.kernel"],
    )
    assert distance(found.model(), source.model(), dataset) < 1e-4


def test_wider_heads_lose_less(source, moments, dataset):
    whole, lost = source.model(), []
    for size in (2, 8, 14):
        found = narrowed(source, moments, {0: (size, size), 1: (size, size)})
        assert [(b.key_size, b.value_size) for b in found.config.layers] == [(size, size)] * 2
        model = found.model()
        assert model.encoder.blocks[0].query.kernel.shape == [32, 2 * size]
        assert model.encoder.blocks[0].attention_output.kernel.shape == [2 * size, 32]
        assert sum(w.size for w in model.get_weights()) == model_info.num_parameters(found.config)
        lost.append(distance(model, whole, dataset))
    assert lost[0] > lost[1] > lost[2] > 0
    assert model_info.stage(found.config) == "compact"


def test_heads_of_narrow_blocks_are_removed_like_others(source, moments, dataset):
    """First narrower, then fewer, and the other way round."""
    mask = {"blocks.0.heads": np.array([False, True])}
    sizes = {0: (8, 4)}
    config, weights = units.remove(
        *narrow_heads.narrow(source.config, source.weights, moments, sizes), mask
    )
    first = dataclasses.replace(source, config=config, weights=weights).model()
    kept = {0: narrow_heads.HeadMoments(*(part[1:] for part in moments[0]))}
    config, weights = units.remove(source.config, source.weights, mask)
    # What the mean of a removed head writes is lost with it here, and stays a bias there.
    shift = (
        moments[0].value_mean[0]
        @ source.weights["encoder.blocks.0.attention_output.kernel"][: source.config.head_size]
    )
    weights["encoder.blocks.0.attention_output.bias"] = np.float32(
        weights["encoder.blocks.0.attention_output.bias"] + shift
    )
    config, weights = narrow_heads.narrow(config, weights, kept, sizes)
    second = dataclasses.replace(source, config=config, weights=weights).model()
    assert first.config == second.config
    assert distance(first, second, dataset) < 1e-4


@pytest.mark.parametrize("fused", [False, True])
def test_plans_of_narrow_heads_have_the_same_outputs(source, moments, dataset, fused):
    found = narrowed(source, moments, {0: (8, 4), 1: (None, 8)})
    specs = {(1, name): ProjectionSpec(6) for name in ("query", "key", "value")}
    config, weights = compression.with_factors(found.config, found.weights, specs)
    model = dataclasses.replace(found, config=config, weights=weights).model()
    execution = dataclasses.replace(
        execution_plan.TRAINING, fused_blocks=(0, 1) if fused else (), einsum_attention=fused
    )
    planned = execution_plan.apply(model, execution_plan.Plan(model.config, execution))
    assert distance(planned, model, dataset) < 1e-4


def test_config_keeps_sizes_of_heads():
    layers = LayerConfig(2, 8, key_size=2), LayerConfig(0, 8, key_size=2, value_size=3)
    config = EncoderConfig(20, 8, 2, 2, 8, layers=layers)
    assert config.layers[1] == LayerConfig(0, 8)
    assert EncoderConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["layers"][0]["key_size"] == 2
    usual = dataclasses.replace(config, layers=(LayerConfig(2, 8, key_size=4, value_size=4),) * 2)
    assert usual == usual.dense
    with pytest.raises(ValueError, match="Argument `value_size` must be at least 1, received 0"):
        LayerConfig(2, 8, value_size=0)
