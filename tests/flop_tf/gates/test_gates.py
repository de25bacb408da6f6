"""One battery that every gate of `gates.GATES` must pass; a new gate needs no line here."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from flop_tf import gates, randomness
from flop_tf.backend import keras
from flop_tf.gates.switched import mask_scope

UNITS = 6


@pytest.fixture(autouse=True)
def index():
    """The mask of gates that have several."""
    with mask_scope(0):
        yield


@pytest.fixture(params=sorted(gates.GATES))
def name(request):
    return request.param


@pytest.fixture
def gate(name):
    """A gate whose units differ, some of them closed."""
    gate = gates.get(name, axis=-1, **seeded(name))
    gate.build([None, UNITS])
    spread(gate)
    return gate


@pytest.fixture
def drawing(gate):
    """Such a gate, of those that draw."""
    if not gate.draws:
        pytest.skip("This gate draws nothing.")
    return gate


def seeded(name, seed=3):
    return {"seed": seed} if gates.GATES[name].draws else {}


def spread(gate):
    for variable in gate.variables:
        values = np.linspace(-4, 4, int(np.prod(variable.shape)))
        variable.assign(values.reshape(variable.shape))


def draw(gate, seed=0, step=0):
    with randomness.step_scope(seed, step):
        return gate.mask(training=True).numpy()


def model_with(gate):
    inputs = keras.Input([3, UNITS])
    return keras.Model(inputs, gate(inputs))


@pytest.mark.parametrize("training", [False, True, None])
def test_mask_is_float32_in_the_unit_interval(gate, training):
    mask = gate.mask(training=training)
    assert mask.dtype == tf.float32
    assert mask.shape == [UNITS]
    assert (mask.numpy() >= 0).all() and (mask.numpy() <= 1).all()


@pytest.mark.parametrize(
    "axis, shape, mask_shape",
    [
        (-1, [5, 4], [4]),
        (0, [5, 4], [5]),
        (1, [2, 3, 4], [3]),
        (-2, [2, 3, 4], [3]),
        (None, [5, 4], [5, 4]),
    ],
)
def test_call_scales_along_the_axis(name, axis, shape, mask_shape):
    gate = gates.get(name, axis=axis)
    inputs = tf.random.normal(shape)
    outputs = gate(inputs, training=False)
    spread(gate)
    outputs = gate(inputs, training=False)
    mask = gate.mask(training=False).numpy()
    assert list(mask.shape) == mask_shape
    axis = axis if axis is None else axis % len(shape)
    broadcast = mask if axis is None else mask.reshape([-1] + [1] * (len(shape) - 1 - axis))
    np.testing.assert_allclose(outputs, inputs * broadcast, atol=1e-7)


def test_an_axis_of_unknown_size_is_refused(name):
    with pytest.raises(ValueError, match="needs a static size along axis 0, received inputs"):
        gates.get(name, axis=0).build([None, 4])


def test_expected_active_is_the_mean_of_draws(gate):
    draws = 4000

    def count(step):
        with randomness.step_scope(1, step):
            return tf.math.count_nonzero(gate.mask(training=True), dtype=tf.float32)

    @tf.function
    def counted():
        return tf.map_fn(count, tf.range(draws), fn_output_signature=tf.float32)

    counts = counted().numpy()
    assert gate.expected_active().shape == []
    # A count of 6 units has a standard deviation of at most 6 / 2: four standard errors.
    tolerance = 4 * max(counts.std(), 1e-3) / np.sqrt(draws)
    assert abs(counts.mean() - float(gate.expected_active())) < tolerance


def test_keep_is_where_the_inference_gate_is_open(gate):
    keep = gate.keep().numpy()
    assert keep.dtype == bool
    np.testing.assert_array_equal(keep, gate.mask(training=False).numpy() > 0)
    assert 0 < keep.sum() < UNITS


def test_one_draw_a_step(drawing):
    first = draw(drawing, seed=1, step=5)
    np.testing.assert_array_equal(draw(drawing, seed=1, step=5), first)
    assert (draw(drawing, seed=1, step=6) != first).any()
    assert (draw(drawing, seed=2, step=5) != first).any()


def test_one_draw_for_all_positions(gate):
    outputs = gate(tf.ones([4, UNITS]), training=True).numpy()
    np.testing.assert_array_equal(outputs, np.tile(outputs[:1], [4, 1]))


def test_gates_of_other_seeds_and_names_draw_apart(drawing, name):
    def draw_of(**kwargs):
        gate = gates.get(name, **kwargs)
        gate.build([None, 50])
        for variable in gate.variables:
            variable.assign(tf.zeros_like(variable))
        return draw(gate)

    assert (draw_of(seed=1) != draw_of(seed=2)).any()
    assert (draw_of(name="a") != draw_of(name="b")).any()
    np.testing.assert_array_equal(draw_of(name="a"), draw_of(name="a"))


def test_without_a_scope_draws_differ(drawing):
    assert (drawing.mask(training=True).numpy() != drawing.mask(training=True).numpy()).any()


def test_the_mask_is_made_by_the_variable_of_its_name(name, gate):
    data, mask = gates.serialize(gate), gate.mask(training=False)
    assert gates.variable_name(data) == gate.variable_name
    shapes = gates.variable_shapes(data, mask.shape)
    assert {name: getattr(gate, name).shape for name in shapes} == shapes


def test_a_gate_that_is_not_trainable_infers(gate):
    expected = gate.mask(training=False).numpy()
    gate.trainable = False
    np.testing.assert_array_equal(gate.mask(training=True), expected)
    assert not gate.trainable_variables


def test_inference_has_no_noise(gate):
    inputs = tf.ones([2, UNITS])
    np.testing.assert_array_equal(gate(inputs, training=False), gate(inputs, training=False))


def test_a_draw_has_gradients_to_all_variables(gate):
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(gate.mask(training=True)) + gate.expected_active()
    assert all(g is not None for g in tape.gradient(total, gate.trainable_variables))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_parameters_and_mask_stay_float32(name, policy):
    previous = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        gate = gates.get(name)
        outputs = gate(tf.ones([2, 4], tf.bfloat16), training=True)
    finally:
        keras.mixed_precision.set_global_policy(previous)
    assert outputs.dtype == tf.bfloat16
    assert {v.dtype for v in gate.variables} == {tf.float32}
    assert gate.mask(training=False).dtype == tf.float32
    assert gate.expected_active().dtype == tf.float32


def test_config_holds_every_argument(name):
    gate = gates.get(name, axis=1, name="mine", trainable=False, **seeded(name, 8))
    copy = type(gate).from_config(gate.get_config())
    assert copy.get_config() == gate.get_config()
    assert (copy.axis, copy.name, copy.trainable) == (1, "mine", False)
    assert not gate.draws or copy.seed == 8


def test_serialize_and_back(name, gate):
    data = gates.serialize(gate)
    assert data["name"] == name
    copy = gates.deserialize(data)
    assert type(copy) is type(gate) and copy.get_config() == gate.get_config()
    assert gates.get(data).get_config() == gate.get_config()


def test_a_gate_in_the_form_of_keras_is_read_too(gate):
    copy = gates.deserialize(keras.saving.serialize_keras_object(gate))
    assert type(copy) is type(gate) and copy.get_config() == gate.get_config()


@keras.saving.register_keras_serializable("test_gates")
class Own(gates.HardConcrete):
    pass


def test_a_gate_of_ones_own_needs_no_entry():
    own = Own(axis=0, seed=5)
    copy = gates.deserialize(gates.serialize(own))
    assert type(copy) is Own and copy.get_config() == own.get_config()


def test_get_lets_none_and_gates_through(gate):
    assert gates.get(None) is None
    assert gates.get(gate, axis=0) is gate


@pytest.mark.parametrize("identifier", ["hard", 3, ["hard_concrete"]])
def test_get_refuses_the_rest(identifier):
    with pytest.raises(ValueError, match="Argument `gate` must be None, a Gate, a serialized"):
        gates.get(identifier)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "hard"},
        {"class_name": "NoSuchGate", "config": {}},
        {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}},
        {"registered_name": "flop_tf>FactorizedDense", "config": {"units": 2, "rank": 1}},
    ],
)
def test_deserialize_refuses_what_is_no_gate(data):
    with pytest.raises(ValueError, match="A serialized gate must name one of"):
        gates.deserialize(data)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "must be a name with numbers and texts: expected 'object', received 'null'"),
        ({"name": 3}, "expected 'str', received 'int' at '.name'"),
        ({"name": "hard_concrete", "config": {"seed": {"class_name": "X"}}}, "received 'object'"),
        ({"name": "hard_concrete", "config": {"seeds": 1}}, "of HardConcrete must have its arg"),
        ({"name": "hard_concrete", "config": {"low": "x"}}, "of HardConcrete must have its arg"),
        ({"name": "switched", "config": {"num_masks": -1}}, "`num_masks` must be at least 1"),
    ],
)
def test_deserialize_refuses_other_arguments(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        gates.deserialize(data)


def test_nothing_that_data_name_is_imported_or_called(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    inputs = keras.Input([2])
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs))
    planted = keras.saving.serialize_keras_object(model)
    for data in (
        planted,
        {"class_name": "X", "module": "evil", "config": {}},
        {"name": "fixed", "config": {"activity_regularizer": planted}},
        {"name": "fixed", "module": "evil", "class_name": "X"} | {"name": "other"},
    ):
        with pytest.raises(ValueError, match="A serialized gate"):
            gates.deserialize(data)
    assert "evil" not in sys.modules


@pytest.mark.parametrize("file", ["model.keras", "saved_model"])
def test_a_model_with_the_gate_saves_and_loads(gate, tmp_path, file):
    model = model_with(gate)
    inputs = tf.random.normal([2, 3, UNITS])
    model.save(tmp_path / file)
    loaded = keras.models.load_model(tmp_path / file)
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert loaded.layers[-1].get_config() == gate.get_config()


def test_weights_save_and_load(name, gate, tmp_path):
    model = model_with(gate)
    model.save_weights(tmp_path / "model.weights.h5")
    other = model_with(gates.get(name, **seeded(name)))
    other.load_weights(tmp_path / "model.weights.h5")
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_saved_model_of_tensorflow_infers(gate, tmp_path):
    model = model_with(gate)
    tf.saved_model.save(model, str(tmp_path))
    inputs = tf.random.normal([2, 3, UNITS])
    served = tf.saved_model.load(str(tmp_path))(inputs, training=False)
    np.testing.assert_array_equal(served, model(inputs, training=False))
