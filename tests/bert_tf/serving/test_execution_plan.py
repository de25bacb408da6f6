import dataclasses

import latency_tables
import numpy as np
import pytest

from bert_tf.encoders.config import ATTENTION_INPUTS, EncoderConfig
from bert_tf.encoders.execution import Execution
from bert_tf.latency import terms
from bert_tf.models.bert import BertModel
from bert_tf.serving import execution_plan
from bert_tf.serving.execution_plan import Plan
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


#: Time is multiplications, or so many products, or sizes up to the next multiple of 16.
WORK = latency_tables.make({})
CALLS = latency_tables.make(
    {
        (terms.FACTOR_NUMBERS, 0): 0.0,
        (terms.FACTORS, 0): 1e-3,
        (terms.FUSED, 0): -2e-6,
        (terms.FUSED_FACTORS, 0): -2e-3,
    }
)
VECTORS = latency_tables.make({(terms.UNALIGNED_FACTORS, 0): 1e-6})


def chosen(ranks, table):
    plan, _ = execution_plan.choose(model_of(ranks).config, table)
    layer = plan.config.layers[0]
    is_fused = 0 in plan.execution.fused_blocks
    return {name: layer.projection(name).rank for name in layer.names()}, is_fused


def test_by_multiplications_alone():
    ranks, fused = chosen(RANKS, WORK)
    assert ranks == {**RANKS, "value": None, "ffn_in": 17} and not fused
    ranks, _ = chosen({**RANKS, "ffn_in": 20}, WORK)
    assert ranks["ffn_in"] is None  # 20 * 80 = 1600 multiplications, 32 * 48 = 1536 of the kernel.


def test_where_products_cost_alike_everything_is_merged_and_fused():
    ranks, fused = chosen(RANKS, CALLS)
    assert fused and set(ranks.values()) == {None, 0} and ranks["ffn_out"] == 0


def test_ranks_are_rounded_where_that_is_faster():
    ranks, _ = chosen({**RANKS, "ffn_in": 9}, VECTORS)
    assert ranks["ffn_in"] == 16
    ranks, _ = chosen({**RANKS, "ffn_in": 9}, WORK)
    assert ranks["ffn_in"] == 9


def test_factors_share_their_first_product_where_that_is_faster():
    ranks = {**RANKS, "value": 7}
    for seconds, is_fused in ((-1e-4, True), (1e-4, False)):
        found, fused = chosen(ranks, latency_tables.make({(terms.FUSED_FACTORS, 0): seconds}))
        assert fused == is_fused and found == {**ranks, "ffn_in": 17}


def test_a_tie_saves_more_parameters_than_it_costs_time():
    """Rank 19 of 32 x 48 has 1,520 parameters, 1 % less than the kernel."""
    for slower, rank in ((1.005, 19), (1.02, None)):
        row = {(terms.FACTOR_NUMBERS, 0): 1e-9 * slower * 1536 / 1520}
        ranks, _ = chosen({**RANKS, "ffn_in": 19}, latency_tables.make(row))
        assert ranks["ffn_in"] == rank


def test_a_table_of_another_width():
    with pytest.raises(ValueError, match="must be of models with hidden_size=32"):
        execution_plan.choose(CONFIG, latency_tables.make(hidden_size=48))


@pytest.mark.parametrize("table", [WORK, CALLS, VECTORS], ids=["work", "calls", "vectors"])
@pytest.mark.parametrize("ranks", [RANKS, {**RANKS, "key": None}, {}], ids=["all", "some", "dense"])
def test_a_plan_computes_what_its_source_does(table, ranks):
    model = model_of(ranks)
    plan, rows = execution_plan.choose(model.config, table)
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
    plan, rows = execution_plan.choose(config, WORK)
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


@pytest.mark.parametrize("norm", [-1e-4, 0.0, 1e-4])
@pytest.mark.parametrize("attention", [-1e-3, 0.0, 1e-3])
def test_layer_norm_and_attention_as_they_are_faster(norm, attention):
    """Where they make no difference they are the usual ones."""
    model = model_of({})
    table = latency_tables.make({(terms.PLAIN_NORM, 0): norm, (terms.EINSUM, 0): attention})
    plan, _ = execution_plan.choose(model.config, table)
    assert plan.execution.fused_layer_norm == (norm >= 0)
    assert plan.execution.einsum_attention == (attention < 0)
    planned = execution_plan.apply(model, plan)
    (features,) = model_task.random_features(CONFIG, 9, num_batches=1)
    np.testing.assert_allclose(
        planned(features, training=False), model(features, training=False), atol=1e-5
    )
