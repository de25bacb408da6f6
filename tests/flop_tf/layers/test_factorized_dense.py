import numpy as np
import pytest
import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.gates.switched import mask_scope
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.linalg import costs


@pytest.fixture
def mixed_bfloat16():
    previous = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy(previous)


def spread(layer):
    """Gives the gate of a built layer open, half open and closed units."""
    if layer.gate is not None and layer.rank:
        variable = getattr(layer.gate, layer.gate.variable_name)
        values = np.linspace(-4, 4, int(np.prod(variable.shape)))
        variable.assign(values.reshape(variable.shape))


def formula(layer, inputs, activation=lambda x: x):
    """`activation(x P diag(z) Q + b)` in float64."""
    outputs = np.zeros([*inputs.shape[:-1], layer.units])
    if layer.rank:
        factor_in, factor_out = (v.numpy().astype(np.float64) for v in factors(layer))
        mask = np.ones(layer.rank) if layer.gate is None else layer.gate.mask(False).numpy()
        outputs = inputs.astype(np.float64) @ factor_in @ np.diag(mask) @ factor_out
    return activation(outputs + (layer.bias.numpy() if layer.use_bias else 0))


def factors(layer):
    return [layer.factor_in, layer.factor_out]


def run_layer_test(make, inputs, weights, folder, files):
    """Checks what every layer promises.

    Args:
      make: function without arguments that returns a new layer.
      inputs: float32 array of one batch.
      weights: the number of weights of the layer.
      folder: where to save.
      files: names to save the model as; one without a suffix is a SavedModel.

    Returns:
      The built layer and its outputs for `inputs`.
    """
    layer = make()
    outputs = layer(inputs)
    spread(layer)
    outputs = layer(inputs)
    assert len(layer.weights) == weights
    fixed = layer.gate.non_trainable_weights if layer.gate is not None and layer.rank else []
    assert len(layer.trainable_weights) == weights - len(fixed)
    assert outputs.dtype == tf.float32
    assert layer.compute_output_shape(inputs.shape) == outputs.shape

    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy.build(inputs.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(inputs), outputs)

    # Batch and length unknown, then saved and loaded.
    unknown = [None] * (inputs.ndim - 2) + [inputs.shape[-1]]
    model_inputs = keras.Input(unknown)
    model = keras.Model(model_inputs, layer(model_inputs))
    assert model.output_shape == (None, *unknown[:-1], layer.units)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), outputs, atol=1e-5)
    for file in files:
        model.save(folder / file)
        loaded = keras.models.load_model(folder / file)
        np.testing.assert_allclose(loaded(inputs), outputs, atol=1e-6)
    model.save_weights(folder / "model.weights.h5")
    for variable in model.weights:
        variable.assign(tf.zeros_like(variable))
    model.load_weights(folder / "model.weights.h5")
    np.testing.assert_allclose(model(inputs), outputs, atol=1e-6)
    return layer, outputs


@pytest.mark.parametrize("gate", [None, *sorted(gates.GATES)])
@pytest.mark.parametrize(
    "rank, shape, arguments",
    [
        (0, [3, 5], {}),
        (1, [3, 2, 5], {"activation": "gelu"}),
        (5, [1, 5], {"use_bias": False, "activation": "tanh"}),
        (4, [2, 3, 1, 5], {"bias_initializer": "ones", "kernel_initializer": "he_normal"}),
        (0, [2, 3, 5], {"use_bias": False}),
        (7, [3, 5], {"merge_above_tokens": 1}),
    ],
)
def test_the_layer(rank, shape, arguments, gate, tmp_path):
    activation = {
        "gelu": lambda x: keras.activations.gelu(tf.constant(x)).numpy(),
        "tanh": np.tanh,
        None: lambda x: x,
    }[arguments.get("activation")]
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    of_gate = 0 if gate is None else len(gates.get(gate).variable_shapes([rank]))
    weights = (2 + of_gate if rank else 0) + arguments.get("use_bias", True)
    # A SavedModel takes seconds, and one with a gate holds all that one without holds.
    files = ["model.keras"] if gate is None else ["model.keras", "saved_model"]

    def make():
        return FactorizedDense(6, rank, gate=gate, **arguments)

    with mask_scope(0):  # Of gates that have several masks.
        layer, outputs = run_layer_test(make, inputs, weights, tmp_path, files)
        np.testing.assert_allclose(outputs, formula(layer, inputs, activation), atol=1e-5)


