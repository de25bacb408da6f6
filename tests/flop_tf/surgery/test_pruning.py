import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf.backend import keras

LAYERS = keras.layers


def functional():
    inputs = keras.Input([16])
    hidden = LAYERS.Dense(24, activation="relu")(inputs)
    return keras.Model(inputs, LAYERS.Dense(3, name="logits")(hidden))


def sequential():
    return keras.Sequential([keras.Input([16]), LAYERS.Dense(24, "relu"), LAYERS.Dense(3)])


def nested():
    inputs = keras.Input([16])
    inside = keras.Sequential([keras.Input([16]), LAYERS.Dense(24, "relu")], name="inside")
    return keras.Model(inputs, LAYERS.Dense(3)(inside(inputs)))


def arrays(rows=96):
    rng = np.random.default_rng(0)
    x = rng.normal(size=[rows, 16]).astype(np.float32)
    return x, np.tanh(x[:, :3])


def dataset():
    return tf.data.Dataset.from_tensor_slices(arrays()).batch(16)


@pytest.mark.parametrize("make", [functional, sequential, nested])
def test_models_of_every_kind(make):
    dense = make()
    before = [weight.copy() for weight in dense.get_weights()]
    small = flop_tf.prune(
        dense, target_sparsity=0.5, data=arrays(), loss="mse", epochs=6, verbose=0
    )
    assert not small.gates
    assert sum(np.size(w) for w in small.get_weights() if w.ndim == 2) <= 456 / 2
    assert small(arrays()[0]).shape == [96, 3]
    for old, new in zip(before, dense.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_it_learns_and_the_second_half_has_fixed_gates():
    seen = []

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((self.model, float(logs["stored_sparsity"]), logs["loss"]))

    small = flop_tf.prune(
        functional(),
        dataset(),
        "mse",
        0.4,
        epochs=30,
        skip=["logits"],
        callbacks=[Note()],
        verbose=0,
    )
    model = seen[0][0]
    assert len(seen) == 30 * 6 and not any(gate.trainable for gate in model.gates)
    assert len({stored for _, stored, _ in seen[91:]}) == 1 and seen[-1][1] >= 0.4
    assert seen[-1][2] < seen[0][2] / 2
    assert type(small.get_layer("logits")) is LAYERS.Dense
    x, _ = arrays()
    np.testing.assert_allclose(small(x), model(x, training=False), atol=1e-5)


def test_a_seed_makes_the_same_model():
    def weights(seed):
        keras.backend.clear_session()  # The names of layers belong to the seeds of gates.
        keras.utils.set_random_seed(1)
        return flop_tf.prune(
            functional(), arrays(32), "mse", epochs=2, seed=seed, verbose=0
        ).get_weights()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_data_of_unknown_number_and_weights_of_examples():
    x, y = arrays()
    weighted = tf.data.Dataset.from_tensor_slices((x, y, np.ones(96, np.float32)))
    unknown = weighted.filter(lambda *_: True).batch(32)
    loss = keras.losses.MeanSquaredError()
    small = flop_tf.prune(functional(), unknown, loss, epochs=2, optimizer="adam", verbose=0)
    assert small.count_params() < functional().count_params()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": dataset().repeat()}, "`data` must have a finite number .* received no end"),
        ({"data": dataset().take(0)}, "`data` must have a finite number .* received none"),
        ({"data": arrays()[0]}, r"must be `\(x, y\)` or .*, received ndarray"),
        ({"data": arrays()[:1]}, r"must be `\(x, y\)` or .*, received 1 parts"),
        ({"data": dataset().map(lambda x, y: x)}, r"must be `\(x, y\)` or .*, received TensorSpec"),
        ({"data": (arrays()[0], arrays(9)[1])}, r"arrays of one length .* received .*\[9, 96\]"),
        ({"data": (arrays()[0][:0], arrays()[1][:0])}, r"of at least 1, received lengths of \[0\]"),
        ({"loss": None}, "`loss` is needed, such as 'mse', received None"),
        ({"target_sparsity": "half"}, r"must be a number in \[0, 1\), received 'half'"),
        ({"epochs": 0}, "`epochs` must be an int of at least 1, received 0"),
        ({"target_sparsity": 1.5}, "`target_sparsity` must be at most the sparsity with all gates"),
        ({"target_sparsity": -0.5}, r"`target_sparsity` must be in \[0, 1\), received -0.5"),
        ({"skip": ["logit"]}, r"`skip` must name layers of the model"),
        ({"skip": ["dense", "logits"]}, "at least one layer with a kernel"),
    ],
)
def test_arguments_that_are_refused(changes, sentence):
    keras.backend.clear_session()
    arguments = {"data": dataset(), "loss": "mse", "verbose": 0, **changes}
    with pytest.raises(ValueError, match=sentence):
        flop_tf.prune(functional(), **arguments)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_precisions(policy):
    """Their loss is of another type than the penalty of the gates."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        inputs = keras.Input([8])
        hidden = keras.layers.Dense(16, "relu")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1, dtype=policy)(hidden))
    finally:
        keras.mixed_precision.set_global_policy(before)
    x = np.random.default_rng(0).normal(size=[64, 8]).astype(np.float32)
    small = flop_tf.prune(model, data=(x, x[:, :1]), loss="mse", target_sparsity=0.5, epochs=2)
    assert (
        small.count_params() < model.count_params()
        and np.isfinite(small.predict(x, verbose=0)).all()
    )


def test_data_as_lists():
    """Of several inputs as `fit` takes them, and no callbacks."""
    inputs = [keras.Input([16]), keras.Input([16])]
    hidden = LAYERS.Dense(24)(LAYERS.Concatenate()(inputs))
    x, y = arrays()
    small = flop_tf.prune(
        keras.Model(inputs, LAYERS.Dense(3)(hidden)), [[x, x], y], "mse", callbacks=None, verbose=0
    )
    assert small([x, x]).shape == [96, 3]
