import os

import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.studies.speed import benchmark_process, benchmark_steps, benchmarking
from flop_tf.backend import keras

CONFIG = EncoderConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
)


@pytest.fixture
def float32():
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("variant", benchmark_steps.VARIANTS)
def test_every_variant_learns_at_any_shape(variant):
    keras.utils.set_random_seed(0)
    step = benchmark_steps.build(variant, CONFIG)
    step(*benchmarking.random_batch([CONFIG], 2, 3))
    features, labels = benchmarking.random_batch([CONFIG], 3, 7)
    logs = [step(features, labels * 0) for _ in range(150)]
    losses = [float(one["loss"] - one.get("lagrangian_loss", 0.0)) for one in logs]
    assert np.isfinite(losses).all()
    # A teacher with random weights says nothing of the labels.
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) or variant == "taught_units"


@pytest.mark.parametrize("variant", ["tf_models", "gated"])
@pytest.mark.parametrize(("precision", "jit_compile"), [("bfloat16", False), ("none", True)])
def test_precision_and_compilation(variant, precision, jit_compile, float32):
    benchmark_process.configure(precision)
    step = benchmark_steps.build(variant, CONFIG, jit_compile)
    logs = step(*benchmarking.random_batch([CONFIG], 2, 3))
    assert np.isfinite(float(logs["loss"]))


def test_unknown_variant():
    with pytest.raises(ValueError, match="`variant` must be one of.*'gated'.*received 'sparse'"):
        benchmark_steps.build("sparse", CONFIG)


def test_full_rank():
    specs = [spec for *_, spec, _ in benchmark_steps.full_rank(CONFIG, gated=True).projections()]
    assert {spec.rank for spec in specs} == {8}
    assert len({spec.gate["config"]["seed"] for spec in specs}) == len(specs) == 6
    ungated = benchmark_steps.full_rank(CONFIG, gated=False).projections()
    assert not any(spec.gate for *_, spec, _ in ungated)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_memory_is_that_of_another_process():
    ballast = np.ones(2**27)  # 1 GiB, which the measured process does not have.
    batch = benchmarking.random_batch([CONFIG], 2, 3)
    measured = benchmark_steps.peak_memory("dense", CONFIG, batch, threads=1)
    assert 0 < measured["base_bytes"] < measured["peak_bytes"] < measured["base_bytes"] + 2**29
    assert len(ballast)


def test_a_process_that_ends_early():
    with pytest.raises(OSError, match="memory is measured was killed, .* batches, or --nomemory"):
        benchmark_process.peak_memory(os._exit, 1)
