import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf.backend import keras
from flop_tf.training.fix_gates import FixGates
from flop_tf.training.gated_model import GatedModel
from flop_tf.training.task_objective import TaskObjective

LATENT = 16
SMALL = 16
LARGE = 256  # One unit is less than half a point.
TARGET = 0.5


def data(batches=40, batch=16, size=SMALL):
    """A task that a product of few ranks can solve."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=[LATENT, size]) / np.sqrt(LATENT)
    directions = rng.normal(size=[LATENT, 4]) / np.sqrt(LATENT)
    latent = rng.normal(size=[batches * batch, LATENT])
    x, y = (latent @ mixing).astype(np.float32), np.tanh(latent @ directions).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(batch)


def gated_model(gate="hard_concrete", size=SMALL):
    keras.utils.set_random_seed(1)
    inputs = keras.Input([size])
    hidden = keras.layers.Dense(size, activation="tanh", name="first")(inputs)
    hidden = keras.layers.Dense(size, activation="tanh", name="second")(hidden)
    outputs = keras.layers.Dense(4, name="head")(hidden)
    return flop_tf.factorize(keras.Model(inputs, outputs), gate=gate, skip=["head"])


def compiled(model, target=TARGET, warmup_steps=40, **kwargs):
    sparsity = flop_tf.Budget([model.get_layer("first"), model.get_layer("second")])
    model.compile(
        flop_tf.BertAdam(1e-3, weight_decay=0.01, global_clipnorm=1.0),
        "mse",
        gate_optimizer=flop_tf.BertAdam(0.1, epsilon=1e-8),
        multiplier_optimizer=flop_tf.BertAdam(0.05, epsilon=1e-8),
        lagrangian=flop_tf.Lagrangian(target, float(sparsity.expected_sparsity()), warmup_steps),
        sparsity=sparsity,
        **kwargs,
    )
    return sparsity


def gates_of(model):
    return [gate.log_alpha.numpy() for gate in model.gates]


def weights_of(model):
    return [variable.numpy() for variable in model.weight_variables()]


def same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


class Steps(keras.callbacks.Callback):
    """Keeps the logs, weights and gates after every step."""

    def __init__(self):
        super().__init__()
        self.logs, self.gates, self.weights = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append(dict(logs))
        self.gates.append(gates_of(self.model))
        self.weights.append(weights_of(self.model))


@pytest.fixture(scope="module")
def run():
    """One run to the target, with the gates fixed on the way."""
    model = gated_model(size=LARGE)
    sparsity = compiled(model)
    fix, steps = FixGates(sparsity, TARGET, last_step=120), Steps()
    model.fit(data(size=LARGE), epochs=4, verbose=0, callbacks=[fix, steps], shuffle=False)
    return model, sparsity, fix, steps


def test_the_stored_sparsity_is_the_asked_one(run):
    _, sparsity, fix, _ = run
    assert fix.fixed
    assert 0 <= float(sparsity.stored_sparsity()) - TARGET < 0.005


def test_the_gates_are_fixed_and_the_weights_go_on(run):
    model, _, fix, steps = run
    end = next(i for i, logs in enumerate(steps.logs) if "lagrangian_loss" not in logs)
    assert end <= 120 < len(steps.logs) == 160
    assert all("lagrangian_loss" not in logs for logs in steps.logs[end:])
    # What is reached stays in the log.
    assert len({logs["stored_sparsity"] for logs in steps.logs[end:]}) == 1
    assert len({logs["expected_sparsity"] for logs in steps.logs[end:]}) == 1
    assert same(steps.gates[end - 1], gates_of(model))
    assert not same(steps.gates[end - 2], steps.gates[end - 1])
    assert not same(steps.weights[-2], steps.weights[-1])
    assert model.gate_variables() == []
    assert fix.shift != 0


def test_the_controller_follows_the_ramp(run):
    _, sparsity, _, steps = run
    pruning = [logs for logs in steps.logs if "lagrangian_loss" in logs]
    targets = [logs["target_sparsity"] for logs in pruning]
    start = pruning[0]["expected_sparsity"]
    assert start < 0 and targets[0] == pytest.approx(start)
    assert targets[20] == pytest.approx((start + TARGET) / 2, abs=1e-5)
    assert targets[-1] == pytest.approx(TARGET, abs=1e-6) or len(targets) < 40
    assert pruning[-1]["expected_sparsity"] > 0.2
    for name in ("lambda_1", "lambda_2"):
        values = [logs[name] for logs in pruning]
        assert min(values) >= 0 and values[5] > 0
    assert {"alpha_lr", "lambda_lr", "model_lr", "lagrangian_loss", "stored_sparsity"} <= set(
        pruning[-1]
    )


def test_the_task_is_learned(run):
    _, _, _, steps = run
    assert steps.logs[-1]["loss"] < 0.7 * steps.logs[0]["loss"]


def test_what_was_trained_is_compacted(run):
    model, sparsity, _, _ = run
    compacted = flop_tf.compact(model)
    x = next(iter(data(size=LARGE)))[0]
    np.testing.assert_allclose(compacted(x), model(x, training=False), atol=1e-5)
    stored = flop_tf.Budget(
        [compacted.get_layer("first"), compacted.get_layer("second")],
        sparsity.original_parameters,
    )
    assert float(stored.stored_sparsity()) == float(sparsity.stored_sparsity())


def test_fixed_gates_stay_fixed_when_training_goes_on():
    model = gated_model()
    compiled(model)
    model.fix_gates()
    before = gates_of(model)
    for _ in range(2):
        model.fit(data(3), verbose=0)
        assert same(before, gates_of(model)) and model.gate_variables() == []


def test_the_gates_are_fixed_at_the_last_step_at_the_latest():
    model = gated_model()
    sparsity = compiled(model, warmup_steps=1000)
    fix, steps = FixGates(sparsity, TARGET, last_step=13), Steps()
    model.fit(data(20), verbose=0, callbacks=[fix, steps], shuffle=False)
    assert ["lagrangian_loss" in logs for logs in steps.logs] == [True] * 13 + [False] * 7
    assert float(sparsity.stored_sparsity()) >= TARGET


@pytest.mark.parametrize("train_weights", [True, False])
def test_gates_alone(train_weights):
    model = gated_model()
    compiled(model, train_weights=train_weights)
    weights, gates = weights_of(model), gates_of(model)
    history = model.fit(data(5), verbose=0).history
    assert same(weights, weights_of(model)) is not train_weights
    assert not same(gates, gates_of(model))
    assert int(model.optimizer.iterations) == 5
    assert ("model_lr" in history) is train_weights


def test_without_a_gate_optimizer_gates_stay():
    model = gated_model()
    model.compile(flop_tf.BertAdam(1e-3), "mse")
    weights, gates = weights_of(model), gates_of(model)
    history = model.fit(data(5), verbose=0).history
    assert same(gates, gates_of(model)) and not same(weights, weights_of(model))
    assert "lagrangian_loss" not in history and "expected_sparsity" not in history


def test_without_a_lagrangian_gates_follow_the_task():
    model = gated_model()
    model.compile(flop_tf.BertAdam(1e-3), "mse", gate_optimizer=flop_tf.BertAdam(0.1))
    gates = gates_of(model)
    for gate in model.gates:
        gate.log_alpha.assign(tf.zeros_like(gate.log_alpha))
    history = model.fit(data(5), verbose=0).history
    assert not same(gates, gates_of(model))
    assert "alpha_lr" in history and "lambda_lr" not in history


def test_a_model_without_gates_trains_as_any_other():
    model = gated_model(gate=None)
    model.compile(flop_tf.BertAdam(1e-3), "mse", gate_optimizer=flop_tf.BertAdam(0.1))
    plain = keras.Model(model.inputs, model.outputs)
    weights = model.get_weights()
    ours = model.fit(data(5), verbose=0, shuffle=False).history["loss"]
    ended = model.get_weights()
    model.set_weights(weights)
    plain.compile(flop_tf.BertAdam(1e-3), "mse")
    plain.fit(data(5), verbose=0, shuffle=False)
    for one, other in zip(ended, plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.isfinite(ours[0])


def test_the_parts_of_the_loss_by_hand():
    model = gated_model()
    sparsity = compiled(model, regularization_scale=0.25)
    for gate in model.gates:
        gate.trainable = False  # Without noise, so that the task's loss is known.
    kernels = [
        variable
        for layer in ("first", "second", "head")
        for variable in model.get_layer(layer).trainable_variables
        if "bias" not in variable.name
    ]
    assert len(kernels) == 5
    l2 = 0.25 * sum(float(np.sum(np.square(k.numpy()))) / 2 for k in kernels)
    x, y = next(iter(data()))
    task = float(np.mean(np.square(model(x).numpy() - y)))
    logs = model.train_step((x, y))
    assert float(logs["l2_regularization_loss"]) == pytest.approx(l2, rel=1e-5)
    assert float(logs["loss"]) == pytest.approx(task + l2, rel=1e-5)
    assert "lagrangian_loss" not in logs

    model = gated_model()
    sparsity = compiled(model)
    model.objective.lagrangian.lambda_1.assign(0.3)
    model.objective.lagrangian.lambda_2.assign(0.2)
    model.optimizer.iterations.assign(40)
    behind = TARGET - float(sparsity.expected_sparsity())
    logs = model.train_step((x, y))
    penalty = 0.3 * behind + 0.2 * behind**2
    assert float(logs["lagrangian_loss"]) == pytest.approx(penalty, rel=1e-5)
    assert float(logs["loss"]) > penalty
    assert "l2_regularization_loss" not in logs


@pytest.mark.parametrize("seed, equal", [(0, True), (3, False)])
def test_the_seed_decides_everything(seed, equal):
    def trained(seed):
        model = gated_model()
        compiled(model, seed=seed)
        for gate in model.gates:
            gate.log_alpha.assign(tf.zeros_like(gate.log_alpha))
        history = model.fit(data(5), verbose=0, shuffle=False).history
        return history["loss"], gates_of(model), weights_of(model)

    first, second = trained(0), trained(seed)
    assert (first[0] == second[0]) is equal
    assert (same(first[1], second[1]) and same(first[2], second[2])) is equal


def test_a_checkpoint_goes_on_as_an_unbroken_run(tmp_path):
    def parts(model):
        return {
            "model": model,
            "optimizer": model.optimizer,
            "gates": model.objective.gate_optimizer,
            "multipliers": model.objective.multiplier_optimizer,
            "lagrangian": model.objective.lagrangian,
        }

    unbroken = gated_model()
    compiled(unbroken)
    unbroken.fit(data(6), verbose=0, shuffle=False)

    broken = gated_model()
    compiled(broken)
    broken.fit(data(6).take(3), verbose=0, shuffle=False)
    path = tf.train.Checkpoint(**parts(broken)).save(tmp_path / "checkpoint")
    resumed = gated_model()
    compiled(resumed)
    resumed.optimizer.build(resumed.weight_variables())
    objective = resumed.objective
    objective.gate_optimizer.build(resumed.gate_variables())
    objective.multiplier_optimizer.build(objective.lagrangian.multipliers)
    tf.train.Checkpoint(**parts(resumed)).restore(path).assert_existing_objects_matched()
    resumed.fit(data(6).skip(3), verbose=0, shuffle=False)
    for ours, theirs in zip(resumed.weights, unbroken.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_evaluation_has_no_noise():
    model = gated_model()
    compiled(model)
    for gate in model.gates:
        gate.log_alpha.assign(tf.zeros_like(gate.log_alpha))
    losses = {model.evaluate(data(2), verbose=0) for _ in range(2)}
    assert len(losses) == 1


def test_a_compiled_model_saves_and_loads(tmp_path):
    model = gated_model()
    compiled(model)
    model.fit(data(2), verbose=0)
    x = next(iter(data()))[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, GatedModel)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


@pytest.mark.parametrize("missing", ["gate_optimizer", "multiplier_optimizer", "sparsity"])
def test_a_lagrangian_needs_its_company(missing):
    model = gated_model()
    arguments = {
        "gate_optimizer": flop_tf.BertAdam(),
        "multiplier_optimizer": flop_tf.BertAdam(),
        "sparsity": flop_tf.Budget([model.get_layer("first")]),
        "lagrangian": flop_tf.Lagrangian(0.5, 0.0, 10),
        missing: None,
    }
    with pytest.raises(ValueError, match="`lagrangian` needs `gate_optimizer`, `multiplier_opt"):
        model.compile("sgd", "mse", **arguments)


@pytest.mark.parametrize("train_weights", [True, False])
def test_a_loss_scale_that_is_too_large_comes_down(train_weights):
    def scaling(rate):
        return keras.mixed_precision.LossScaleOptimizer(
            flop_tf.BertAdam(rate), initial_scale=2.0**126
        )

    model = gated_model()
    model.compile(scaling(1e-3), "mse", gate_optimizer=scaling(0.1), train_weights=train_weights)
    gates, steps = gates_of(model), Steps()
    x, y = next(iter(data()))
    loud = tf.data.Dataset.from_tensors((x, 1e3 * y)).repeat(30)
    model.fit(loud, verbose=0, callbacks=[steps])
    assert same(gates, steps.gates[0]) and not same(gates, steps.gates[-1])
    assert not any(np.isnan(gate).any() for gate in steps.gates[-1])


def test_an_objective_brings_its_own_settings():
    model = gated_model()
    with pytest.raises(ValueError, match="`objective` brings its own settings, .* with seed; pass"):
        model.compile("sgd", "mse", objective=TaskObjective(), seed=1)
