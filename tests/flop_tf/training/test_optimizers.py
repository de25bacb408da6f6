import numpy as np
import pytest
import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.training.optimizers import BertAdam, BertAdamax
from flop_tf.training.schedules import LinearWarmupDecay

SHAPES = ([3, 2], [2], [])
OPTIMIZERS = (BertAdam, BertAdamax)


def variables():
    rng = np.random.default_rng(0)
    return [tf.Variable(np.float32(rng.normal(size=shape))) for shape in SHAPES]


def gradients(step, scale=1.0):
    rng = np.random.default_rng(step + 1)
    return [np.float32(scale * rng.normal(size=shape)) for shape in SHAPES]


def adam(v, g, beta_2, epsilon):
    """The second moment of Adam and what divides the first."""
    v = beta_2 * v + (1 - beta_2) * g**2
    return v, np.sqrt(v) + epsilon


def adamax(u, g, beta_2, epsilon):
    """The norm of Adamax and what divides the first moment."""
    u = np.maximum(beta_2 * u, np.abs(g) + epsilon)
    return u, u + epsilon


FORMULAS = {BertAdam: adam, BertAdamax: adamax}


def reference(
    formula, steps, rate, decay=0.0, clip=None, epsilon=1e-6, beta_1=0.9, beta_2=0.999, scale=1.0
):
    """The formula, in float64."""
    x = [v.numpy().astype(np.float64) for v in variables()]
    m, v = [0 * a for a in x], [0 * a for a in x]
    for step in range(steps):
        g = [a.astype(np.float64) for a in gradients(step, scale)]
        if clip is not None:
            norm = np.sqrt(sum(np.sum(a**2) for a in g))
            g = [a * min(1.0, clip / norm) for a in g]
        lr = rate(step) if callable(rate) else rate
        for i in range(len(x)):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g[i]
            v[i], divisor = formula(v[i], g[i], beta_2, epsilon)
            x[i] = x[i] - lr * (m[i] / divisor + decay * x[i])
    return x


def run(optimizer, steps, values=None, scale=1.0):
    values = variables() if values is None else values
    start = int(optimizer.iterations)
    for step in range(start, start + steps):
        grads = [tf.constant(g) for g in gradients(step, scale)]
        optimizer.apply_gradients(zip(grads, values, strict=True))
    return values


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({}, {}),
        ({"epsilon": 1e-8}, {"epsilon": 1e-8}),
        ({"beta_1": 0.5, "beta_2": 0.9}, {"beta_1": 0.5, "beta_2": 0.9}),
        ({"weight_decay": 0.1}, {"decay": 0.1}),
        ({"global_clipnorm": 0.5}, {"clip": 0.5}),
        ({"global_clipnorm": 100.0}, {"clip": 100.0}),
        ({"global_clipnorm": 1.0, "weight_decay": 0.01}, {"clip": 1.0, "decay": 0.01}),
    ],
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_are_the_formula(optimizer, arguments, expected):
    values = run(optimizer(0.02, **arguments), 8)
    theirs = reference(FORMULAS[optimizer], 8, 0.02, **expected)
    for value, expected_value in zip(values, theirs, strict=True):
        np.testing.assert_allclose(value, expected_value, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1e-6, 1e-8, 0.0])
