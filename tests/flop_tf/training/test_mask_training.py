import numpy as np
import pytest
import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.training import mask_rules
from flop_tf.training.mask_training import Rethresholding, ScoredMasks

KERNEL = np.array([[0.1, -0.5, 0.3], [-0.2, 0.05, 0.4]], np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def built(scores, name="straight_through"):
    gate = gates.get(name, axis=None)
    gate.build(np.shape(scores))
    gate.scores.assign(scores)
    return gate


def test_each_matrix_has_its_threshold_and_units_have_one_together(rng):
    kernels = [built(rng.normal(size=shape)) for shape in ([6, 5], [4, 5])]
    heads = [built(rng.normal(size=4) + shift) for shift in (0, 3)]
    groups = [
        {f"kernel{i}": (gate, lambda g=gate: g.scores.numpy())} for i, gate in enumerate(kernels)
    ]
    units = {f"heads{i}": (gate, lambda g=gate: g.scores.numpy()) for i, gate in enumerate(heads)}
    masks = ScoredMasks([*groups, units])
    masks.rethreshold(0.5)
    found = masks.masks()
    assert [found[f"kernel{i}"].sum() for i in (0, 1)] == [15, 10]
    assert found["heads0"].sum() + found["heads1"].sum() == 4 and found["heads1"].sum() > 2
    for name, kept in masks.project(0.5).items():
        np.testing.assert_array_equal(kept, found[name])
    assert mask_rules.zero_rate(found) == 0.5
    thresholds = [float(gate.threshold) for gate in (*kernels, *heads)]
    with masks.rethresholded(0.75) as meanwhile:
        assert mask_rules.zero_rate(meanwhile) == mask_rules.zero_rate(masks.masks()) > 0.7
    assert [float(gate.threshold) for gate in (*kernels, *heads)] == thresholds


@pytest.mark.parametrize("name", gates.STRAIGHT_THROUGH)
def test_start_opens_the_largest_weights_of_every_binarizer(name):
    gate = built(np.zeros([2, 3]), name)
    masks = ScoredMasks([{"kernel": (gate, lambda: KERNEL)}])
    masks.start("magnitude", 0.5, None)
    np.testing.assert_array_equal(masks.masks()["kernel"], [[0, 1, 1], [0, 0, 1]])
    masks.start("equal", 0.9, None)
    np.testing.assert_allclose(gate.scores, -2.197225, atol=1e-6)


def test_start_refuses(rng):
    masks = ScoredMasks([{"kernel": (built(KERNEL), lambda: KERNEL)}])
    with pytest.raises(ValueError, match="Argument `init` must be one of .*, received 'best'."):
        masks.start("best", 0.5, rng)
    for sparsity in (1, -0.1):
        with pytest.raises(ValueError, match=r"`sparsity` must be in \[0, 1\), received"):
            masks.start("magnitude", sparsity, rng)


def test_thresholds_are_set_every_few_steps_only():
    gate = built(np.float32([0.0, 0.02, 0.03, 0.04]))
    masks = ScoredMasks([{"kernel": (gate, lambda: gate.scores.numpy())}])
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    callback = Rethresholding(masks, lambda step: 0.75, update_steps=3)
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            (logs["drifted_sparsity"], logs["stored_sparsity"], float(gate.threshold))
        )
    )
    data = tf.data.Dataset.from_tensors((tf.ones([1, 2]), tf.ones([1, 1]))).repeat(4)
    model.fit(data, verbose=0, callbacks=[callback, note])
    low, high = (0.25, 0.25, np.float32(0.01)), (0.25, 0.75, np.float32(0.03))
    assert seen == [low, low, high, high]
    with pytest.raises(ValueError, match="`update_steps` must be at least 1, received 0."):
        Rethresholding(masks, lambda step: 0.5, 0)


def test_nothing_to_mask():
    with pytest.raises(ValueError, match=r"`groups` must have groups .* the sizes \[\]"):
        ScoredMasks([])
