"""One step of several replicas, or of several parts, is the step of the whole batch."""

import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf.backend import keras

SIZE = 16
BATCH = 8
STEPS = 10


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=[STEPS * BATCH, SIZE]).astype(np.float32)
    y = np.tanh(x[:, :4] + x[:, 4:8]).astype(np.float32)
    return x, y, rng.uniform(0.5, 1.5, size=[STEPS * BATCH]).astype(np.float32)


def train(strategy=None, parts=1, regularization_scale=0.01):
    """Makes ten gated steps; returns the model and what was logged."""
    keras.utils.set_random_seed(1)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        inputs = keras.Input([SIZE])
        hidden = keras.layers.Dense(SIZE, activation="tanh", name="first")(inputs)
        outputs = keras.layers.Dense(4, name="head")(hidden)
        model = flop_tf.factorize(keras.Model(inputs, outputs), gate="hard_concrete", skip=["head"])
        sparsity = flop_tf.Budget([model.get_layer("first")])
        model.compile(
            flop_tf.BertAdam(1e-2, weight_decay=0.01, global_clipnorm=0.1),
            "mse",
            gate_optimizer=flop_tf.BertAdam(0.01, epsilon=1e-8),
            multiplier_optimizer=flop_tf.BertAdam(0.05, epsilon=1e-8),
            lagrangian=flop_tf.Lagrangian(0.5, float(sparsity.expected_sparsity()), 5),
            sparsity=sparsity,
            regularization_scale=regularization_scale,
            gradient_accumulation_steps=parts,
            metrics=["mae"],
        )
    history = []
    logger = keras.callbacks.LambdaCallback(on_batch_end=lambda _, logs: history.append(dict(logs)))
    replicas = strategy.num_replicas_in_sync

    def batches(_):
        return tf.data.Dataset.from_tensor_slices(data()).batch(BATCH // replicas)

    model.fit(
        strategy.distribute_datasets_from_function(batches),
        steps_per_epoch=STEPS,
        verbose=0,
        callbacks=[logger],
    )
    return model, history


@pytest.fixture(scope="module")
def whole():
    return train()


def assert_same(ours, theirs, atol=1e-5):
    (model, history), (other, expected) = ours, theirs
    for path, weight in flop_tf.surgery.named_weights(other).items():
        np.testing.assert_allclose(flop_tf.surgery.named_weights(model)[path], weight, atol=atol)
    for multiplier, wanted in zip(
        model.objective.lagrangian.multipliers,
        other.objective.lagrangian.multipliers,
        strict=True,
    ):
        assert float(wanted) > 0
        np.testing.assert_allclose(multiplier, wanted, atol=atol)
    for logs, wanted in zip(history, expected, strict=True):
        assert logs.keys() == wanted.keys()
        for name, value in wanted.items():
            assert logs[name] == pytest.approx(value, abs=1e-4), name


def test_two_replicas(whole, two_devices):
    model, history = train(two_devices)
    assert_same((model, history), whole)
    for variable in model.trainable_variables:
        first, second = two_devices.experimental_local_results(variable)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("parts", [2, 4])
def test_parts(whole, parts):
    assert_same(train(parts=parts), whole)


def test_two_replicas_of_two_parts(whole, two_devices):
    assert_same(train(two_devices, parts=2), whole)


def test_parts_of_batches_of_different_widths():
    def train_texts(parts):
        keras.utils.set_random_seed(1)
        inputs = keras.Input([None, SIZE])
        hidden = keras.layers.Dense(SIZE, activation="tanh", name="first")(inputs)
        outputs = keras.layers.Dense(4, name="head")(hidden)
        model = flop_tf.factorize(keras.Model(inputs, outputs), gate="hard_concrete", skip=["head"])
        model.compile(
            flop_tf.BertAdam(1e-2),
            "mse",
            gate_optimizer=flop_tf.BertAdam(0.01, epsilon=1e-8),
            gradient_accumulation_steps=parts,
        )
        history = model.fit(tf.data.Dataset.from_generator(texts, output_signature=spec), verbose=0)
        return flop_tf.surgery.named_weights(model), history.history["loss"]

    def texts():
        rng = np.random.default_rng(0)
        for width in (3, 7, 5):
            x = rng.normal(size=[BATCH, width, SIZE]).astype(np.float32)
            yield x, np.tanh(x[..., :4])

    spec = tuple(tf.TensorSpec([None, None, size]) for size in (SIZE, 4))
    (whole, loss), (ours, our_loss) = train_texts(1), train_texts(4)
    assert our_loss == pytest.approx(loss, abs=1e-5)
    for path, weight in whole.items():
        np.testing.assert_allclose(ours[path], weight, atol=1e-5, err_msg=path)
