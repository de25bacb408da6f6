import dataclasses

import numpy as np
import pytest

from bert_tf.encoders.config import ATTENTION_INPUTS, EncoderConfig
from bert_tf.encoders.execution import Execution
from bert_tf.models.bert import BertModel
from bert_tf.serving import execution_plan
from bert_tf.serving.execution_plan import Plan
from bert_tf.serving.latency_table import (
    DENSE,
    EINSUM_ATTENTION,
    FACTORS,
    FUSED_DENSE,
    FUSED_FACTORS,
    FUSED_NORM,
    PLAIN_NORM,
    SEPARATE_DENSE,
    SEPARATE_FACTORS,
    TRANSPOSED_ATTENTION,
    LatencyTable,
)
from bert_tf.tasks import model_task
from flop_tf.layers.projection import ProjectionSpec

CONFIG = EncoderConfig(
    vocab_size=31,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=16,
    initializer_range=0.3,
)
RANKS = {"query": 5, "key": 15, "value": 30, "attention_output": 3, "ffn_in": 17, "ffn_out": 0}


def model_of(ranks):
    specs = {(i, name): ProjectionSpec(rank) for i in (0, 1) for name, rank in ranks.items()}
    return BertModel(CONFIG.with_projections(specs))


def table(cost, other=lambda way: 0.0):
    """A table whose seconds are a function of the inputs and outputs of a product."""
    others = (FUSED_NORM, PLAIN_NORM, EINSUM_ATTENTION, TRANSPOSED_ATTENTION)
    forms = {(way, 32, 32): {0.0: other(way)} for way in others}
    ranks = range(1, 49)
    for i, o in ((32, 32), (32, 48), (48, 32)):
        forms[DENSE, i, o] = {0.0: cost(i, o)}
        forms[FACTORS, i, o] = {float(r): cost(i, r) + cost(r, o) for r in ranks}
    forms[SEPARATE_DENSE, 32, 32] = {0.0: 3 * cost(32, 32)}
    forms[SEPARATE_FACTORS, 32, 32] = {float(r): 3 * (cost(32, r) + cost(r, 32)) for r in ranks}
    forms[FUSED_DENSE, 32, 32] = {0.0: cost(32, 96)}
    forms[FUSED_FACTORS, 32, 32] = {float(r): cost(32, 3 * r) + 3 * cost(r, 32) for r in ranks}
    return LatencyTable(shape=(8, 8), forms=forms, environment={})


def chosen(ranks, cost):
    plan, _ = execution_plan.choose(model_of(ranks).config, table(cost))
    layer = plan.config.layers[0]
    is_fused = 0 in plan.execution.fused_blocks
    return {name: layer.projection(name).rank for name in layer.names()}, is_fused


def work(inputs, outputs):
    return 1e-9 * inputs * outputs


def call(inputs, outputs):
    """Every product takes as long, whatever its size."""
    return 1e-3


