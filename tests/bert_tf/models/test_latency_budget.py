"""What a budget says is stored is what removal leaves, in seconds and in parameters."""

import latency_tables
import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.latency import terms
from bert_tf.models.bert import BertModel
from bert_tf.models.latency_budget import latency_budget
from bert_tf.serving import execution_plan
from bert_tf.surgery import compression, units
from flop_tf import ProjectionSpec

CONFIG = EncoderConfig(13, 12, 3, 3, 10, max_position_embeddings=9)
# Curves that bend: the first units cost most.
SECONDS = {(terms.ATTENTION, 1): 5e-4, (terms.ATTENTION, 2): 6e-4, (terms.FFN, 4): 3e-4}
KINDS = ("heads", "neurons", "attention", "feed_forward")


def table():
    return latency_tables.make(SECONDS, hidden_size=12, head_size=4)


def gated(seed, kinds=KINDS, rank=None):
    """Returns a model whose units are open or closed at random, some whole sublayers too."""
    config = units.with_gates(CONFIG, kinds, "hard_concrete")
    if rank:
        specs = {(index, name): ProjectionSpec(rank) for index, name, *_ in CONFIG.projections()}
        config = CONFIG.with_projections(specs)
        config = compression.with_gates(config, "hard_concrete")
        config = units.with_gates(config, kinds, "hard_concrete")
    model, rng = BertModel(config), np.random.default_rng(seed)
    for gate in model.gates:
        gate.log_alpha.assign(rng.normal(-2.4, 3.0, gate.log_alpha.shape))
    return model


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:2], KINDS[2:], ("heads", "feed_forward")])
@pytest.mark.parametrize("seed", range(3))
def test_stored_is_what_removal_leaves(kinds, seed):
    model = gated(seed, kinds)
    budget, parameters = latency_budget(model, table()), model.budget()
    compact = compression.remove_masks(model)
    stored = table().predict(compact.config)
    assert float(budget.stored_cost()) == pytest.approx(stored, rel=1e-5)
    assert float(parameters.stored_cost()) == compact.budget().factorized_parameters
    counts = {gate: int(np.count_nonzero(gate.keep())) for gate in budget.gates}
    assert budget._stored_with(budget.gates)(counts) == pytest.approx(stored, rel=1e-9)
    assert budget.dense_cost == table().predict(CONFIG)
    kept = units.kept(model)
    for index, layer in enumerate(compact.config.layers):
        for kind in ("heads", "neurons"):
            mask = kept.get(f"blocks.{index}.{kind}", np.ones(CONFIG.layers[0].num_units(kind)))
            assert mask.sum() == layer.num_units(kind)


def test_expected_by_hand():
    model, seconds = gated(0), table()
    for gate in model.gates:
        gate.log_alpha.assign(np.full(gate.log_alpha.shape, 30.0))
    budget = latency_budget(model, seconds)
    assert float(budget.expected_cost()) == pytest.approx(seconds.predict(CONFIG), rel=1e-5)
    edge = -2.397895  # P(z > 0) = .5.
    for path, gate in model.encoder.unit_gates():
        if path == "blocks.0.attention":
            gate.log_alpha.assign([edge])
        if path == "blocks.1.heads":
            gate.log_alpha.assign([30.0, edge, -30.0])
    gone = 0.5 * seconds.attention(3) + seconds.attention(3) - seconds.attention(1.5)
    expected = seconds.predict(CONFIG) - gone
    assert float(budget.expected_cost()) == pytest.approx(expected, rel=1e-5)


def test_parents_and_ranks_count_together():
    for seed in range(3):
        model = gated(seed, rank=4)
        stored = float(model.budget().stored_cost())
        assert compression.remove_masks(model).budget().factorized_parameters == stored


@pytest.mark.parametrize("kinds", [(), KINDS, KINDS[:2], ("attention", "neurons")])
@pytest.mark.parametrize("seed", range(3))
def test_ranks_in_seconds(kinds, seed):
    """What is stored is the faster one of factors and kernel, as a plan chooses."""
    seconds = {**SECONDS, (terms.FACTORS, 0): 5e-6, (terms.KERNEL, 0): 2e-6}
    seconds |= {(terms.FACTOR_NUMBERS, 0): 1e-6}
    made_up = latency_tables.make(seconds, hidden_size=12, head_size=4)
    model = gated(seed, kinds, rank=7)
    budget = latency_budget(model, made_up)
    plan, _ = execution_plan.choose(compression.remove_masks(model).config, made_up)
    stored = made_up.predict(plan.config)
    assert float(budget.stored_cost()) == pytest.approx(stored, rel=1e-5)
    counts = {gate: int(np.count_nonzero(gate.keep())) for gate in budget.gates}
    assert budget._stored_with(budget.gates)(counts) == pytest.approx(stored, rel=1e-9)
    assert budget.dense_cost == made_up.predict(CONFIG)
    with budget.calibrated(0.4):
        assert 0.4 - 1e-6 < float(budget.stored_sparsity()) < 0.6


def test_expected_seconds_of_ranks_by_hand():
    made_up = latency_tables.make({(terms.FACTORS, 0): 5e-6}, hidden_size=12, head_size=4)
    model = gated(0, ("heads",), rank=2)
    for gate in model.gates:
        gate.log_alpha.assign(np.full(gate.log_alpha.shape, 30.0))
    budget, edge = latency_budget(model, made_up), -2.397895  # P(z > 0) = .5.
    model.encoder.blocks[0].heads_gate.log_alpha.assign([30.0, edge, -30.0])
    model.encoder.blocks[0].query.gate.log_alpha.assign([edge, -30.0])
    # 1.5 heads of width 4, half a rank of the query.
    whole = made_up.attention(1.5)
    number, pair, kernel = 1e-9, 5e-6, 1e-9
    products = number * (12 + 6) * (0.5 + 3 * 2) + pair * (1 + 3) - 4 * kernel * 12 * 6
    other = number * 2 * (12 + 12) * 4 + pair * 4 - 4 * kernel * 12 * 12
    ffn = number * 2 * (12 + 10) * 2 + pair * 2 - 2 * kernel * 12 * 10
    expected = made_up.predict(CONFIG) - made_up.attention(3) + whole
    expected += products + 2 * other + 3 * ffn
    assert float(budget.expected_cost()) == pytest.approx(expected, rel=1e-5)


def test_a_table_of_another_width():
    with pytest.raises(ValueError, match="hidden_size=12 and heads of 4, received one of hidden_s"):
        latency_budget(gated(0), latency_tables.make())
