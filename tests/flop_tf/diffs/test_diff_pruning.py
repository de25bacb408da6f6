"""The vectors D1 to D8 of the specification, and training of a diff in a small model."""

import numpy as np
import pytest
import tensorflow as tf

from flop_tf import BertAdam, GatedModel
from flop_tf.backend import keras
from flop_tf.diffs import diff_pruning
from flop_tf.diffs.diff_finetuning import FixedDiff
from flop_tf.diffs.diff_objective import DiffObjective
from flop_tf.diffs.diff_pruning import LearnedDiff
from flop_tf.gates import hard_concrete
from flop_tf.gates.hard_concrete import sample_with_slope as draw

LIMITS = {"low": -1.5, "high": 1.5}
P0, W = [1.0, -1.0, 0.5], [0.2, -0.1, 0.3]
ALPHA, GROUP_ALPHA = [0.0, 1.2, 5.0], [0.4]
NOISE, GROUP_NOISE = [0.6, 0.75, 0.5], [0.55]
G = [0.5, -2.0, 1.0]


def close(found, expected, rtol=2e-5, atol=1e-7):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("alpha", "noise", "gate", "slope"),
    [
        (5, 0.5, 1, 0),
        (5, 0.003, 0, 0),
        (0, 0.6, 0.3, 0.72),
        (0, 0.5, 0, 0),
        (-3, 0.99, 0.99400563, 0.42065093),
        (1.2, 0.75, 1, 0),
        (2, 1e-4, 0, 0),
        (-200, 0.9999, 0, 0),
        (200, 1e-4, 1, 0),
    ],
)
def test_d1_a_draw_and_its_slope(alpha, noise, gate, slope):
    close(draw(tf.constant(float(alpha)), noise, **LIMITS), (gate, slope), rtol=1e-5)


def test_a_draw_is_that_of_the_hard_concrete():
    alpha, noise = tf.linspace(-4.0, 4.0, 9), tf.linspace(0.05, 0.95, 9)
    close(draw(alpha, noise, **LIMITS)[0], hard_concrete.sample(alpha, noise, **LIMITS), atol=1e-6)


@pytest.mark.parametrize(
    ("penalty", "structured", "limits", "expected"),
    [
        ("additive", True, (-1.5, 1.5), 2.96602798),
        ("product", True, (-1.5, 1.5), 1.45877618),
        ("product", False, (-1.5, 1.5), 2.34356865),
        ("additive", False, (-1.5, 1.5), 2.34356865),
        ("additive", True, (-0.1, 1.1), 4.42961736),
        ("product", True, (-0.1, 1.1), 3.29992026),
        ("product", False, (-0.1, 1.1), 3.48187507),
    ],
)
def test_d2_penalty(penalty, structured, limits, expected):
    diff = LearnedDiff([tf.Variable(tf.zeros(4))], (), 1.0, structured, penalty, 5, *limits)
    diff.alpha.assign([5.0, 0.0, -2.0, 1.0])
    if structured:
        diff.group_alpha.assign([0.5])
    noise = (tf.fill([4], 0.5), tf.fill([1], 0.5) if structured else None)
    *_, logs = diff.gradients(noise, [tf.zeros(4)])
    close(logs["sparsity_penalty"], expected)


def test_d3_probabilities():
    alpha = tf.constant([5.0, 0.0, -3.0])
    active = hard_concrete.probability_active(alpha, **LIMITS)
    close(1 - active, [0.00669285, 0.5, 0.95257413], atol=1e-6)
    noise = tf.random.stateless_uniform([200_000, 1], [1, 2], 1e-4, 0.9999)
    gate, _ = draw(alpha, noise, **LIMITS)
    ones = tf.reduce_mean(tf.cast(gate == 1, tf.float32), axis=0)
    np.testing.assert_allclose(ones, [0.96740827, 0.16666667, 0.00985924], atol=3e-3)
    np.testing.assert_allclose(tf.reduce_mean(gate, axis=0), [0.9848, 0.3335, 0.0258], atol=3e-3)


