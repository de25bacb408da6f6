import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf import gates, surgery
from flop_tf.backend import keras
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.surgery import cloning
from flop_tf.training.gated_model import GatedModel

layers = keras.layers
GATE = {"name": "hard_concrete", "config": {"axis": 0, "initial_log_alpha": 3.0}}


def sequential():
    return keras.Sequential(
        [
            layers.Input([6]),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.Dropout(0.5),
            layers.Dense(8, use_bias=False, name="plain"),
            layers.Dense(2, activation="softmax", name="head"),
        ]
    )


def lazily_built():
    model = keras.Sequential([layers.Dense(8, name="hidden"), layers.Dense(2, name="head")])
    model(tf.zeros([1, 6]))
    return model


def branched():
    """Branches, a layer used twice, a nested model, an operation without a layer."""
    inputs = keras.Input([6], name="x")
    shared = layers.Dense(6, activation="tanh", name="shared")
    left = layers.Dense(8, name="left")(shared(shared(inputs)))
    nested_inputs = keras.Input([6])
    nested = keras.Model(
        nested_inputs, layers.Dense(8, name="hidden")(nested_inputs), name="nested"
    )
    right = layers.LayerNormalization(name="norm")(nested(inputs))
    both = layers.Concatenate(name="both")([left, right * 2.0])
    outputs = [layers.Dense(2, name="head")(both), layers.Dense(3, name="other")(left)]
    return keras.Model(inputs, outputs)


MODELS = [sequential, lazily_built, branched]


@pytest.fixture(params=MODELS, ids=lambda make: make.__name__)
def model(request):
    model = request.param()
    for variable in model.trainable_variables:
        variable.assign(tf.random.normal(variable.shape))
    return model


def outputs_of(model):
    inputs = np.random.default_rng(0).normal(size=[5, 6]).astype(np.float32)
    return tf.concat(tf.nest.flatten(model(inputs, training=False)), -1).numpy()


def factorized_layers(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, FactorizedDense)]


def close_some(model, seed=0):
    """Spreads log_alpha so that each gate keeps about half of its units."""
    rng = np.random.default_rng(seed)
    for layer in factorized_layers(model):
        layer.gate.log_alpha.assign(rng.normal(-2, 3, layer.rank))


@pytest.mark.parametrize("gate", [None, "hard_concrete"])
def test_at_full_rank_the_outputs_are_the_same(model, gate):
    weights = model.get_weights()
    factorized = flop_tf.factorize(model, gate=gate)
    assert isinstance(factorized, GatedModel)
    np.testing.assert_allclose(outputs_of(factorized), outputs_of(model), atol=1e-5)
    dense = [layer for layer in model._flatten_layers() if type(layer) is layers.Dense]
    assert len(factorized_layers(factorized)) == len(dense)
    assert len(factorized.gates) == (len(dense) if gate else 0)
    # The original stays as it is.
    for ours, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, before)


def test_what_a_layer_is_stays():
    model = sequential()
    factorized = flop_tf.factorize(model)
    for name in ("hidden", "plain", "head"):
        old, new = model.get_layer(name), factorized.get_layer(name)
        assert isinstance(new, FactorizedDense)
        assert (new.units, new.use_bias, new.activation) == (
            old.units,
            old.use_bias,
            old.activation,
        )


def test_how_a_layer_trains_stays():
    dense = keras.layers.Dense(3, kernel_initializer="zeros", bias_initializer="ones")
    model = keras.Sequential([keras.Input([4]), dense])
    dense.trainable = False
    made = surgery.factorize(model, rank=2).layers[-1]
    assert not made.trainable and not made.trainable_variables
    assert isinstance(made.kernel_initializer, keras.initializers.Zeros)
    assert isinstance(made.bias_initializer, keras.initializers.Ones)
    again = surgery.compact(surgery.factorize(model)).layers[-1]
    assert not again.trainable and isinstance(again.bias_initializer, keras.initializers.Ones)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel_regularizer", "l2"),
        ("bias_regularizer", "l2"),
        ("activity_regularizer", "l1"),
        ("kernel_constraint", "non_neg"),
        ("bias_constraint", "non_neg"),
    ],
)
def test_what_factors_do_not_have_is_said(name, value):
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, name="a", **{name: value})])
    with pytest.raises(ValueError, match=f"Layer 'a' must have no {name} to be factorized"):
        surgery.factorize(model)
    surgery.factorize(model, skip=["a"])


