import numpy as np
import pytest
import tensorflow as tf

from flop_tf import Budget, gates, surgery
from flop_tf.backend import keras
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.training.gated_model import GatedModel

MASK = (np.arange(15).reshape(5, 3) % 2).astype(np.float32)


def masked(gate="fixed", **kwargs):
    """A layer of 5 inputs and 3 outputs, half of its weights masked."""
    layer = GatedDense(3, gate, bias_initializer="ones", **kwargs)
    layer.build([None, 5])
    if gate == "fixed":
        layer.gate.values.assign(MASK)
    return layer


@pytest.mark.parametrize("shape", [(4, 5), (2, 7, 5), (2, 0, 5), (2, 3, 4, 5)])
def test_formula(shape):
    layer = masked(activation="tanh")
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    outputs = layer(inputs)
    expected = np.tanh(inputs @ (layer.kernel.numpy() * MASK) + 1)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert layer.compute_output_shape(shape) == outputs.shape


def test_masked_weights_get_no_gradient():
    layer = masked()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.ones([4, 5])) ** 2)
    gradient = tape.gradient(loss, layer.kernel).numpy()
    np.testing.assert_array_equal(gradient != 0, MASK > 0)


def test_an_open_gate_is_a_dense_layer():
    layer, dense = GatedDense(3, "fixed"), keras.layers.Dense(3)
    inputs = tf.random.normal([4, 5])
    layer(inputs), dense(inputs)
    dense.set_weights([layer.kernel, layer.bias])
    np.testing.assert_allclose(layer(inputs), dense(inputs), atol=1e-6)


def test_hard_concrete_gates_have_a_draw_a_weight():
    layer = masked("hard_concrete")
    assert layer.gate.log_alpha.shape == [5, 3]
    layer.gate.log_alpha.assign(tf.zeros([5, 3]))
    inputs = tf.ones([2, 5])
    assert np.abs(layer(inputs, training=True) - layer(inputs, training=False)).max() > 1e-3


@pytest.mark.parametrize("file", ["model.keras", "saved_model"])
def test_it_saves_and_loads(tmp_path, file):
    inputs = keras.Input([None, 5])
    model = keras.Model(inputs, masked()(inputs))
    data = tf.random.normal([2, 4, 5])
    model.save(tmp_path / file)
    np.testing.assert_allclose(keras.models.load_model(tmp_path / file)(data), model(data), 1e-6)


def test_removal_and_sparsity():
    inputs = keras.Input([5])
    layer = masked()
    model = GatedModel(inputs, layer(inputs))
    sparsity = Budget([layer])
    assert float(sparsity.stored_sparsity()) == pytest.approx(8 / 15)
    assert float(sparsity.expected_sparsity()) == pytest.approx(8 / 15)
    compact = surgery.compact(model)
    assert type(compact.layers[-1]) is keras.layers.Dense
    data = tf.random.normal([4, 5])
    np.testing.assert_allclose(compact(data), model(data), atol=1e-6)


def test_mixed_precision():
    previous = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = masked()
        outputs = layer(tf.ones([2, 5]))
    finally:
        keras.mixed_precision.set_global_policy(previous)
    assert outputs.dtype == tf.bfloat16
    assert layer.kernel.dtype == layer.gate.values.dtype == tf.float32


@pytest.mark.parametrize("gate, received", [(None, "None"), (gates.HardConcrete(axis=0), "axis=0")])
def test_refusals(gate, received):
    with pytest.raises(ValueError, match=f"`gate` must be a gate with `axis=None`.* {received}"):
        GatedDense(3, gate)
