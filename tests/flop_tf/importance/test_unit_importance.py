import numpy as np
import pytest
import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.gates import importance
from flop_tf.importance.unit_importance import UnitImportance
from flop_tf.training.gated_model import GatedModel

# Vector C5 of the specification: [B, H, T, D].
CONTEXT = [
    [[[1, 2], [0, 1]], [[-1, 1], [2, 0]]],
    [[[0.5, 0.5], [1, 0]], [[1, 1], [0, -2]]],
]
GRADIENT = [
    [[[0.1, -0.2], [0.3, 0.1]], [[0.2, 0.2], [-0.1, 0.4]]],
    [[[0.4, 0.2], [0.1, 0.1]], [[0.1, -0.3], [0.2, 0.2]]],
]
# As gates see them, [B, T, U, W].
CONTEXT, GRADIENT = (np.swapaxes(np.float32(one), 1, 2) for one in (CONTEXT, GRADIENT))


def model(reducer, shape=(3, 4, 2)):
    """A model `[B, 3, 4, 2] -> [B, 1]` with a gate on the third axis."""
    inputs = keras.Input(shape)
    gated = importance.Importance(axis=2, reducer=reducer, name="gate")(inputs)
    hidden = keras.layers.Dense(5, activation="tanh")(keras.layers.Flatten()(gated))
    return GatedModel(inputs, keras.layers.Dense(1)(hidden))


def data(examples=12):
    generator = np.random.default_rng(0)
    x = generator.normal(size=[examples, 3, 4, 2]).astype(np.float32)
    return x, generator.normal(size=[examples, 1]).astype(np.float32)


def batches(x, y, size):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


LOSS = keras.losses.MeanSquaredError()


@pytest.mark.parametrize(
    "reducer, expected",
    [("token", [0.8, 0.8]), ("example", [0.6, 0.8]), ("batch", [0.2, 0.8])],
)
def test_reducers(reducer, expected):
    reduced = importance.REDUCERS[reducer](tf.constant(CONTEXT * GRADIENT), 2)
    np.testing.assert_allclose(np.abs(reduced), expected, atol=1e-6)


@pytest.mark.parametrize("reducer", sorted(importance.REDUCERS))
def test_the_gradient_of_the_gate_is_the_reduced_product(reducer):
    gate = importance.Importance(axis=2, reducer=reducer)
    inputs = tf.constant(CONTEXT)
    gate(inputs)
    gate.values.assign([1.0, 0.0])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        tape.watch(gate.values)
        loss = tf.reduce_sum(gate(inputs) * GRADIENT)
    scores, upstream = tape.gradient(loss, [gate.values, inputs])
    np.testing.assert_allclose(
        scores, importance.REDUCERS[reducer](tf.constant(CONTEXT * GRADIENT), 2), atol=1e-6
    )
    np.testing.assert_allclose(upstream, GRADIENT * [[1.0], [0.0]], atol=1e-7)


def test_the_batch_reducer_is_the_slope_of_the_loss():
    """Vector C20: the gradient is the finite difference of the loss in the gate."""
    x, y = data()
    measured = model("batch")
    gate = measured.get_layer("gate")
    gate.values.assign([0.5, 0.25, 0.75, 0.5])
    ((scores,), _) = UnitImportance(measured, LOSS).measure(batches(x, y, 12))
    step = 1e-2
    for unit in range(4):
        losses = []
        for sign in (1, -1):
            values = np.float32([0.5, 0.25, 0.75, 0.5])
            values[unit] += sign * step
            gate.values.assign(values)
            losses.append(float(LOSS(y, measured(x))))
        assert scores[unit] == pytest.approx(abs(losses[0] - losses[1]) / (2 * step), rel=1e-2)


@pytest.mark.parametrize("reducer", ["token", "example"])
def test_the_mean_over_the_data_does_not_depend_on_batches(reducer):
    x, y = data()
    measured = UnitImportance(model(reducer), LOSS)
    ((whole,), _) = measured.measure(batches(x, y, 12))
    ((parts,), _) = measured.measure(batches(x[::-1], y[::-1], 5))
    np.testing.assert_allclose(whole, parts, rtol=1e-5)


def test_the_mean_is_that_of_single_examples():
    x, y = data(5)
    measured = UnitImportance(model("example"), LOSS)
    ((whole,), _) = measured.measure(batches(x, y, 5))
    single = [measured.measure(batches(x[i : i + 1], y[i : i + 1], 1))[0][0] for i in range(5)]
    np.testing.assert_allclose(whole, np.mean(single, axis=0), rtol=1e-5)
    ((token,), _) = UnitImportance(model("token"), LOSS).measure(batches(x, y, 5))
    assert token.shape == (4,) and (token > 0).all()


def test_masks_change_without_another_trace_and_outputs_come_back():
    x, y = data()
    measured = model("token")
    pass_ = UnitImportance(measured, LOSS)
    _, outputs = pass_.measure(batches(x, y, 5))
    np.testing.assert_allclose(np.concatenate(outputs), measured(x), atol=1e-6)
    traces = pass_._step.experimental_get_tracing_count()
    measured.get_layer("gate").values.assign([1, 0, 1, 0])
    _, masked = pass_.measure(batches(x, y, 5))
    assert np.abs(np.concatenate(masked) - np.concatenate(outputs)).max() > 1e-3
    assert pass_._step.experimental_get_tracing_count() == traces


def test_accumulation_is_an_option_of_the_pass():
    x, y = data()
    measured = UnitImportance(model("batch"), LOSS)
    ((first,), _) = measured.measure(batches(x, y, 6), accumulate=True)
    ((other,), _) = measured.measure(batches(x[::-1], y[::-1], 6), accumulate=True)
    assert np.abs(first - other).max() > 1e-3


def test_refusals():
    with pytest.raises(ValueError, match="`reducer` must be one of .*, received 'word'"):
        importance.Importance(reducer="word")
    with pytest.raises(ValueError, match="`model` must have Importance gates, received one with"):
        UnitImportance(GatedModel(i := keras.Input([2]), keras.layers.Dense(1)(i)), LOSS)
    with pytest.raises(ValueError, match="`dataset` must have at least one batch, received none"):
        UnitImportance(model("token"), LOSS).measure([])