@pytest.mark.parametrize(
    ("penalty", "for_elements", "for_group"),
    [
        ("additive", [3.125e-8, 2.22368e-8, 8.31007e-10], 3.00326e-8),
        ("product", [1.870899e-8, 1.331290e-8, 4.975137e-10], 6.792868e-8),
    ],
)
def test_d4_a_full_step(penalty, for_elements, for_group):
    base = tf.Variable(P0)
    diff = LearnedDiff([base], penalty=penalty)
    for variable, value in zip((diff.weights, *diff.gates), (W, ALPHA, GROUP_ALPHA), strict=True):
        variable.assign(value)
    noise = (tf.constant(NOISE), tf.constant(GROUP_NOISE))
    close(diff.theta(noise)[0], [1.02624575, -1.04374292, 0.63122876])
    for_weights, for_gates, _ = diff.gradients(noise, [tf.constant(G)])
    close(for_weights[0], [0.06561438, -0.87485841, 0.43742921])
    close(for_gates[0], [0.03149490, 0, 0], rtol=1e-4)
    close(for_gates[1], [0.36369583], rtol=1e-4)
    # Without the task the gradients are those of the penalty alone.
    _, for_gates, _ = diff.gradients(noise, [tf.zeros(3)])
    close(for_gates[0], for_elements, atol=1e-14)
    close(for_gates[1], [for_group], atol=1e-14)


@pytest.mark.parametrize("penalty", diff_pruning.PENALTIES)
@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("second", [4, 7])  # Beside 6: rows of 2, and of 1.
def test_gradients_are_those_of_automatic_differentiation(structured, penalty, second):
    rng = np.random.default_rng(0)
    base = [tf.Variable(np.float32(rng.normal(size=shape))) for shape in ([2, 3], [second])]
    rates = [0.3, 0.7]
    diff = LearnedDiff(base, (), rates, structured, penalty)
    for variable in (diff.weights, *diff.gates):
        variable.assign(rng.normal(size=variable.shape))
    noise = (tf.constant(rng.uniform(0.3, 0.7, 6 + second), tf.float32),)
    noise += (tf.constant([0.55, 0.6]) if structured else None,)
    with tf.GradientTape(persistent=True) as tape:
        theta, parts = [], [slice(0, 6), slice(6, 6 + second)]
        loss = 0.0
        for index, (variable, part) in enumerate(zip(base, parts, strict=True)):
            gate = hard_concrete.sample(diff.alpha[part], noise[0][part], **LIMITS)
            active = tf.reduce_sum(tf.sigmoid(diff.alpha[part]))
            if structured:
                gate *= hard_concrete.sample(diff.group_alpha[index], noise[1][index], **LIMITS)
                group = tf.sigmoid(diff.group_alpha[index])
                active = active * group if penalty == "product" else active + group
            theta.append(variable + tf.reshape(gate * diff.weights[part], variable.shape))
            loss += tf.reduce_sum(tf.sin(theta[-1])) + rates[index] * active
    at_theta = [tf.cos(one) for one in theta]
    for_weights, for_gates, _ = diff.gradients(noise, at_theta)
    for ours, one in zip(diff.theta(noise), theta, strict=True):
        close(ours, one)
    variables = [diff.weights, *diff.gates]
    found = [*for_weights, *for_gates]
    for ours, expected in zip(found, tape.gradient(loss, variables), strict=True):
        close(ours, expected, rtol=1e-4, atol=1e-6)


def test_gradients_of_looked_up_rows_and_none():
    base = [tf.Variable(tf.zeros([3, 2])), tf.Variable(tf.zeros([2]))]
    diff = LearnedDiff(base)
    diff.weights.assign(tf.range(8.0))
    noise = (tf.fill([8], 0.5), tf.fill([2], 0.1))
    slices = tf.IndexedSlices(tf.constant([[5.0, 6.0]]), tf.constant([1]), tf.constant([3, 2]))
    dense = [tf.constant([[0.0, 0.0], [5.0, 6.0], [0.0, 0.0]]), tf.zeros([2])]
    found = tf.function(diff.gradients)(noise, [slices, None])
    for ours, expected in zip(found[:2], diff.gradients(noise, dense)[:2], strict=True):
        for one, other in zip(ours, expected, strict=True):
            close(one, other)
    assert np.count_nonzero(found[0][0]) == 2