@pytest.mark.parametrize("gate", [None, "hard_concrete"])
@pytest.mark.parametrize("shape", [[3, 5], [2, 4, 5]])
def test_both_orders_are_the_same_function(gate, shape):
    inputs = tf.random.normal(shape)
    results = []
    for limit in (0, 10**6):
        layer = FactorizedDense(6, 4, gate=gate, merge_above_tokens=limit)
        layer.build(shape)
        weights = [np.random.default_rng(1).normal(size=w.shape) for w in layer.weights]
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=False)
            loss = tf.reduce_sum(tf.square(outputs))
        results.append([outputs, *tape.gradient(loss, [inputs, *layer.weights])])
    for factors_first, merged in zip(*results, strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(merged))))
        np.testing.assert_allclose(factors_first / scale, merged / scale, atol=1e-5)


def matmul_shapes(function):
    """Returns the shapes of all matmuls, the branches of a cond included."""
    graphs = [function.graph]
    graphs += [
        function.graph._get_function(name).graph
        for node in function.graph.as_graph_def().node
        for name in [node.attr[key].func.name for key in ("then_branch", "else_branch")]
        if name
    ]
    return [
        [op.outputs[0].shape.as_list() for op in g.get_operations() if op.type == "MatMul"]
        for g in graphs
    ]


def traced(layer, shape):
    return tf.function(layer).get_concrete_function(tf.TensorSpec(shape))


def test_a_static_shape_picks_the_order_at_once():
    layer = FactorizedDense(6, 4, merge_above_tokens=5)
    layer.build([None, 5])
    assert matmul_shapes(traced(layer, [5, 5])) == [[[5, 4], [5, 6]]]
    # Merged: the first product is P Q.
    assert sorted(matmul_shapes(traced(layer, [6, 5]))[0]) == [[5, 6], [6, 6]]
    assert len(matmul_shapes(traced(layer, [2, 3, 5]))) == 1


@pytest.mark.parametrize("tokens", [1, 5, 6, 20])
def test_an_unknown_length_picks_the_order_when_it_runs(tokens):
    layer = FactorizedDense(6, 4, merge_above_tokens=5)
    layer.build([None, 5])
    function = traced(layer, [None, 5])
    assert len(matmul_shapes(function)) == 3
    inputs = tf.random.normal([tokens, 5])
    np.testing.assert_allclose(function(inputs), formula(layer, inputs.numpy()), atol=1e-5)


def test_below_break_even_there_is_one_order():
    layer = FactorizedDense(6, 2)
    layer.build([None, 5])
    assert costs.merge_above_tokens(5, 6, 2) == costs.NEVER
    assert len(matmul_shapes(traced(layer, [None, 5]))) == 1


