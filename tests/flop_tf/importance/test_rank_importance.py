import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf.backend import keras

CLOSES_AT = -2.397895


def total(y, y_pred):
    return tf.reduce_sum(y * y_pred)


def model_of(*shapes, gate="hard_concrete", log_alpha=3.0):
    """Returns a chain of projections at full rank and the layers."""
    keras.utils.set_random_seed(0)
    layers = [flop_tf.FactorizedDense(o, min(i, o), gate) for i, o in shapes]
    model = keras.Sequential([keras.Input([shapes[0][0]]), *layers])
    for layer in layers:
        if layer.gate is not None:
            layer.gate.log_alpha.assign(np.full(layer.rank, log_alpha, np.float32))
    return model, layers


def test_importance_by_hand():
    model, [layer] = model_of((2, 3), gate=None)
    layer.factor_in.assign([[1.0, 0.0], [0.0, 2.0]])
    layer.factor_out.assign([[1.0, 2.0, 3.0], [1.0, 0.0, -1.0]])
    # dL/dz_j is (x P)_j times the sum of row j of Q where y is 1.
    dataset = [([[1.0, 1.0]], [[1.0, 1.0, 1.0]]), ([[2.0, 1.0]], [[0.0, 0.0, 1.0]], "ignored")]
    dataset = [(tf.constant(x), tf.constant(y), *rest) for x, y, *rest in dataset]
    [found] = flop_tf.rank_importance(model, [layer], dataset, total)
    np.testing.assert_allclose(found, [(6**2 + (2 * 3) ** 2) / 2, (0 + (2 * -1) ** 2) / 2])


def test_importance_is_the_squared_gradient_of_the_gates():
    model, layers = model_of((4, 5), (5, 3), log_alpha=0.4)
    x, y = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    y = y[:, :3]
    found = flop_tf.rank_importance(model, layers, [(tf.constant(x), tf.constant(y))], total)
    for layer, values in zip(layers, found, strict=True):
        gradient = np.zeros(layer.rank)
        z = layer.gate.mask(training=False).numpy()
        for rank in range(layer.rank):
            losses = []
            for step in (1e-2, -1e-2):
                moved = z.copy()
                moved[rank] += step
                layer.gate.mask = lambda training, moved=moved: tf.constant(moved)
                losses.append(float(total(y, model(x, training=False))))
            del layer.gate.mask
            gradient[rank] = (losses[0] - losses[1]) / 2e-2
        np.testing.assert_allclose(values, (z * gradient) ** 2, rtol=2e-2)


def test_importance_needs_a_batch():
    model, layers = model_of((4, 5))
    with pytest.raises(ValueError, match="Argument `dataset` must have at least one batch"):
        flop_tf.rank_importance(model, layers, [], total)


@pytest.mark.parametrize("target", [0.3, 0.6, 0.9])
def test_gates_start_in_the_order_of_what_a_parameter_is_worth(target):
    _, layers = model_of((40, 40), (40, 80))
    sparsity = flop_tf.Budget(layers)
    rng = np.random.default_rng(0)
    importance = [np.exp(rng.normal(size=40)), np.exp(rng.normal(size=40))]
    flop_tf.order_gates(sparsity, importance, target, start=3.0)
    worth = np.concatenate([importance[0] / 80, importance[1] / 120])
    found = np.concatenate([gate.log_alpha.numpy() for gate in sparsity.gates])
    order = np.argsort(worth)
    assert (np.diff(found[order]) >= 0).all() and found.min() >= -9 and found.max() <= 15
    inside = (found > -8.9) & (found < 14.9)
    slope = np.polyfit(np.log(worth[inside]), found[inside], 1)[0]
    assert slope == pytest.approx(5, rel=1e-4) and inside.sum() > 20
    # The boundary: moved from `start` to where gates close, the gates store the target.
    assert sparsity.calibrate(target) == pytest.approx(CLOSES_AT - 3, abs=1e-4)
    assert 0 <= float(sparsity.stored_sparsity()) - target < 120 / 4800


def test_a_rank_without_any_importance_is_the_first_to_go():
    _, layers = model_of((6, 6))
    sparsity = flop_tf.Budget(layers)
    flop_tf.order_gates(sparsity, [np.array([1.0, 0.0, 2.0, 3.0, 0.0, 4.0])], 0.5, start=2.0)
    log_alpha = sparsity.gates[0].log_alpha.numpy()
    assert np.isfinite(log_alpha).all()
    assert log_alpha[1] == log_alpha[4] == 2 - 12 < log_alpha[0]


def test_a_target_out_of_reach():
    _, layers = model_of((6, 6))
    dense = keras.layers.Dense(6)
    dense.build([None, 6])
    sparsity = flop_tf.Budget([*layers, dense])
    with pytest.raises(ValueError, match="at most the sparsity with all gates closed, 0.5"):
        flop_tf.order_gates(sparsity, [np.arange(6.0)], 0.7, start=3.0)