def test_the_precision_of_a_layer_stays():
    inputs = keras.Input([6])
    policy = keras.mixed_precision.Policy("mixed_bfloat16")
    model = keras.Model(inputs, layers.Dense(4, name="half", dtype=policy)(inputs))
    factorized = flop_tf.factorize(model)
    assert factorized.get_layer("half").compute_dtype == "bfloat16"
    assert factorized.outputs[0].dtype == tf.bfloat16
    assert factorized.get_layer("half").factor_in.dtype == tf.float32


def test_skip_leaves_a_layer_alone():
    model = sequential()
    factorized = flop_tf.factorize(model, skip=["head"])
    assert type(factorized.get_layer("head")) is layers.Dense
    assert len(factorized_layers(factorized)) == 2
    np.testing.assert_allclose(outputs_of(factorized), outputs_of(model), atol=1e-5)


def test_rank_and_density():
    assert [layer.rank for layer in factorized_layers(flop_tf.factorize(sequential(), rank=1))] == [
        1,
        1,
        1,
    ]
    # Break-even ranks: 6 x 8 3.4, 8 x 8 4, 8 x 2 1.6.
    half = flop_tf.factorize(sequential(), density=0.5)
    assert [layer.rank for layer in factorized_layers(half)] == [1, 2, 1]
    assert not factorized_layers(flop_tf.factorize(sequential(), density=1))


def test_each_gate_has_arguments_and_a_seed_of_its_own():
    factorized = flop_tf.factorize(sequential(), gate=GATE)
    assert [gate.initial_log_alpha for gate in factorized.gates] == [3.0] * 3
    assert [gate.name for gate in factorized.gates] == ["hidden_gate", "plain_gate", "head_gate"]
    # A model built again in the same process draws the same.
    again = flop_tf.factorize(sequential(), gate=GATE)
    assert [gate.name for gate in again.gates] == [gate.name for gate in factorized.gates]


def test_a_gate_of_another_axis_is_refused():
    with pytest.raises(ValueError, match="`gate` must have `axis=0`"):
        flop_tf.factorize(sequential(), gate=gates.HardConcrete(axis=-1))


def test_compact_is_gated_at_inference(model):
    gated = flop_tf.factorize(model, gate="hard_concrete")
    close_some(gated)
    compacted = flop_tf.compact(gated)
    assert not compacted.gates
    np.testing.assert_allclose(outputs_of(compacted), outputs_of(gated), atol=1e-5)
    sparsity = flop_tf.Budget(factorized_layers(gated))
    kernels = cloning.named_layers(compacted)
    kernels = [kernels[layer.gate.name.removesuffix("_gate")] for layer in sparsity.projections]
    stored = flop_tf.Budget(kernels, sparsity.original_parameters)
    assert float(stored.stored_cost()) == float(sparsity.stored_cost())
    assert stored.factorized_parameters == float(sparsity.stored_cost())


def test_compact_factors_are_balanced():
    gated = flop_tf.factorize(branched(), rank=2, gate="hard_concrete")
    for layer in factorized_layers(gated):
        layer.factor_in.assign(layer.factor_in * [1e3, 1e-3])
        layer.factor_out.assign(layer.factor_out * [[1e-3], [1e3]])
    compacted = flop_tf.compact(gated)
    np.testing.assert_allclose(outputs_of(compacted), outputs_of(gated), atol=1e-5)
    maxima = [
        (np.abs(layer.factor_in).max(axis=0), np.abs(layer.factor_out).max(axis=1))
        for layer in factorized_layers(compacted)
    ]
    assert maxima
    for of_columns, of_rows in maxima:
        np.testing.assert_allclose(of_columns, of_rows, rtol=1e-5)


def test_open_gates_become_kernels_again(model):
    compacted = flop_tf.compact(flop_tf.factorize(model, gate="hard_concrete"))
    assert not factorized_layers(compacted)
    np.testing.assert_allclose(outputs_of(compacted), outputs_of(model), atol=1e-5)


def test_closed_gates_leave_the_bias():
    model = sequential()
    model.get_layer("hidden").bias.assign(tf.range(8.0))
    gated = flop_tf.factorize(model, gate="hard_concrete", skip=["head"])
    for gate in gated.gates:
        gate.log_alpha.assign(tf.fill(gate.log_alpha.shape, -9.0))
    compacted = flop_tf.compact(gated)
    assert compacted.get_layer("hidden").rank == compacted.get_layer("plain").rank == 0
    np.testing.assert_array_equal(compacted.get_layer("hidden").bias, np.arange(8))
    assert compacted.get_layer("plain").weights == []
    np.testing.assert_allclose(outputs_of(compacted), outputs_of(gated), atol=1e-5)


