import json

import numpy as np
import pytest

from bert_tf.encoders.config import ATTENTION_INPUTS, EncoderConfig
from bert_tf.latency import LatencyTable, terms
from bert_tf.serving import formats, latency_measurement, latency_probes
from bert_tf.serving.engines import num_threads

CONFIG = EncoderConfig(9, 32, 3, 4, 48, max_position_embeddings=16)
CHOICES = ("fused_layer_norm", "einsum_attention")


def counts_of(choices, number=40):
    sizes = latency_probes.sizes(CONFIG)
    plans = latency_probes.make(CONFIG, choices, most_blocks=9, number=number)
    return [terms.of_model(plan.config, plan.execution, sizes) for plan in plans]


def test_sizes():
    assert latency_probes.sizes(CONFIG) == {terms.ATTENTION: [1, 2, 4], terms.FFN: [3, 16, 48]}
    assert latency_probes.sizes(CONFIG, 1) == {terms.ATTENTION: [4], terms.FFN: [48]}
    smallest = EncoderConfig(9, 4, 1, 1, 1)
    assert latency_probes.sizes(smallest) == {terms.ATTENTION: [1], terms.FFN: [1]}


def test_models_are_dense_empty_and_random():
    dense, empty, *others, long = latency_probes.make(CONFIG, CHOICES, most_blocks=3, number=12)
    assert dense.config.layers == (CONFIG.layers[0],) * 3
    for plan, num_blocks in ((empty, 3), (long, 9)):
        assert [(one.num_heads, one.has_ffn) for one in plan.config.layers] == [
            (0, False)
        ] * num_blocks
    executions = [plan.execution for plan in others]
    assert {one.einsum_attention for one in executions} == {False, True}
    assert {one.fused_layer_norm for one in executions} == {False, True}
    for plan in others:
        for index in plan.execution.fused_blocks:
            layer = plan.config.layers[index]
            kinds = {layer.projection(name).rank is None for name in ATTENTION_INPUTS}
            assert layer.num_heads and len(kinds) == 1
    portable = latency_probes.make(CONFIG, (), most_blocks=3, number=12)
    assert not any(plan.execution.einsum_attention for plan in portable)


def test_large_vocabularies_are_cut_unless_the_head_reads_them():
    large = EncoderConfig(20_000, 32, 1, 4, 48)
    assert latency_probes.make(large, (), 1, 3)[0].config.vocab_size < 20_000
    words = EncoderConfig(20_000, 32, 1, 4, 48, head="mlm", num_labels=1)
    assert latency_probes.make(words, (), 1, 3)[0].config.vocab_size == 20_000


def times_of(counts):
    """Returns made-up seconds of each term, and the times of models that follow from them."""
    rng = np.random.default_rng(0)
    seconds = {key: 1e-6 * (1 + rng.random()) for key in sorted(set().union(*counts))}
    for term in terms.CURVES:  # More heads or neurons take more.
        for size in latency_probes.sizes(CONFIG)[term]:
            seconds[term, size] = 1e-6 * size
    for term in (terms.KERNEL, terms.FACTOR_NUMBERS):
        seconds[term, 0] *= 1e-4
    times = [sum(count * seconds[key] for key, count in one.items()) for one in counts]
    assert min(times) > 0
    return seconds, np.array(times)


def test_seconds_that_explain_the_times_are_found():
    counts = counts_of(CHOICES)
    seconds, times = times_of(counts)
    found = latency_measurement.fit(counts, np.outer([1.2, 1.0, 1.1], times))
    assert found.keys() == seconds.keys()
    for key, (value, spread) in found.items():
        assert value == pytest.approx(seconds[key], rel=1e-3)
        assert spread == pytest.approx(0.1 * seconds[key], rel=1e-2)