def test_gradients_of_an_unknown_length():
    layer = FactorizedDense(6, 5, gate="hard_concrete", merge_above_tokens=5)
    layer.build([None, 5])

    @tf.function(input_signature=[tf.TensorSpec([None, None, 5])])
    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(inputs)))
        return tape.gradient(loss, layer.trainable_variables)

    few, many = gradients(tf.ones([1, 2, 5])), gradients(tf.ones([4, 2, 5]))
    for one, other in zip(few, many, strict=True):
        np.testing.assert_allclose(4 * one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("closed", [0, 3, 9])
@pytest.mark.parametrize("tokens", [2, 40])
def test_a_fixed_gate_multiplies_only_what_is_open(closed, tokens, jit_compile):
    """The same outputs and gradients as with all ranks; on both sides of T* = 16 tokens."""
    layer = FactorizedDense(10, 9, gate="hard_concrete")
    layer.build([None, 12])
    assert costs.merge_above_tokens(12, 10, 9) == 16
    layer.gate.log_alpha.assign([-9.0] * closed + [2.0] * (9 - closed))
    inputs = tf.random.stateless_normal([tokens, 12], [0, 0])

    @tf.function(input_signature=[tf.TensorSpec([None, 12])], jit_compile=jit_compile)
    def gradients(inputs):
        with tf.GradientTape() as tape:
            outputs = layer(inputs, training=not layer.gate.trainable)
            loss = tf.reduce_sum(tf.square(outputs))
        return [outputs, *tape.gradient(loss, layer.weights[:3])]

    expected = gradients.python_function(inputs)
    layer.gate.trainable = False
    for found, other in zip(gradients(inputs), expected, strict=True):
        np.testing.assert_allclose(found, tf.convert_to_tensor(other), rtol=1e-4, atol=1e-4)


def test_a_fixed_gate_follows_its_variables():
    """A traced function must not remember which ranks were open."""
    layer = FactorizedDense(6, 4, gate="hard_concrete")
    layer.build([None, 5])
    layer.gate.trainable = False
    function = tf.function(layer)
    inputs = tf.ones([3, 5])
    for alpha in (5.0, -9.0, 1.0):
        layer.gate.log_alpha.assign(tf.fill([4], alpha))
        np.testing.assert_allclose(function(inputs), formula(layer, inputs.numpy()), atol=1e-5)


def test_factors_start_apart_and_as_the_initializer_says():
    layer = FactorizedDense(5, 5, kernel_initializer="glorot_uniform")
    layer.build([None, 5])
    assert (layer.factor_in.numpy() != layer.factor_out.numpy()).any()
    constant = FactorizedDense(5, 5, kernel_initializer=keras.initializers.Constant(2.0))
    constant.build([None, 5])
    assert all((factor.numpy() == 2).all() for factor in factors(constant))


def test_the_gate_scales_the_rows_of_the_second_factor():
    layer = FactorizedDense(3, 2, gate="hard_concrete", use_bias=False)
    layer.build([None, 2])
    layer.gate.log_alpha.assign([-5.0, 5.0])
    layer.factor_in.assign(np.eye(2))
    layer.factor_out.assign([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    np.testing.assert_allclose(layer(tf.ones([1, 2])), [[4.0, 5.0, 6.0]])


def test_training_draws_gates_once_for_all_tokens():
    layer = FactorizedDense(3, 4, gate="hard_concrete", use_bias=False)
    layer.build([None, 4])
    layer.gate.log_alpha.assign(tf.zeros([4]))
    outputs = layer(tf.ones([5, 4]), training=True).numpy()
    np.testing.assert_allclose(outputs, np.tile(outputs[:1], [5, 1]), atol=1e-6)
    assert (outputs != layer(tf.ones([5, 4]), training=True).numpy()).any()
    np.testing.assert_allclose(
        layer(tf.ones([5, 4]), training=False), layer(tf.ones([5, 4])), atol=1e-6
    )


@pytest.mark.parametrize("rank", [0, 2, 5])
def test_mixed_precision(mixed_bfloat16, rank):
    layer = FactorizedDense(6, rank, gate="hard_concrete")
    inputs = np.random.default_rng(0).normal(size=[3, 5]).astype(np.float32)
    outputs = layer(inputs, training=True)
    assert outputs.dtype == tf.bfloat16
    assert {v.dtype for v in layer.weights} == {tf.float32}
    expected = formula(layer, inputs)
    np.testing.assert_allclose(tf.cast(layer(inputs), tf.float32), expected, atol=0.05)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(inputs, training=True), tf.float32))
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert {g.dtype for g in gradients} == {tf.float32}


@pytest.mark.parametrize("shape", [[0, 5], [2, 0, 5]])
def test_an_empty_batch(shape):
    for rank in (0, 3):
        assert FactorizedDense(6, rank)(tf.zeros(shape)).shape == [*shape[:-1], 6]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((-1, 2), "`units` must be at least 0, received -1"),
        ((3, -2), "`rank` must be at least 0, received -2"),
        ((3, 2, gates.HardConcrete()), r"`gate` must have `axis=0`, .* received axis=-1"),
        ((3, 2, "soft"), "`gate` must be None, a Gate, a serialized gate or one of"),
    ],
)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FactorizedDense(*arguments)


def test_inputs_that_are_refused():
    with pytest.raises(ValueError, match="needs a static size of the last axis, received inputs"):
        FactorizedDense(3, 2, name="query").build([None, None])
    layer = FactorizedDense(3, 0)
    layer(tf.ones([2, 5]))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 5"):
        layer(tf.ones([2, 4]))
    with pytest.raises(ValueError, match="expected min_ndim=2"):
        layer(tf.ones([5]))
