import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.checkpoints import Source
from bert_tf.encoders.config import PROJECTIONS, EncoderConfig, LayerConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models.bert import BertModel
from bert_tf.surgery import compression
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import factorization

CONFIG = EncoderConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
    num_labels=3,
)


def source_of(config=CONFIG):
    model = BertModel(config)
    return model, Source(config, surgery.named_weights(model), None, None, "live")


def batch():
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 13, [4, 7]).astype(np.int32)
    mask = np.array([[1] * n + [0] * (7 - n) for n in (7, 3, 5, 1)], np.int32)
    arrays = (ids, mask, np.zeros_like(ids))
    return dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True))


def gated():
    """A gated model with gates all over their range, one projection all open and one all closed."""
    gates = iter(range(99))
    specs = {
        (i, name): ProjectionSpec(
            min(shape), {"name": "hard_concrete", "config": {"axis": 0, "seed": next(gates)}}
        )
        for i, name, _, shape in CONFIG.projections()
        if (i, name) != (1, "key")
    }
    model = BertModel(CONFIG.with_projections(specs))
    generator = np.random.default_rng(1)
    for path, layer in model.encoder.projections():
        layer.bias.assign(generator.normal(size=layer.units))
        if path != "blocks.1.key":
            spread = {"blocks.0.ffn_in": 9.0, "blocks.1.value": -9.0}.get(path)
            values = generator.uniform(-6, 3, layer.rank) if spread is None else spread
            layer.gate.log_alpha.assign(np.full(layer.rank, values, np.float32))
    return model


def test_full_rank_is_the_dense_model():
    dense, source = source_of()
    model, origin = compression.factorize(source)
    np.testing.assert_allclose(
        model(batch(), training=False), dense(batch(), training=False), atol=1e-5
    )
    assert all(spec.rank == 8 for *_, spec, _ in model.config.projections())
    assert origin["encoder.blocks.0.query.factor_in"] == compression.FACTORIZED
    assert origin["encoder.blocks.0.query.bias"] == compression.CARRIED
    assert origin["classifier.kernel"] == compression.CARRIED
    assert set(origin) == set(model.get_weight_paths())


def test_without_the_head():
    dense, source = source_of()
    model, origin = compression.factorize(source, keep_head=False)
    assert {path for path, how in origin.items() if how == compression.NEW} == {
        "classifier.kernel",
        "classifier.bias",
    }
    assert np.ptp(model.classifier.kernel - dense.classifier.kernel) > 0


@pytest.mark.parametrize(
    ("arguments", "ranks"),
    [
        ({"rank": 3}, {3}),
        ({"rank": 0}, {0}),
        ({"density": 0.5}, {2}),  # Break-even is 4 for 8 x 8 and 4.8 for 8 x 12.
        ({"density": 1.0}, {None}),
    ],
)
def test_ranks(arguments, ranks):
    model, _ = compression.factorize(source_of()[1], **arguments)
    assert {spec.rank for *_, spec, _ in model.config.projections()} == ranks
    assert model(batch(), training=False).shape == (4, 3)


def test_statistics_reach_their_projection():
    _, source = source_of()
    seen = {}

    def split(kernel, statistic, rank):
        seen[statistic] = kernel
        return factorization.svd(kernel, rank)

    paths = [f"blocks.{i}.{name}" for i, name, *_ in CONFIG.projections()]
    compression.factorize(source, rank=2, statistics={p: p for p in paths}, split=split)
    for path in paths:
        np.testing.assert_array_equal(seen[path], source.weights[f"encoder.{path}.kernel"])


def test_what_is_not_dense_stays():
    layers = (LayerConfig(2, 12, {"key": ProjectionSpec(2)}), LayerConfig(0, 12))
    _, source = source_of(dataclasses.replace(CONFIG, layers=layers))
    model, origin = compression.factorize(source)
    assert model.config.layers[0].projection("key").rank == 2
    assert model.config.layers[1].projection("attention_output").rank == 0
    assert origin["encoder.blocks.0.key.factor_in"] == compression.CARRIED


def test_a_rank_that_does_not_fit():
    with pytest.raises(ValueError, match=r"`rank` must be 'full' or in \[0, 8\] .*received 9"):
        compression.factorize(source_of()[1], rank=9)


@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_compact_is_the_gated_model_at_inference(threshold):
    model = gated()
    compact = compression.remove_masks(model, threshold)
    assert compression.largest_difference(model, compact, [(batch(),)]) < 1e-5
    specs = {(i, name): spec for i, name, spec, _ in compact.config.projections()}
    assert not any(spec.gate for spec in specs.values())
    assert specs[0, "ffn_in"] == ProjectionSpec()  # All open: above break-even.
    assert specs[1, "value"] == ProjectionSpec(0)  # All closed: only the bias.
    assert specs[1, "key"] == ProjectionSpec()  # Had no gate.
    assert {name for i, name in specs if i == 0} == set(PROJECTIONS)


def test_the_threshold_drops_more():
    def kept(threshold):
        model = gated()
        compression.remove_masks(model, threshold)
        return sum(rank or 0 for rank in model.budget().survivors())

    assert kept(0.9) < kept(0.4) < kept(0.0)


@pytest.mark.parametrize("threshold", [-0.1, 1.0])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match=rf"`threshold` must be in \[0, 1\), .*{threshold}"):
        compression.remove_masks(gated(), threshold)


def test_nothing_to_remove():
    with pytest.raises(ValueError, match="has no gates, so that there is nothing to remove"):
        compression.remove_masks(source_of()[0])


def test_a_nan_is_a_difference():
    first = BertModel(CONFIG)
    second = BertModel(CONFIG)
    batches = [(batch(),), ({**batch(), "input_word_ids": tf.fill([4, 7], 3)},)]
    batches[0][0]["input_word_ids"] = tf.zeros([4, 7], tf.int32)
    assert 0 < compression.largest_difference(first, second, batches) < np.inf
    table = second.encoder.embeddings.word_embeddings
    table.assign(np.where(np.arange(13)[:, None] == 3, np.nan, table))
    assert np.isnan(compression.largest_difference(first, second, batches))


def test_random_draws_of_a_model_have_seeds_of_their_own():
    """Also in BERT-large, and gates next to the dropouts."""
    config = dataclasses.replace(CONFIG, num_hidden_layers=24, layers=())
    config = config.with_projections(
        {(i, name): ProjectionSpec(2) for i, name, *_ in config.projections()}
    )
    model = BertModel(compression.with_gates(config, "hard_concrete"))
    seeds = [layer.seed for layer in model._flatten_layers() if hasattr(layer, "seed")]
    assert len(seeds) == 24 * 6 + 24 * 3 + 2 == len(set(seeds))
