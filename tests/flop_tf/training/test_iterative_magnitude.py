import numpy as np
import pytest
import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.training import iterative_magnitude


def test_zeros_of_the_rounds_of_iterative_pruning():
    """T9."""
    assert iterative_magnitude.zeros_of_rounds(589824) == [
        58982,
        117964,
        176946,
        235929,
        294911,
        353894,
        412876,
        471859,
        530841,
    ]
    assert iterative_magnitude.num_rounds(0.7) == 7
    for sparsity in (0.0, 0.65, 0.95):
        with pytest.raises(ValueError, match=r"one of \.1, \.2, .*, as each round prunes a tenth"):
            iterative_magnitude.num_rounds(sparsity)


@pytest.mark.parametrize("rewind", [True, False])
def test_rounds_prune_what_is_left_and_rewind(rewind):
    gate = gates.get("magnitude", axis=None)
    weights = tf.Variable(np.arange(1, 101, dtype=np.float32).reshape(10, 10))
    original = weights.numpy()
    gate.build(weights.shape)
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.Adam(0.0), "mse")
    callback = iterative_magnitude.IterativeMagnitude(
        [(gate, weights)], [weights], [original], rounds=3, interval=2, rewind=rewind
    )

    def train(batch, logs):
        # What training does: the smallest weights of the start become the largest.
        weights.assign(101 - weights)

    zeros, momenta = [], []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_begin=train,
        on_train_batch_end=lambda batch, logs: (
            zeros.append(int(100 - gate.values.numpy().sum())),
            momenta.append(float(np.abs(model.optimizer.variables[2]).sum())),
        ),
    )
    data = tf.data.Dataset.from_tensors((tf.ones([1, 2]), tf.ones([1, 1]))).repeat(6)
    model.fit(data, verbose=0, callbacks=[callback, note])
    assert zeros == [10, 20, 20, 30, 30, 30]
    assert [value == 0 for value in momenta] == [False, True, False, True, False, False]
    kept = gate.keep().numpy().ravel()
    assert not kept[:30].any() and kept[30:].all()
    if rewind:
        assert not np.array_equal(weights, 101 - original)


def test_nothing_to_prune():
    with pytest.raises(ValueError, match="`matrices` must have a matrix to prune, received none"):
        iterative_magnitude.IterativeMagnitude([], [], [], rounds=1, interval=1)
