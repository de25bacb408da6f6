import dataclasses
import math

import pytest

from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.models import model_info
from flop_tf.layers.projection import ProjectionSpec

GATE = {"name": "hard_concrete", "config": {"axis": 0}}
# BERT-base, BERT-large, MiniLM-L6-H384 of the specification: kernels, all, full-rank thin SVD.
SIZES = [
    ({}, 84_934_656, 109_483_778, 127_401_984),
    (
        {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
        301_989_888,
        335_143_938,
        452_984_832,
    ),
    (
        {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
        10_616_832,
        22_713_986,
        15_925_248,
    ),
]
TINY = EncoderConfig(
    vocab_size=11,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=7,
)


def factorized(config, gate=None):
    specs = {
        (i, name): ProjectionSpec(min(shape), gate) for i, name, _, shape in config.projections()
    }
    return config.with_projections(specs)


@pytest.mark.parametrize(("sizes", "kernels", "parameters", "factors"), SIZES)
def test_the_numbers_of_the_specification(sizes, kernels, parameters, factors):
    config = EncoderConfig(vocab_size=30522, **sizes)
    assert model_info.num_kernel_parameters(config) == kernels
    assert model_info.num_parameters(config) == parameters
    assert model_info.num_kernel_parameters(factorized(config)) == factors


def test_counts_of_a_compact_model():
    dense = EncoderConfig(vocab_size=30522)
    # Rank 96 everywhere: 48 square projections of 768 and 24 of 768 x 3072.
    ranks = {(i, name): ProjectionSpec(96) for i, name, *_ in dense.projections()}
    stored = 48 * 96 * (768 + 768) + 24 * 96 * (768 + 3072)
    info = model_info.counts(dense.with_projections(ranks), factorized(dense, GATE), zeros=3)
    assert info == {
        "dense_origin_params": 84_934_656,
        "dense_total_params": 127_401_984,
        "dense_pruned_params": stored,
        "dense_sparsity": pytest.approx(1 - stored / 84_934_656),
        "non_kernel_params": 24_549_122,
        "total_params": 109_483_778,
        "pruned_total_params": 24_549_122 + stored,
        "actual_compact_rate": pytest.approx((24_549_122 + stored) / 109_483_778),
        "dense_nonzero_params": stored - 3,
    }


def test_gates_are_parameters_but_no_kernels():
    gated, ungated = factorized(TINY, GATE), factorized(TINY)
    assert model_info.num_kernel_parameters(gated) == model_info.num_kernel_parameters(ungated)
    assert model_info.num_parameters(gated) == model_info.num_parameters(ungated) + 2 * 6 * 8


def test_text_has_the_keys_of_the_original():
    lines = model_info.as_text(model_info.counts(TINY)).splitlines()
    assert [line.split(" = ")[0] for line in lines] == [
        "dense_origin_params",
        "dense_total_params",
        "dense_pruned_params",
        "dense_sparsity",
        "non_kernel_params",
        "total_params",
        "pruned_total_params",
        "actual_compact_rate",
        "dense_nonzero_params",
    ]
    assert lines[3] == "dense_sparsity = 0.000000" and lines[7] == "actual_compact_rate = 1.000000"


def test_stages():
    even = TINY.with_projections({(i, "query"): ProjectionSpec(3) for i in (0, 1)})
    uneven = TINY.with_projections(
        {(0, "query"): ProjectionSpec(3), (1, "query"): ProjectionSpec(2)}
    )
    headless = EncoderConfig.from_dict({**TINY.to_dict(), "layers": []})
    assert model_info.stage(headless) == "dense"
    assert model_info.stage(TINY.with_projections({(0, "key"): ProjectionSpec()})) == "dense"
    assert model_info.stage(even) == "factorized"
    assert model_info.stage(factorized(TINY)) == "factorized"
    assert model_info.stage(factorized(TINY, GATE)) == "gated"
    assert model_info.stage(uneven) == "compact"


def test_per_projection():
    layers = (LayerConfig(0, 12, {"ffn_in": ProjectionSpec(2)}), LayerConfig(2, 12))
    config = EncoderConfig.from_dict(TINY.to_dict())
    rows = model_info.per_projection(EncoderConfig(**{**vars(config), "layers": layers}))
    assert [row["projection"] for row in rows[:3]] == [
        "blocks.0.attention_output",
        "blocks.0.ffn_in",
        "blocks.0.ffn_out",
    ]
    assert rows[1] == {
        "projection": "blocks.0.ffn_in",
        "shape": [8, 12],
        "rank": 2,
        "stored_parameters": 2 * 20,
        "dense_parameters": 96,
    }
    assert sum(math.prod(row["shape"]) for row in rows[3:]) == 4 * 64 + 2 * 96


def test_multiplications_per_token():
    """Four kernels of 8 x 8, two of 8 x 12, scores and sums over 4 tokens, pooler and head."""
    config = EncoderConfig(6, 8, 1, 2, 12)
    block, head = 4 * 64 + 2 * 96 + 2 * 4 * 8, (8 * 8 + 8 * 2) / 4
    assert model_info.multiplications_per_token(config, 4) == block + head
    narrow = LayerConfig(2, 12, key_size=1, value_size=3)
    # Queries and keys of 2, values and their outputs of 6.
    block = 8 * (2 + 2 + 6 + 6) + 2 * 96 + 4 * (2 + 6)
    found = dataclasses.replace(config, layers=(narrow,))
    assert model_info.multiplications_per_token(found, 4) == block + head
    wide = dataclasses.replace(config, embedding_size=5)
    more = model_info.multiplications_per_token(wide, 4)
    assert more - model_info.multiplications_per_token(config, 4) == 5 * 8
