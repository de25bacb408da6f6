"""A gate that is defined here works everywhere, though nothing else names it."""

import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf import gates
from flop_tf.backend import keras

SCALE = 10.0


class Ramp(gates.Gate):
    """`z = clip(h, 0, 1)` of a height h, without noise and without a log_alpha."""

    variable_name = "height"
    calibrates = True

    def build_mask(self, shape):
        self.height = self.add_weight("height", shape, initializer=keras.initializers.Constant(0.9))

    def mask(self, training=None):
        return tf.clip_by_value(self.height, 0.0, 1.0)

    def expected_active(self):
        return tf.reduce_sum(tf.sigmoid(SCALE * self.height))

    def keep(self):
        return self.height > 0

    def opens_at(self):
        return -SCALE * self.height.numpy().astype(np.float64)

    def shift(self, amount):
        super().shift(np.asarray(amount) / SCALE)


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Registers the gate for these tests; others list all gates that are known."""
    with gates.GATES.temporary():
        gates.register_gate("ramp", package="test_own_gate")(Ramp)
        yield


def dense_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input([8])
    hidden = keras.layers.Dense(12, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(hidden))


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=[160, 8]).astype(np.float32)
    return x, (x @ rng.normal(size=[8, 2])).astype(np.float32)


def test_it_is_found_by_name_and_by_what_it_can_do():
    assert "ramp" in gates.CALIBRATED and "ramp" in gates.PRUNING
    assert "ramp" not in gates.BY_MAGNITUDE and "ramp" not in gates.STRAIGHT_THROUGH
    assert gates.serialize(Ramp(axis=0))["name"] == "ramp"
    assert type(gates.get("ramp", axis=0)) is Ramp
    gates.register_gate("later", package="test_own_gate")(type("Later", (Ramp,), {}))
    assert "later" in gates.PRUNING


def test_arguments_that_it_lacks_are_left_out():
    offered = {"seed": 1, "initial_log_alpha": 2.0}
    assert gates.accepted("ramp", **offered) == {}
    assert gates.accepted("hard_concrete", **offered) == offered


def test_factorize_train_and_compact():
    model = flop_tf.factorize(dense_model(), gate="ramp")
    budget = model.budget()
    x, y = data()
    loss = keras.losses.MeanSquaredError()
    layers = [group.layer for group in budget.ranks]
    importance = flop_tf.rank_importance(model, layers, [(tf.constant(x), tf.constant(y))], loss)
    flop_tf.order_gates(budget, importance, 0.5, start=0.9)
    for gate, values in zip(budget.gates, importance, strict=True):
        assert (np.diff(gate.height.numpy()[np.argsort(values)]) >= 0).all()
    model.compile(
        flop_tf.BertAdam(1e-2),
        loss,
        gate_optimizer=flop_tf.BertAdam(0.05, epsilon=1e-8),
        multiplier_optimizer=flop_tf.BertAdam(0.05, epsilon=1e-8),
        lagrangian=flop_tf.Lagrangian(0.5, float(budget.expected_sparsity()), 20),
        sparsity=budget,
    )
    fixing = flop_tf.FixGates(budget, 0.5, last_step=30)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[fixing])
    assert fixing.fixed and 0.5 <= float(budget.stored_sparsity()) < 0.5 + 20 / 120
    small = flop_tf.compact(model)
    assert not small.gates and small.count_params() < dense_model().count_params()
    np.testing.assert_allclose(small(x), model(x, training=False), atol=1e-5)