def test_gradients_of_the_size_of_epsilon(scale):
    values = run(BertAdamax(0.02), 30, scale=scale)
    expected = reference(adamax, 30, 0.02, scale=scale)
    for ours, theirs in zip(values, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(BertAdam, keras.optimizers.Adam), (BertAdamax, keras.optimizers.Adamax)]
)
def test_bias_correction_is_that_of_keras(ours, theirs):
    optimizer = ours(0.02, epsilon=1e-8, bias_correction=True)
    optimizer = ours.from_config(optimizer.get_config())
    expected = run(theirs(0.02, epsilon=1e-8), 8)
    for value, expected_value in zip(run(optimizer, 8), expected, strict=True):
        np.testing.assert_allclose(value, expected_value, atol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_adamax_of_the_specification(jit):
    optimizer = BertAdamax(LinearWarmupDecay(0.05, 100, 10), weight_decay=0.01)
    value = tf.Variable(1.0)
    optimizer.build([value])

    @tf.function(jit_compile=jit)
    def step(gradient):
        optimizer.apply_gradients([(gradient, value)])

    values = []
    for gradient in (0.5, 0.5, 0.0, 0.5):
        step(tf.constant(gradient))
        values.append(float(value))
    np.testing.assert_allclose(values, [1.0, 0.999, 0.9971884, 0.9932303], atol=1e-6)


def test_the_first_step_has_no_bias_correction():
    value = tf.Variable([0.0])
    BertAdam(1.0).apply_gradients([(tf.constant([2.0]), value)])
    # m / sqrt(v) = .1 / sqrt(.001), where corrected moments would give 1.
    np.testing.assert_allclose(value, [-0.1 / np.sqrt(0.001)], rtol=1e-4)


def test_the_rate_may_be_a_schedule():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 5, 0.0)
    values = run(BertAdam(schedule), 4)
    expected = reference(adam, 4, lambda step: 0.1 * (1 - step / 5))
    for ours, theirs in zip(values, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_can_be_excluded(optimizer):
    values = [tf.Variable([1.0]), tf.Variable([1.0])]
    optimizer = optimizer(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=values[1:])
    optimizer.apply_gradients([(tf.zeros([1]), value) for value in values])
    np.testing.assert_allclose([v.numpy()[0] for v in values], [0.95, 1.0])


# As in TensorFlow, the norm for clipping counts a row that occurs twice as two.
@pytest.mark.parametrize(
    "clip, rows", [(None, [[1, 3, 1], [0, 0, 4]]), (0.5, [[1, 3, 2], [0, 3, 4]])]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_sparse_gradients_are_dense_ones(optimizer, clip, rows):
    sparse, dense = tf.Variable(tf.ones([5, 2])), tf.Variable(tf.ones([5, 2]))
    ours, theirs = (optimizer(0.1, weight_decay=0.01, global_clipnorm=clip) for _ in range(2))
    for indices in rows:
        slices = tf.IndexedSlices(
            tf.reshape(tf.range(6.0), [3, 2]) - 2, tf.constant(indices), tf.constant([5, 2])
        )
        ours.apply_gradients([(slices, sparse)])
        theirs.apply_gradients([(tf.convert_to_tensor(slices), dense)])
    np.testing.assert_allclose(sparse, dense, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_embedding_is_trained_in_a_graph(optimizer):
    table = tf.Variable(tf.ones([5, 2]))
    optimizer = optimizer(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, [1, 3]))
        optimizer.apply_gradients([(tape.gradient(loss, table), table)])

    step()
    changed = (table.numpy() != 1).any(axis=1)
    np.testing.assert_array_equal(changed, [False, True, False, True, False])


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_slots_and_steps_are_saved(tmp_path, make):
    unbroken = run(make(0.05), 6)
    optimizer = make(0.05)
    values = run(optimizer, 3)
    path = tf.train.Checkpoint(optimizer=optimizer, values=values).save(tmp_path / "checkpoint")
    restored, copies = make(0.05), variables()
    restored.build(copies)
    tf.train.Checkpoint(optimizer=restored, values=copies).restore(path).assert_consumed()
    assert int(restored.iterations) == 3
    run(restored, 3, copies)
    for ours, theirs in zip(copies, unbroken, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_config_holds_every_argument(make):
    arguments = {
        "learning_rate": 0.3,
        "beta_1": 0.8,
        "beta_2": 0.9,
        "epsilon": 1e-4,
        "weight_decay": 0.02,
        "global_clipnorm": 2.0,
    }
    optimizer = make(**arguments)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is make
    config = copy.get_config()
    assert {key: config[key] for key in arguments} == pytest.approx(arguments)


STEPS = (True, False, True, True, False, False)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_what_is_held_still_moves_with_its_own_steps_alone(make, jit):
    """The second row has a gradient in some steps only, and goes on as if there were no others."""
    arguments = {"weight_decay": 0.1, "global_clipnorm": 100.0}
    start = np.float32(np.random.default_rng(0).normal(size=[2, 3]))
    value, drifting, alone = tf.Variable(start), tf.Variable(start), tf.Variable(start[1:])
    ours, theirs = make(0.1, **arguments), make(0.1, **arguments)
    ours.build([value, drifting])
    ours.skip_zero_gradients([value])

    @tf.function(jit_compile=jit)
    def step(gradient):
        ours.apply_gradients([(gradient, value), (gradient, drifting)])

    for number, has_gradient in enumerate(STEPS):
        gradient = np.float32(np.random.default_rng(number).normal(size=[2, 3]))
        gradient[1] *= has_gradient
        before = value.numpy()
        step(tf.constant(gradient))
        if has_gradient:
            theirs.apply_gradients([(tf.constant(gradient[1:]), alone)])
        else:
            np.testing.assert_array_equal(value[1], before[1])
        assert (value[0].numpy() != before[0]).all()
    np.testing.assert_allclose(value[1:], alone, atol=1e-6)
    np.testing.assert_allclose(value[0], drifting[0], atol=1e-6)
    assert np.abs(value[1] - drifting[1]).min() > 1e-3


def test_replicas_skip_zero_gradients(two_devices):
    with two_devices.scope():
        value = tf.Variable([1.0, 1.0])
        optimizer = BertAdam(0.1, weight_decay=0.1)
        optimizer.build([value])
        optimizer.skip_zero_gradients([value])

    @tf.function
    def step(gradient):
        two_devices.run(lambda: optimizer.apply_gradients([(tf.identity(gradient), value)]))

    step(tf.constant([1.0, 1.0]))
    first = value.numpy()
    step(tf.constant([1.0, 0.0]))
    assert value.numpy()[0] < first[0] and value.numpy()[1] == first[1] < 1
    for copy in two_devices.experimental_local_results(value):
        np.testing.assert_array_equal(copy, value)
