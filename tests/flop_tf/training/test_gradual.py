"""Gradual magnitude pruning: the schedule, the masks, and TFMOT's own wrapper as the oracle."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot

from flop_tf import Budget, GatedModel, gates, surgery
from flop_tf.backend import keras
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.training.gradual import GradualPruning

SIZE = 12
BATCH = 8


def kernel_under(shape, gate="magnitude"):
    layer = GatedDense(shape[1], gate)
    layer.build([None, shape[0]])
    return layer


def data(steps=12):
    rng = np.random.default_rng(0)
    x = rng.normal(size=[steps * BATCH, SIZE]).astype(np.float32)
    return x, np.tanh(x[:, :4] + x[:, 4:8])


class Masks(keras.callbacks.Callback):
    """Notes masks, logs and kernel after each step."""

    def on_train_begin(self, logs=None):
        self.masks, self.logs, self.kernels = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        layer = self.model.get_layer("first")
        self.masks.append(layer.gate.values.numpy())
        self.kernels.append(layer.kernel.numpy())
        self.logs.append(dict(logs))


def train(strategy=None, steps=12, first=0, weights=None, parts=1, **arguments):
    """Trains one gated layer and a head; returns what `Masks` saw and the model."""
    keras.utils.set_random_seed(1)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        inputs = keras.Input([SIZE])
        hidden = GatedDense(SIZE, "magnitude", activation="tanh", name="first")(inputs)
        model = GatedModel(inputs, keras.layers.Dense(4, name="head")(hidden))
        # Without moments, so that a model that goes on needs no more than its weights.
        optimizer = keras.optimizers.SGD(0.1)
        model.compile(optimizer, "mse", gradient_accumulation_steps=parts)
        optimizer.build(model.weight_variables())
    sparsity = Budget([model.get_layer("first")])
    pruning = GradualPruning(
        sparsity, **{"target_sparsity": 0.6, "last_step": 8, "update_steps": 3, **arguments}
    )
    if weights is not None:
        surgery.assign_weights(model, weights)
        optimizer.iterations.assign(first)
    seen = Masks()

    def batches(_):
        batch = BATCH // strategy.num_replicas_in_sync
        whole = tf.data.Dataset.from_tensor_slices(data()).batch(batch)
        return whole.skip(first * strategy.num_replicas_in_sync)

    model.fit(
        strategy.distribute_datasets_from_function(batches),
        steps_per_epoch=steps - first,
        verbose=0,
        callbacks=[pruning, seen],
    )
    return seen, model


@pytest.fixture(scope="module")
def unbroken():
    return train()


def assert_same(ours, theirs, atol=1e-6):
    for path, weight in surgery.named_weights(theirs).items():
        np.testing.assert_allclose(surgery.named_weights(ours)[path], weight, atol=atol)


def test_masks_follow_the_schedule_and_then_stay(unbroken):
    seen, _ = unbroken
    closed = [int((mask == 0).sum()) for mask in seen.masks]
    # After steps 3 and 6 of the ramp of 8, and at its end: .6 (1 - (1 - t / 8)^3) of 144.
    assert closed == [0, 0, 65, 65, 65, 85, 85, *[86] * 5]
    for logs, zeros in zip(seen.logs, closed, strict=True):
        assert logs["stored_sparsity"] == pytest.approx(zeros / 144, abs=1e-6)
    targets = [logs["target_sparsity"] for logs in seen.logs]
    assert targets[2] == pytest.approx(0.6 * (1 - (5 / 8) ** 3)) and targets[7:] == [0.6] * 5
    np.testing.assert_array_equal(seen.masks[-1], seen.masks[7])


def test_a_mask_keeps_the_largest_weights_of_its_step(unbroken):
    seen, model = unbroken
    for step in (2, 5, 7):
        kernel, mask = np.abs(seen.kernels[step]), seen.masks[step] > 0
        assert kernel[mask].min() >= kernel[~mask].max()
    layer = model.get_layer("first")
    closed = seen.masks[-1] == 0
    # A closed weight keeps its value, and the kernel that the layer uses has a 0 there.
    np.testing.assert_array_equal(layer.kernel.numpy()[closed], seen.kernels[7][closed])
    kernel = layer.gate(layer.kernel, training=True).numpy()
    assert (kernel[closed] == 0).all() and (kernel[~closed] != 0).all()


@pytest.mark.parametrize("first", [3, 5, 8, 10])
def test_a_run_that_goes_on_is_an_unbroken_one(unbroken, first):
    _, begun = train(steps=first)
    resumed, model = train(first=first, weights=surgery.named_weights(begun))
    np.testing.assert_array_equal(resumed.masks, unbroken[0].masks[first:])
    assert_same(model, unbroken[1])
    assert resumed.logs[-1]["stored_sparsity"] == unbroken[0].logs[-1]["stored_sparsity"]


def test_two_replicas_have_the_masks_of_one(unbroken, two_devices):
    seen, model = train(two_devices)
    assert_same(model, unbroken[1], atol=1e-5)
    np.testing.assert_array_equal(seen.masks, unbroken[0].masks)
    gate = model.get_layer("first").gate
    one, other = two_devices.experimental_local_results(gate.values)
    np.testing.assert_array_equal(one, other)


def test_parts_of_a_batch_make_one_update(unbroken):
    seen, model = train(parts=4)
    assert_same(model, unbroken[1], atol=1e-5)
    np.testing.assert_array_equal(seen.masks, unbroken[0].masks)


def test_the_target_at_once():
    seen, _ = train(steps=4, ramp_steps=0)
    assert [int((mask == 0).sum()) for mask in seen.masks] == [86] * 4
    assert [logs["target_sparsity"] for logs in seen.logs] == [pytest.approx(0.6)] * 4
    # The mask of step 3 is a new one, that of the steps before is of the start.
    np.testing.assert_array_equal(seen.masks[1], seen.masks[0])


def test_a_short_ramp_is_followed_by_updates_at_the_target():
    seen, _ = train(steps=9, ramp_steps=2, update_steps=1)
    assert [int((mask == 0).sum()) for mask in seen.masks] == [76, *[86] * 8]


def test_steps_that_are_not_seen_do_not_lose_an_update():
    layer = kernel_under([SIZE, SIZE])
    pruning = GradualPruning(Budget([layer]), 0.5, last_step=50, update_steps=10)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD())
    pruning.set_model(model)
    pruning.on_train_begin()
    for step, zeros in ((9, 0), (21, 58), (29, 58), (80, 72)):
        model.optimizer.iterations.assign(step)
        pruning.on_train_batch_end(0, {})
        assert int((layer.gate.values.numpy() == 0).sum()) == zeros


def test_default_of_the_updates():
    sparsity = Budget([kernel_under([SIZE, SIZE])])
    assert GradualPruning(sparsity, 0.5, last_step=5000).update_steps == 50
    assert GradualPruning(sparsity, 0.5, last_step=100).update_steps == 10


def test_it_starts_at_the_sparsity_that_there_is():
    layer = kernel_under([SIZE, SIZE])
    sparsity = Budget([layer])
    sparsity.calibrate(0.25)
    pruning = GradualPruning(sparsity, 0.5, last_step=10)
    assert pruning.target_at(0) == pytest.approx(0.25) and pruning.target_at(10) == 0.5
    assert float(sparsity.stored_sparsity()) == pytest.approx(0.25)


def test_masks_are_those_of_tfmot():
    """On weights of which no two are equal, and on kernels of several shapes."""
    rng = np.random.default_rng(0)
    for shape, sparsity in (([16, 24], 0.6), ([24, 16], 0.35), ([7, 5], 0.85), ([3, 3], 0.99)):
        weights = rng.permutation(np.linspace(-1, 2, shape[0] * shape[1])).reshape(shape)
        wrapper = tfmot.sparsity.keras.prune_low_magnitude(
            keras.layers.Dense(shape[1], use_bias=False),
            tfmot.sparsity.keras.ConstantSparsity(sparsity, 0, frequency=1),
        )
        wrapper.build([None, shape[0]])
        wrapper.layer.kernel.assign(weights)
        wrapper.pruning_step.assign(0)
        wrapper(tf.zeros([1, shape[0]]), training=True)
        layer = kernel_under(shape)
        layer.kernel.assign(weights)
        Budget([layer]).calibrate(sparsity)
        kept = layer.gate.values.numpy() > 0
        np.testing.assert_array_equal(kept, wrapper.layer.kernel.numpy() != 0)


def test_equal_weights_are_told_apart():
    """TFMOT keeps all of them."""
    layer = kernel_under([10, 10])
    layer.kernel.assign(np.repeat([[0.0, 1.0]], 50, axis=0).reshape(10, 10))
    for sparsity in (0.3, 0.5, 0.8):
        Budget([layer]).calibrate(sparsity)
        assert layer.gate.values.numpy().sum() == pytest.approx(100 * (1 - sparsity))


def test_a_gate_over_units_keeps_the_largest_too():
    gate = gates.get("magnitude", axis=-1)
    gate.build([None, 4])
    gate.keep_largest(np.array([0.1, -3.0, 2.0, 0.2]), 2)
    np.testing.assert_array_equal(gate.values, [0, 1, 1, 0])


def test_weights_that_are_no_numbers():
    layer = kernel_under([4, 4])
    layer.kernel.assign(np.full([4, 4], np.nan))
    with pytest.raises(ValueError, match="must be without NaN, received 16 NaN of 16 weights"):
        Budget([layer]).calibrate(0.5)


def test_every_kernel_has_the_sparsity_to_half_a_weight():
    layers = [kernel_under(shape) for shape in ([16, 24], [24, 16], [7, 5])]
    sparsity = Budget(layers)
    sparsity.calibrate(0.6)
    for layer in layers:
        closed = np.count_nonzero(layer.gate.values.numpy() == 0)
        assert abs(closed - 0.6 * layer.kernel.numpy().size) <= 0.5
    before = [layer.gate.values.numpy() for layer in layers]
    with sparsity.calibrated(0.9):
        assert float(sparsity.stored_sparsity()) == pytest.approx(0.9, abs=0.01)
    for layer, values in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer.gate.values, values)


def test_what_is_already_removed_counts():
    """Of 40 original parameters 16 are left, 4 of them without a gate."""
    plain = keras.layers.Dense(2)
    plain.build([None, 2])
    layer = kernel_under([3, 4])
    sparsity = Budget([plain, layer], original_parameters=40)
    assert sparsity.sparsity_by_magnitude() == (pytest.approx(0.6), pytest.approx(0.9))
    sparsity.calibrate(0.75)
    assert layer.gate.values.numpy().sum() == 6
    assert float(sparsity.stored_sparsity()) == pytest.approx(0.75)
    for target in (0.5, 0.95):
        with pytest.raises(ValueError, match=r"`target_sparsity` must be in \[0.6\d*, 0.9\d*\], t"):
            GradualPruning(sparsity, target, last_step=10)


def test_zero_parameters_are_those_stored_for_nothing():
    plain, layer, fixed = keras.layers.Dense(5), kernel_under([4, 5]), kernel_under([4, 5], "fixed")
    plain.build([None, 4])
    plain.kernel.assign(np.eye(4, 5))
    Budget([layer]).calibrate(0.5)
    fixed.gate.values.assign(np.eye(4, 5))
    assert Budget([plain, layer, fixed]).zero_parameters() == 16 + 10 + 16


def test_a_model_without_gates_of_magnitude_is_refused():
    dense = keras.layers.Dense(4)
    dense.build([None, 4])
    with pytest.raises(ValueError, match="`sparsity` must have gates that go by magnitude"):
        GradualPruning(Budget([dense]), 0.0, last_step=10)
