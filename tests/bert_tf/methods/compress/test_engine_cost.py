"""Costs of models over their targets: allowed, lowest, measured and exported."""

import dataclasses

import numpy as np
import pytest

from bert_tf.checkpoints import read_source
from bert_tf.latency import LatencyTable
from bert_tf.methods.compress import engine_cost as engine_cost_module
from bert_tf.methods.compress.compress_options import CompressOptions
from bert_tf.methods.compress.engine_cost import EngineCost
from bert_tf.methods.compress.targets import Target
from bert_tf.models.bert import BertModel
from bert_tf.models.latency_budget import latency_budget
from bert_tf.surgery import compression, units


@pytest.fixture
def config(bert_dir):
    return read_source(bert_dir).config


@pytest.fixture
def engine_cost(config, sst_dir, bert_dir, table_file):
    def engine_cost(cost, targets):
        options = CompressOptions(
            task_name="SST-2",
            data_dir=sst_dir,
            init_checkpoint=bert_dir,
            output_dir="out",
            engine="onnxruntime",
            optimize_for="8x16",
            latency_table=table_file("onnxruntime"),
            cost=cost,
            targets=targets,
        )
        return EngineCost(options, config)

    return engine_cost


@pytest.mark.parametrize(
    ("cost", "unit", "size"),
    [
        ("latency", "ms", 1e-3),
        ("bytes", "MB", 1e6),
        ("parameters", "M", 1e6),
        ("multiplications", "G", 1e9),
    ],
)
def test_amounts_allow_what_shares_do(engine_cost, config, cost, unit, size):
    costs = engine_cost(cost, "1")
    dense = costs.cost.of_model(config)
    share, amount = Target(0.25), Target(dense / 4 / size, unit)
    assert costs.allowed(share) == pytest.approx(dense / 4)
    assert costs.allowed(amount) == pytest.approx(dense / 4)
    lowest = costs.lowest(config, share), costs.lowest(config, amount)
    assert 0 < lowest[0].number < 1 and lowest[1].unit == unit
    assert costs.allowed(lowest[0]) == pytest.approx(costs.allowed(lowest[1]))


def without_neurons(config):
    """Returns the `EncoderConfig` without the first block's feed-forward sublayer."""
    first, *others = config.layers
    first = dataclasses.replace(first, intermediate_size=0)
    return dataclasses.replace(config, layers=(first, *others))


def test_exports_are_held_to_what_was_asked(engine_cost, config):
    row = {"ratio": 0.6, "p50_ms": 12.0, "file_bytes": 3e6}
    dense_ms = 1e3 * engine_cost("latency", "1").cost.of_model(config)
    found = [
        engine_cost(cost, str(target)).exported(row, without_neurons(config), target)
        for cost, target in [
            ("latency", Target(0.5)),
            ("latency", Target(0.5 * dense_ms, "ms")),
            ("bytes", Target(2.0, "MB")),
            ("bytes", Target(0.5)),
            ("parameters", Target(1.0, "M")),
        ]
    ]
    assert found == pytest.approx([1.2, 1.2, 1.5, 1.0, 1.0])
    for cost, target in (("latency", Target(0.5)), ("bytes", Target(2.0, "MB"))):
        costs = engine_cost(cost, str(target))
        assert costs.exported({"left_out": "Too far."}, config, target) == 1.0


def test_what_is_measured_is_over_the_target(engine_cost, config):
    costs, smaller = engine_cost("latency", "1"), without_neurons(config)
    with costs.measuring(Target(1.0)) as measure:
        assert 0.2 < measure(smaller) < 2
    target = Target(2e3 * costs.cost.of_model(config), "ms")
    with costs.measuring(target) as measure:
        assert 0.1 < measure(smaller) < 1
    with engine_cost("bytes", "1").measuring(Target(1.0)) as measure:
        assert measure is None


def test_chance_does_not_prune_a_model_that_lost_nothing(engine_cost, config, monkeypatch):
    """Two times of one model differ; the second one is not above a target of 1."""
    costs = engine_cost("latency", "1")
    monkeypatch.setattr(engine_cost_module.latency_measurement, "turns", None)
    fewer_words = dataclasses.replace(config, vocab_size=9)
    for target, expected in ((Target(1.0), 1.0), (Target(0.8), 1.25)):
        with costs.measuring(target) as measure:
            assert measure(config) == measure(fewer_words) == pytest.approx(expected)
        assert costs.exported({"ratio": 1.06}, config, target) == pytest.approx(expected)


@pytest.mark.parametrize("cost", ["latency", "parameters", "multiplications", "bytes"])
def test_what_steers_gates(engine_cost, config, cost):
    """Gates that are calibrated to it leave a model that costs nearly what the target allows."""
    costs, target = engine_cost(cost, "1"), Target(0.8)
    gated = BertModel(units.with_gates(config, ["heads", "neurons"], "hard_concrete"))
    for seed, gate in enumerate(gated.gates):
        gate.log_alpha.assign(np.random.default_rng(seed).normal(size=gate.log_alpha.shape))
    steering = costs.of_gates(target)
    assert ("latency_table" in steering) == (cost == "latency")
    table = steering.get("latency_table")
    budget = latency_budget(gated, LatencyTable.load(table)) if table else gated.budget()
    budget.calibrate(steering["target_sparsity"])
    found = costs.cost.of_model(compression.remove_masks(gated).config)
    unit = max(group.unit_cost for group in budget.groups) / budget.dense_cost
    share = found / costs.cost.of_model(config)
    assert 0.8 - unit - 0.02 < share < 0.8 + 0.02


def test_the_lower_one_of_two_times_counts(engine_cost, config, monkeypatch, caplog):
    costs, paths = engine_cost("latency", "1"), []
    turns = [[np.array([0.004, 0.006])] * 3, [np.array([0.010])] * 3]

    def by_turns(engine, given, known, *_):
        assert known.vocab_size == 9  # The request has words of both models alone.
        paths.append((engine, *given))
        return turns

    monkeypatch.setattr(engine_cost_module.latency_measurement, "turns", by_turns)
    row = {"path": "small", "vocab_size": 9, "ratio": 0.6, "p50_ms": 9.0, "dense_p50_ms": 15.0}
    found = costs.timed_again(row, "large")
    assert found == {**row, "ratio": 0.5, "p50_ms": 5.0, "dense_p50_ms": 10.0}
    assert costs.timed_again({**row, "ratio": 0.4}, "large") == {**row, "ratio": 0.4}
    assert paths == [("onnxruntime", "small", "large")] * 2
    times = 0.010 / costs.table.predict(config)
    assert [f"takes {times:.1f} times as long" in one for one in caplog.messages] == [True] * 2
    assert times > 1.3


@pytest.mark.parametrize(
    ("cost", "target", "sentence"),
    [
        ("latency", "0.001ms", r"must be above \d+\.\d{3}ms, what is left of the latency"),
        ("bytes", "0.001MB", r"must be above \d\.\d{3}MB, what is left of the bytes"),
        ("parameters", "0.001M", r"must be above \d\.\d{3}M, .* received 0.001M"),
        ("parameters", "9M", r"must be at most 0\.\d{3}M, the parameters of the dense model"),
        ("latency", "1000ms", r"must be at most \d+\.\d{3}ms, the latency of the dense model"),
    ],
)
def test_a_target_out_of_reach_comes_with_the_nearest(engine_cost, config, cost, target, sentence):
    with pytest.raises(ValueError, match=f"Argument `targets` {sentence}"):
        engine_cost(cost, target).check_targets(config)