def test_d7_the_penalty_of_open_gates_counts_all_parameters():
    diff = LearnedDiff([tf.Variable(tf.zeros([3, 4])), tf.Variable(tf.zeros([5]))], (), 1.25e-7)
    for alpha in diff.gates:
        alpha.assign(tf.fill(alpha.shape, 60.0))
    noise = (tf.fill([17], 0.5), tf.fill([2], 0.5))
    *_, logs = diff.gradients(noise, [None, None])
    close(logs["sparsity_penalty"], 1.25e-7 * 17, atol=0)


@pytest.mark.parametrize(
    ("epsilon", "start", "expected", "closes"),
    [
        (1e-8, 5.0, {1: 4.99973790, 10: 4.99413341, 100: 4.81680213}, 384),
        (1e-8, 0.0, {1: -0.00899338, 10: -0.17889709, 100: -2.63160581}, None),
        (1e-7, 5.0, {1: 4.99997373, 10: 4.99941065, 100: 4.98252470}, None),
    ],
)
def test_d6_epsilon_decides_how_fast_gates_close(epsilon, start, expected, closes):
    alpha = tf.Variable(start)
    optimizer = BertAdam(0.1, epsilon=epsilon, bias_correction=True)
    optimizer.build([alpha])

    @tf.function
    def step():
        share = tf.sigmoid(alpha)
        optimizer.apply_gradients([(1.25e-7 * share * (1 - share), alpha)])

    for number in range(1, (closes or 100) + 1):
        step()
        if number in expected:
            close(alpha, expected[number], rtol=3e-5, atol=2e-5)
        if closes:
            assert (float(alpha) <= 0) == (number == closes)


def small_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input([3])
    hidden = keras.layers.Dense(4, activation="tanh", name="body")(inputs)
    model = GatedModel(inputs, keras.layers.Dense(1, name="head")(hidden))
    body, head = (model.get_layer(name).trainable_variables for name in ("body", "head"))
    return model, body, head


def data():
    x = np.float32(np.random.default_rng(0).normal(size=[16, 3]))
    return tf.data.Dataset.from_tensors((x, x[:, :1])).repeat()


def fit(model, diff, steps, **settings):
    optimizer = BertAdam(0.01, epsilon=1e-8, bias_correction=True, global_clipnorm=1.0)
    gate_optimizer = BertAdam(0.1, epsilon=1e-8, bias_correction=True, global_clipnorm=1.0)
    optimizer.build(diff.trained)
    gate_optimizer.build(list(diff.gates))
    model.compile(optimizer, loss="mse", objective=DiffObjective(diff, gate_optimizer, **settings))
    return model.fit(data(), steps_per_epoch=steps, verbose=0).history


