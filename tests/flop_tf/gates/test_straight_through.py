import numpy as np
import pytest
import tensorflow as tf

from flop_tf import BertAdam, gates, randomness
from flop_tf.backend import keras
from flop_tf.layers.gated_dense import GatedDense

# T1 and T2 of the specification; there a kernel is [O, I].
KERNEL = np.array([[0.1, -0.5, 0.3], [-0.2, 0.05, 0.4]], np.float32).T
MASK = np.array([[0, 1, 1], [0, 0, 1]], np.float32).T


def gated(gate, scores):
    layer = GatedDense(2, gate, use_bias=False)
    layer.build([None, 3])
    layer.kernel.assign(KERNEL)
    getattr(layer.gate, layer.gate.variable_name).assign(scores)
    return layer


def gradients(layer, of):
    with tf.GradientTape() as tape:
        outputs = layer(tf.constant([[1.0, 2.0, -1.0]]), training=True)
    upstream = tf.constant([[1.0, -2.0]])
    return outputs.numpy(), tape.gradient(outputs, of(layer), output_gradients=upstream).numpy()


def test_the_gradient_of_a_score_is_that_of_its_weight_times_the_weight():
    outputs, found = gradients(gated("straight_through", 0.02 * MASK), lambda x: x.gate.scores)
    np.testing.assert_allclose(outputs, [[-1.3, -0.4]], atol=1e-6)
    np.testing.assert_allclose(found.T, [[0.1, -1, -0.3], [0.4, -0.2, 0.8]], atol=1e-6)


def test_the_gradient_of_weights_under_a_fixed_mask():
    outputs, found = gradients(gated("fixed", MASK), lambda x: x.kernel)
    np.testing.assert_allclose(outputs, [[-1.3, -0.4]], atol=1e-6)
    np.testing.assert_allclose(found.T, [[0, 2, -1], [0, 0, 2]], atol=1e-6)


def test_a_score_at_the_threshold_is_closed():
    gate = gates.get("straight_through")
    gate.build([3])
    gate.scores.assign([0.01, 0.010001, 0.0])
    np.testing.assert_array_equal(gate.mask(training=True), [0, 1, 0])
    gate.threshold.assign(-1.0)
    np.testing.assert_array_equal(gate.keep(), [True] * 3)


def test_signs():
    gate = gates.get("straight_through_sign")
    gate.build([5])
    gate.scores.assign([-1.0, -0.5, 0.0, 0.5, 1.0])
    with tf.GradientTape() as tape:
        mask = gate.mask(training=True)
    np.testing.assert_array_equal(mask, [0, 0, 0.5, 1, 1])
    np.testing.assert_array_equal(tape.gradient(mask, gate.scores), [0, 1, 1, 1, 0])
    optimizer = BertAdam(1.0)
    optimizer.build([gate.scores])
    optimizer.apply_gradients([(tf.constant([1.0, -1.0, 0, 0, 0]), gate.scores)])
    np.testing.assert_array_equal(gate.scores, [-1, 1, 0, 0.5, 1])


def test_bernoulli_draws_follow_the_scores_and_infer_by_the_threshold():
    gate = gates.get("straight_through_bernoulli", seed=1)
    gate.build([20000])
    gate.scores.assign(np.full(20000, np.log(3 / 7), np.float32))
    with randomness.step_scope(0, 0), tf.GradientTape() as tape:
        mask = gate.mask(training=True)
    assert float(tf.reduce_mean(mask)) == pytest.approx(0.3, abs=0.015)
    np.testing.assert_array_equal(tape.gradient(mask, gate.scores), np.ones(20000))
    assert not gate.keep().numpy().any()
    gate.threshold.assign(-2.0)
    assert gate.keep().numpy().all()


@pytest.mark.parametrize("name", ["straight_through", "fixed", "magnitude", "hard_concrete"])
def test_rows_of_a_table_are_those_of_the_masked_table(name):
    gate = gates.get(name, axis=None)
    table = tf.Variable(np.random.default_rng(0).normal(size=[7, 4]).astype(np.float32))
    gate.build(table.shape)
    values = np.random.default_rng(1).choice([0.0, 0.02, 1.0], [7, 4]).astype(np.float32)
    getattr(gate, gate.variable_name).assign(values)
    indices = tf.constant([[1, 1, 6], [0, 6, 1]])
    expected = tf.gather(gate(tf.convert_to_tensor(table), training=False), indices)
    np.testing.assert_array_equal(gate.rows(table, indices, training=False), expected)


def test_only_rows_that_are_looked_up_have_a_gradient_each_of_them_once():
    gate = gates.get("straight_through", axis=None)
    table = tf.Variable(np.arange(28, dtype=np.float32).reshape(7, 4))
    gate.build(table.shape)
    gate.scores.assign(np.zeros([7, 4], np.float32))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gate.rows(table, tf.constant([[1, 1, 6], [0, 6, 1]]), training=True))
    found = tape.gradient(loss, gate.scores)
    assert isinstance(found, tf.IndexedSlices) and sorted(found.indices.numpy()) == [0, 1, 6]
    counts = np.zeros([7, 1])
    counts[[0, 1, 6], 0] = [1, 3, 2]
    np.testing.assert_array_equal(tf.convert_to_tensor(found), counts * table.numpy())


def test_the_threshold_is_among_the_variables():
    data = gates.serialize(gates.get("straight_through", axis=None))
    assert gates.variable_shapes(data, (3, 2)) == {"scores": (3, 2), "threshold": ()}
    assert "straight_through" in gates.STRAIGHT_THROUGH and not set(gates.STRAIGHT_THROUGH) & set(
        gates.PRUNING
    )


def test_published_optimizers():
    """T7: a score of .02, gradients .5, -.25, .1, a rate that falls to 0 in 100 steps."""
    schedule = keras.optimizers.schedules.PolynomialDecay
    corrected = BertAdam(schedule(5e-5, 100, 0.0), epsilon=1e-8, bias_correction=True)
    plain = BertAdam(schedule(2e-5, 100, 0.0), weight_decay=0.01)
    for optimizer, expected in (
        (corrected, [0.01995000003, 0.01993681636, 0.01992136943]),
        (plain, [0.01993675445, 0.01991434166, 0.01988375307]),
    ):
        score = tf.Variable([0.02])
        optimizer.build([score])
        for gradient, value in zip([0.5, -0.25, 0.1], expected, strict=True):
            optimizer.apply_gradients([(tf.constant([gradient]), score)])
            assert float(score[0]) == pytest.approx(value, abs=4e-9)


def test_no_published_score_crosses_before_step_201():
    """T8: a constant gradient takes a kept score of .02 to .01 in 200 steps, not quite."""
    gate = gates.get("straight_through")
    gate.build([1])
    gate.scores.assign([0.02])
    optimizer = BertAdam(5e-5, epsilon=1e-8, bias_correction=True)
    optimizer.build([gate.scores])
    step = tf.function(lambda: optimizer.apply_gradients([(tf.constant([1e-3]), gate.scores)]))
    for count in range(1, 202):
        step()
        assert bool(gate.keep()) == (count < 201)