def test_compact_works_on_a_compact_and_on_an_ungated_model():
    gated = flop_tf.factorize(sequential(), gate="hard_concrete")
    close_some(gated)
    once = flop_tf.compact(gated)
    twice = flop_tf.compact(once)
    np.testing.assert_allclose(outputs_of(twice), outputs_of(once), atol=1e-6)
    low = flop_tf.factorize(sequential(), rank=1)
    np.testing.assert_allclose(outputs_of(flop_tf.compact(low)), outputs_of(low), atol=1e-5)


@pytest.mark.parametrize("file", ["model.keras", "saved_model"])
def test_results_save_and_load(tmp_path, file):
    gated = flop_tf.factorize(branched(), gate="hard_concrete")
    close_some(gated)
    for name, result in (("gated", gated), ("compact", flop_tf.compact(gated))):
        path = tmp_path / f"{name}_{file}"
        result.save(path)
        loaded = keras.models.load_model(path)
        assert isinstance(loaded, GatedModel)
        np.testing.assert_allclose(outputs_of(loaded), outputs_of(result), atol=1e-6)


class Own(GatedModel):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


def test_a_model_of_ones_own_can_still_be_built_after_a_functional_one():
    flop_tf.factorize(sequential())
    assert Own()(tf.ones([2, 6])).shape == [2, 2]


@pytest.mark.parametrize("operation", [flop_tf.factorize, flop_tf.compact])
def test_other_models_are_refused(operation):
    own = Own()
    own(tf.ones([2, 6]))
    message = "`model` must be a built functional or Sequential model, received "
    with pytest.raises(ValueError, match=message + "'Own'; other models are rebuilt from"):
        operation(own)
    with pytest.raises(ValueError, match=message + "'Sequential'"):
        operation(keras.Sequential([layers.Dense(2)]))


def test_a_skipped_layer_must_exist():
    with pytest.raises(ValueError, match=r"`skip` must name layers .* unknown \['hed'\]"):
        flop_tf.factorize(sequential(), skip=["hed", "head"])


def test_a_rank_that_a_layer_cannot_have():
    with pytest.raises(ValueError, match=r"`rank` must be 'full' or in \[0, 2\]"):
        flop_tf.factorize(sequential(), rank=5)


def test_weights_go_by_path():
    model = sequential()
    weights = surgery.named_weights(model)
    assert set(weights) == {"hidden.kernel", "hidden.bias", "plain.kernel"} | {
        "head.kernel",
        "head.bias",
    }
    other = sequential()
    surgery.assign_weights(other, weights)
    np.testing.assert_array_equal(outputs_of(other), outputs_of(model))


def test_new_weights_stay_as_they_are():
    model = sequential()
    weights = surgery.named_weights(model)
    del weights["head.bias"]
    model.get_layer("head").bias.assign([3.0, 4.0])
    surgery.assign_weights(model, weights, new=["head.bias"])
    np.testing.assert_array_equal(model.get_layer("head").bias, [3.0, 4.0])


def test_weights_that_do_not_fit_are_all_named():
    model = sequential()
    before = model.get_weights()
    weights = {path: array + 1 for path, array in surgery.named_weights(model).items()}
    del weights["hidden.bias"]
    weights["extra"] = np.zeros(1)
    weights["head.kernel"] = np.zeros([2, 2])
    with pytest.raises(
        ValueError,
        match="The weights do not fit the model; missing: hidden.bias; left over: extra; "
        r"of another shape: head.kernel \(8, 2\) from \(2, 2\)\.",
    ):
        surgery.assign_weights(model, weights)
    for ours, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, old)


def test_factorize_kernel():
    kernel = np.random.default_rng(0).normal(size=[4, 6])
    assert surgery.factorize_kernel(kernel, ProjectionSpec()) == {"kernel": kernel}
    assert surgery.factorize_kernel(kernel, ProjectionSpec(0)) == {}
    split = surgery.factorize_kernel(kernel, ProjectionSpec(4))
    np.testing.assert_allclose(split["factor_in"] @ split["factor_out"], kernel, atol=1e-9)
    own = surgery.factorize_kernel(kernel, ProjectionSpec(3), lambda k, rank: (k, rank))
    assert own == {"factor_in": kernel, "factor_out": 3}