def test_training_leaves_the_base_as_it_is_and_is_resumable():
    def train(*steps):
        model, body, head = small_model()
        before = [v.numpy() for v in body]
        diff = LearnedDiff(body, head, 1e-3)
        for number in steps:
            history = (
                fit(model, diff, number)
                if number == steps[0]
                else model.fit(data(), steps_per_epoch=number, verbose=0).history
            )
        assert all(np.array_equal(v.numpy(), old) for v, old in zip(body, before, strict=True))
        return diff, history, model

    whole, history, model = train(6)
    assert {"sparsity_penalty", "expected_density", "loss"} <= set(history)
    parts, *_ = train(2, 4)
    for one, other in zip(whole.trained + whole.gates, parts.trained + parts.gates, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
    # At evaluation it is without noise, and afterwards the base is back.
    x = next(iter(data()))[0]
    frozen = model(x)
    with whole.evaluated():
        assert np.abs(model(x) - frozen).max() > 1e-4
    np.testing.assert_array_equal(model(x), frozen)


def test_parts_of_a_batch_share_the_draw():
    diffs = []
    for parts in (1, 4):
        model, body, head = small_model()
        diffs.append(LearnedDiff(body, head))
        fit(model, diffs[-1], 3, gradient_accumulation_steps=parts)
    for one, other in zip(diffs[0].trained, diffs[1].trained, strict=True):
        close(one, other, rtol=1e-3, atol=1e-6)


def test_d8_w_of_zero_is_the_base_and_open_gates_are_fine_tuning():
    model, body, head = small_model()
    diff = LearnedDiff(body, head)
    with diff.applied(0, tf.constant(3)) as noise:
        for variable, theta in zip(body, diff.theta(noise), strict=True):
            np.testing.assert_array_equal(variable, theta)
    diff.alpha.assign(tf.fill(diff.alpha.shape, 60.0))
    diff.group_alpha.assign(tf.fill(diff.group_alpha.shape, 60.0))
    gradients = [tf.random.stateless_normal(v.shape, [1, 2]) for v in [*head, *body]]
    for_weights, _, _ = diff.gradients(noise, gradients)
    flat = np.concatenate([np.ravel(g) for g in gradients[len(head) :]])
    np.testing.assert_array_equal(for_weights[-1], flat)
    for ours, given in zip(for_weights, gradients[: len(head)], strict=False):
        assert ours is given


def test_d8_fixed_positions_leave_the_rest_bit_by_bit():
    model, body, head = small_model()
    before = [v.numpy() for v in body]
    positions = [np.array([1, 7]), np.array([], np.int64)]
    diff = FixedDiff(body, positions, [np.array([0.5, -0.5]), np.array([])], head)
    fit(model, diff, 5)
    assert all(np.array_equal(v.numpy(), old) for v, old in zip(body, before, strict=True))
    with diff.evaluated():
        changed = np.flatnonzero(body[0].numpy() != before[0])
        np.testing.assert_array_equal(changed, positions[0])
        np.testing.assert_array_equal(body[1], before[1])
        added = before[0].reshape(-1)[positions[0]] + diff.values()[0]
        np.testing.assert_array_equal(body[0].numpy().reshape(-1)[positions[0]], added)
    assert not np.isclose(diff.values()[0], [0.5, -0.5], atol=1e-3).any()


def test_a_gradient_of_a_fixed_diff_is_the_masked_one():
    base = [tf.Variable(tf.zeros([2, 2])), tf.Variable(tf.zeros([3]))]
    diff = FixedDiff(base, [[0, 3], [1]])
    slices = tf.IndexedSlices(tf.constant([[5.0, 6.0]]), tf.constant([1]), tf.constant([2, 2]))
    for_weights, for_gates, _ = diff.gradients(None, [slices, None])
    np.testing.assert_array_equal(for_weights[0], [0, 6, 0])
    assert for_gates == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"base": []}, "Argument `base` must have variables that get a difference, received none."),
        ({"penalty": "sum"}, "Argument `penalty` must be one of product, additive, received 'sum'"),
        ({"low": 0.1}, "`low` and `high` must lie below 0 and above 1, received 0.1 and 1.5."),
        (
            {"sparsity_penalty": -1.0},
            "must be a number from 0 on, or one for each of the 1 tensors",
        ),
        ({"sparsity_penalty": [1.0, 2.0]}, "for each of the 1 tensors, received [1.0, 2.0]."),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(ValueError) as caught:
        LearnedDiff(**{"base": [tf.Variable(P0)], **arguments})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("positions", "sentence"),
    [([[0, 3]], "must be in [0, 3) for 'p0:0', received 0 to 3."), ([[]], "received none.")],
)
def test_bad_positions(positions, sentence):
    with pytest.raises(ValueError) as caught:
        FixedDiff([tf.Variable(P0, name="p0")], positions)
    assert sentence in str(caught.value)
