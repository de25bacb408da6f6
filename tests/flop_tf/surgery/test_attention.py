"""factorize, training and compact on the projections of MultiHeadAttention."""

import numpy as np
import pytest

import flop_tf
from flop_tf.backend import keras
from flop_tf.layers.factorized_attention import FactorizedMultiHeadAttention, projections_of
from flop_tf.layers.factorized_einsum import FactorizedEinsumDense

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=[64, 5, 8]).astype(np.float32)
Y = X[:, :, :3] + X[:, ::-1, :3]


def block(**kwargs):
    """An attention with a residual, then a head; the attention has 4 kernels of 8 x 8."""
    inputs = keras.Input([5, 8])
    hidden = layers.MultiHeadAttention(2, 4, name="attention", **kwargs)(inputs, inputs)
    hidden = layers.Add()([inputs, hidden])
    return keras.Model(inputs, layers.Dense(3, name="head")(hidden))


def kinds(model):
    parts = projections_of(model.get_layer("attention"))
    return {name: type(part) for name, part in parts.items()}


def test_the_budget_counts_the_projections_of_attention():
    model = flop_tf.factorize(block(), gate="hard_concrete", skip=["head"])
    budget = model.budget()
    assert budget.original_parameters == 4 * 64 and len(budget.gates) == 4
    assert budget.survivors() == [8] * 4
    for shift, gate in enumerate(budget.gates):
        gate.shift(shift / 10 + np.arange(8.0))
    budget.calibrate(0.5)
    assert float(budget.stored_sparsity()) == 0.5  # Of 256, a rank has 16.
    names = [f"attention.{name}_gate" for name in ("query", "key", "value", "attention_output")]
    assert sorted(gate.name for gate in model.gates) == sorted(names)


def test_a_projection_can_be_skipped():
    model = block()
    for skip, left in (
        (["attention.query"], {"query"}),
        (["key", "attention.value"], {"key", "value"}),
    ):
        factorized = flop_tf.factorize(model, rank=2, skip=skip)
        found = {name for name, kind in kinds(factorized).items() if kind is layers.EinsumDense}
        assert found == left
        full = flop_tf.factorize(model, skip=skip)
        np.testing.assert_allclose(full(X), model(X), atol=1e-5)
    factorized = flop_tf.factorize(model, skip=["attention"])
    assert type(factorized.get_layer("attention")) is layers.MultiHeadAttention
    np.testing.assert_allclose(factorized(X), model(X), atol=1e-5)
    with pytest.raises(ValueError, match=r"unknown \['attention.output'\]"):
        flop_tf.factorize(model, skip=["attention.output"])


def test_a_density_decides_for_each_projection():
    model = block(value_dim=40)  # Break-even ranks 4, 4, 7.3 and 7.3.
    factorized = flop_tf.factorize(model, density=0.5, skip=["head"])
    parts = projections_of(factorized.get_layer("attention"))
    assert [parts[name].rank for name in parts] == [2, 2, 3, 3]
    assert flop_tf.factorize(model, density=1).count_params() == model.count_params()


def test_compact_stores_what_is_left_of_each_projection():
    gated = flop_tf.factorize(block(), gate="hard_concrete", skip=["head"])
    kept = {"query": 0, "key": 2, "value": 6, "attention_output": 8}
    for name, part in projections_of(gated.get_layer("attention")).items():
        part.gate.log_alpha.assign(np.where(np.arange(8) < kept[name], 9.0, -9.0))
    small = flop_tf.compact(gated)
    np.testing.assert_allclose(small(X), gated(X), atol=1e-5)
    assert kinds(small) == {
        "query": FactorizedEinsumDense,
        "key": FactorizedEinsumDense,
        "value": layers.EinsumDense,
        "attention_output": layers.EinsumDense,
    }
    stored = 0 + 2 * 16 + 2 * 64 + 4 * 8 + 27
    assert small.count_params() == stored
    # What is compact is factorized, and made compact, once more.
    again = flop_tf.factorize(small, gate="hard_concrete", skip=["head"])
    assert kinds(again)["value"] is FactorizedEinsumDense
    np.testing.assert_allclose(flop_tf.compact(again)(X), small(X), atol=1e-5)


def test_training_moves_gates_and_factors():
    model = flop_tf.factorize(block(dropout=0.1), gate="hard_concrete")
    budget = model.budget()
    model.compile(
        flop_tf.BertAdam(1e-3),
        "mse",
        gate_optimizer=flop_tf.BertAdam(0.1, epsilon=1e-8),
        multiplier_optimizer=flop_tf.BertAdam(0.1, epsilon=1e-8),
        lagrangian=flop_tf.Lagrangian(0.5, float(budget.expected_sparsity()), 2),
        sparsity=budget,
    )
    parts = projections_of(model.get_layer("attention")).values()
    before = [[weight.copy() for weight in part.get_weights()] for part in parts]
    model.fit(X, Y, batch_size=16, verbose=0)
    for old, part in zip(before, parts, strict=True):
        assert {weight.name.split("/")[-1] for weight in part.weights} == {
            "factor_in:0",
            "factor_out:0",
            "bias:0",
            "log_alpha:0",
        }
        # The bias of the keys shifts all scores of a query alike, so it may stay.
        moved = [
            np.abs(new - was).max() > 0 for new, was in zip(part.get_weights(), old, strict=True)
        ]
        assert sum(moved) >= 3


def test_prune_takes_attention():
    dense = block()
    small = flop_tf.prune(dense, (X, Y), "mse", 0.5, epochs=8, skip=["head"], verbose=0)
    assert isinstance(small.get_layer("attention"), FactorizedMultiHeadAttention)
    biases = 4 * 8 + 27
    assert small.count_params() <= biases + 128 < dense.count_params() == biases + 256


@pytest.mark.parametrize("file", ["model.keras", "saved_model"])
def test_it_saves_and_loads_at_every_stage(tmp_path, file):
    gated = flop_tf.factorize(block(), gate="hard_concrete", skip=["attention.key"])
    for model in (gated, flop_tf.factorize(block(), rank=2), flop_tf.compact(gated)):
        model.save(tmp_path / file)
        loaded = keras.models.load_model(tmp_path / file)
        np.testing.assert_allclose(loaded(X), model(X), atol=1e-6)
        assert isinstance(loaded.get_layer("attention"), FactorizedMultiHeadAttention)


def test_what_factors_do_not_have_is_said_of_attention():
    model = block(bias_regularizer="l2")
    with pytest.raises(ValueError, match="Layer 'attention.query' must have no bias_regularizer"):
        flop_tf.factorize(model)
    factorized = flop_tf.factorize(model, skip=["attention"])
    assert len(factorized.losses) == 4


def test_a_frozen_attention_stays_frozen():
    model = block()
    model.get_layer("attention").trainable = False
    factorized = flop_tf.factorize(model)
    assert len(factorized.trainable_variables) == 3
    assert len(flop_tf.compact(factorized).trainable_variables) == 2


def test_a_precision_and_a_name_stay():
    policy = keras.mixed_precision.Policy("mixed_bfloat16")
    factorized = flop_tf.factorize(block(dtype=policy, dropout=0.25))
    for model in (factorized, flop_tf.compact(factorized)):
        layer = model.get_layer("attention")
        assert (layer.dtype_policy.name, layer.dropout) == ("mixed_bfloat16", 0.25)
        assert {part.compute_dtype for part in projections_of(layer).values()} == {"bfloat16"}