def vectors(inputs, outputs):
    """Sizes are worth the next multiple of 16."""
    return 1e-9 * (-(-inputs // 16) * 16) * (-(-outputs // 16) * 16)


def test_by_multiplications_alone():
    ranks, _ = chosen(RANKS, work)
    assert ranks == {**RANKS, "value": None, "ffn_in": 17}
    ranks, _ = chosen({**RANKS, "ffn_in": 20}, work)
    assert ranks["ffn_in"] is None  # 20 * 80 = 1600 multiplications, 32 * 48 = 1536 of the kernel.


def test_where_products_cost_alike_everything_is_merged_and_fused():
    ranks, fused = chosen(RANKS, call)
    assert fused and set(ranks.values()) == {None, 0} and ranks["ffn_out"] == 0


def test_ties_go_to_fewer_parameters():
    ranks, _ = chosen({**RANKS, "query": 5}, vectors)
    assert ranks["query"] == 5
    ranks, _ = chosen({**RANKS, "ffn_in": 9}, lambda k, n: vectors(k, n) + 1e-7 * (9 in (k, n)))
    assert ranks["ffn_in"] == 16


def test_a_tie_saves_more_parameters_than_it_costs_time():
    # Rank 19 of 32 x 48 has 1,520 parameters, 1 % less than the kernel.
    for slower, rank in ((1.005, 19), (1.02, None)):
        ranks, _ = chosen(
            {**RANKS, "ffn_in": 19}, lambda k, n, slower=slower: slower / 2 if 19 in (k, n) else 1
        )
        assert ranks["ffn_in"] == rank


@pytest.mark.parametrize("cost", [work, call, vectors, lambda k, n: vectors(k, n) + 1e-5])
@pytest.mark.parametrize("ranks", [RANKS, {**RANKS, "key": None}, {}], ids=["all", "some", "dense"])
def test_a_plan_computes_what_its_source_does(cost, ranks):
    model = model_of(ranks)
    plan, rows = execution_plan.choose(model.config, table(cost))
    planned = execution_plan.apply(model, plan)
    for features in model_task.random_features(CONFIG, 13, num_batches=2):
        np.testing.assert_allclose(
            planned(features, training=False), model(features, training=False), atol=1e-5
        )
    assert [row["projection"] for row in rows] == [
        f"blocks.{i}.{name}" for i, name, *_ in model.config.projections()
    ]


def test_factors_of_older_versions_are_balanced():
    model = model_of({"ffn_in": 2, "key": 3})
    layer = model.encoder.blocks[1].ffn_in
    layer.factor_in.assign(layer.factor_in * [1e3, 1e-3])
    layer.factor_out.assign(layer.factor_out * [[1e-3], [1e3]])
    planned = execution_plan.apply(model, Plan(model.config))
    (features,) = model_task.random_features(CONFIG, 9, num_batches=1)
    np.testing.assert_allclose(
        planned(features, training=False), model(features, training=False), atol=1e-5
    )
    for block in planned.encoder.blocks:
        for layer in (block.ffn_in, block.key):
            of_columns = np.abs(layer.factor_in).max(axis=0)
            np.testing.assert_allclose(of_columns, np.abs(layer.factor_out).max(axis=1), rtol=1e-5)


def test_without_factors_there_is_nothing_to_do():
    model = model_of({"ffn_in": 0})
    assert execution_plan.apply(model, Plan(model.config)) is model


def test_every_form_of_fusing():
    model = model_of({**RANKS, "key": None})
    for specs in (
        {name: ProjectionSpec() for name in ATTENTION_INPUTS},
        {"query": ProjectionSpec(16), "key": ProjectionSpec(), "value": ProjectionSpec(30)},
    ):
        layers = tuple(
            dataclasses.replace(layer, projections={**layer.projections, **specs})
            for layer in model.config.layers
        )
        config = dataclasses.replace(model.config, layers=layers)
        plan = Plan(config, Execution(fused_blocks=(0, 1)))
        planned = execution_plan.apply(model, plan)
        (features,) = model_task.random_features(CONFIG, 9, num_batches=1)
        np.testing.assert_allclose(
            planned(features, training=False), model(features, training=False), atol=1e-5
        )


def test_without_heads():
    config = dataclasses.replace(
        CONFIG, layers=tuple(dataclasses.replace(one, num_heads=0) for one in CONFIG.layers)
    )
    plan, rows = execution_plan.choose(config, table(work))
    assert [row["projection"] for row in rows] == [
        f"blocks.{i}.{name}" for i in (0, 1) for name in ("attention_output", "ffn_in", "ffn_out")
    ]
    assert not plan.execution.fused_blocks
    model = BertModel(config)
    for norm in (True, False):
        execution = dataclasses.replace(plan.execution, fused_layer_norm=norm)
        planned = execution_plan.apply(model, dataclasses.replace(plan, execution=execution))
        (features,) = model_task.random_features(CONFIG, 9, num_batches=1)
        np.testing.assert_allclose(
            planned(features, training=False), model(features, training=False), atol=1e-5
        )


@pytest.mark.parametrize("norm", [FUSED_NORM, PLAIN_NORM])
@pytest.mark.parametrize("attention", [EINSUM_ATTENTION, TRANSPOSED_ATTENTION])
def test_layer_norm_and_attention_as_they_are_faster(norm, attention):
    model = model_of({})
    other = table(work, lambda way: float(way not in (norm, attention)))
    plan, _ = execution_plan.choose(model.config, other)
    assert plan.execution.fused_layer_norm == (norm == FUSED_NORM)
    assert plan.execution.einsum_attention == (attention == EINSUM_ATTENTION)
    planned = execution_plan.apply(model, plan)
    (features,) = model_task.random_features(CONFIG, 9, num_batches=1)
    np.testing.assert_allclose(
        planned(features, training=False), model(features, training=False), atol=1e-5
    )