def test_what_else_runs_is_not_in_a_table():
    """Each model is slowed in all rounds but one, by up to the double."""
    counts, rng = counts_of(CHOICES), np.random.default_rng(0)
    seconds, times = times_of(counts)
    rounds = times * (1 + rng.random([4, len(times)]))
    rounds[rng.integers(4, size=len(times)), np.arange(len(times))] = times
    found = latency_measurement.fit(counts, rounds)
    for key, (value, _) in found.items():
        assert value == pytest.approx(seconds[key], rel=1e-3)


def test_differences_may_be_below_0():
    counts = counts_of(CHOICES)
    seconds, times = times_of(counts)
    faster = -2 * seconds[terms.EINSUM, 0]
    times += [faster * one.get((terms.EINSUM, 0), 0) for one in counts]
    found = latency_measurement.fit(counts, times[np.newaxis])
    assert found[terms.EINSUM, 0][0] == pytest.approx(-seconds[terms.EINSUM, 0], rel=1e-3)


def test_what_must_not_be_below_0_is_not():
    rng = np.random.default_rng(0)
    counts = counts_of(CHOICES)
    found = latency_measurement.fit(counts, 1e-3 * (1 + rng.random([4, len(counts)])))
    for (term, _), (value, _) in found.items():
        assert value >= 0 or term in terms.DIFFERENCES
    for term in terms.CURVES:
        curve = [found[term, size][0] for size in latency_probes.sizes(CONFIG)[term]]
        assert curve == sorted(curve)


@pytest.mark.parametrize("engine", ["tensorflow", "onnxruntime"])
def test_measured(engine, tmp_path, capsys):
    pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")
    quick = {"rounds": 2, "most_blocks": 1, "number": 3}
    table = latency_measurement.measure(CONFIG, (2, 8), [engine], **quick)[engine]
    assert (table.engine, table.shape) == (engine, (2, 8))
    assert (table.hidden_size, table.head_size) == (32, 8)
    assert table.environment["device"] and table.environment["threads"] == num_threads()
    assert 0 < table.predict(CONFIG) < np.inf
    assert all(np.isfinite(values).all() for values in table.seconds.values())
    table.save(tmp_path / "t.json")
    assert LatencyTable.load(str(tmp_path / "t.json")) == table
    assert json.loads((tmp_path / "t.json").read_text())["engine"] == engine
    shown = capsys.readouterr().err
    assert "models in" in shown and f"rounds at 2x8 by {engine}: 100%" in shown


def test_disturbed_models_are_timed_again(monkeypatch, caplog):
    pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")
    plans = latency_probes.make(CONFIG, (), 1, 12)
    sizes = latency_probes.sizes(CONFIG, 1)
    counts = [terms.of_model(plan.config, plan.execution, sizes) for plan in plans]
    _, clean = times_of(counts)
    rng, calls = np.random.default_rng(0), []

    def times(engine, paths, config, shape, rounds):
        calls.append(rounds)
        noise = 1 + 2 * rng.random([rounds, len(paths)]) if len(calls) < 2 else 1.0
        return clean * np.ones([rounds, 1]) * noise

    monkeypatch.setattr(latency_measurement, "times", times)
    monkeypatch.setattr(latency_measurement, "_written", lambda *_: [(engines, plans, folders)])
    engines, folders = {"onnxruntime": formats.FORMATS["onnx"]}, ["x"] * len(plans)
    settings = {"rounds": 2, "most_blocks": 1, "number": 12, "num_sizes": 1}
    table = latency_measurement.measure(CONFIG, (2, 8), ["onnxruntime"], **settings)["onnxruntime"]
    assert calls == [2, 2]
    assert latency_measurement.error_of(table, plans, clean[np.newaxis]) < 1e-3


def test_an_engine_that_cannot_run_a_model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="ONNX Runtime cannot load '.*model.onnx'"):
        latency_measurement.times("onnxruntime", [tmp_path / "model.onnx"], CONFIG, (2, 8), 1)


def test_ways_that_only_tensorflow_has():
    assert formats.FORMATS["saved_model"].choices == CHOICES
    assert not any(form.choices for name, form in formats.FORMATS.items() if name != "saved_model")
