"""factorize and compact on Keras models of every kind: nested, einsum, structures, odd ones."""

import collections

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf import gates, surgery
from flop_tf.backend import keras
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.factorized_einsum import FactorizedEinsumDense, contracted_axes
from flop_tf.surgery import cloning
from flop_tf.training.gated_model import GatedModel

layers = keras.layers
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def nested():
    """A functional model in a functional one, in a Sequential one, in a functional one."""
    inner_inputs = keras.Input([6])
    inner = keras.Model(inner_inputs, layers.Dense(6, "tanh", name="hidden")(inner_inputs))
    middle_inputs = keras.Input([6])
    hidden = layers.Dense(6, "relu", name="hidden")(inner(middle_inputs))
    middle = keras.Model(middle_inputs, hidden + inner(hidden), name="middle")
    outer = keras.Sequential([middle, layers.Dense(6, name="last")], name="outer")
    inputs = keras.Input([6])
    return keras.Model(inputs, layers.Dense(3, name="head")(outer(inputs))), [normal(4, 6)]


def shared():
    """A nested model used twice here and once in another, a Dense in two nested models."""
    dense = layers.Dense(5, name="everywhere")
    block = keras.Sequential([keras.Input([5]), dense, layers.Dense(5, "tanh")], name="block")
    inputs = keras.Input([5])
    other = keras.Model(inputs, dense(block(inputs)), name="other")
    inputs = keras.Input([5])
    return keras.Model(inputs, other(block(block(inputs))) + dense(inputs)), [normal(4, 5)]


def sequential_in_sequential():
    inner = keras.Sequential([layers.Dense(7, "relu"), layers.Dense(4)])  # Built by its first call.
    return keras.Sequential([keras.Input([3, 5]), inner, layers.Dense(2)]), [normal(4, 3, 5)]


def einsum():
    inputs = keras.Input([3, 8])
    heads = layers.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de", name="heads")(inputs)
    soft = layers.EinsumDense("...x,xy->...y", 4, activation="softmax", name="dots")(heads)
    joined = layers.EinsumDense("abcd,cde->abe", (None, 6), bias_axes="e", name="joined")(soft)
    rows = layers.EinsumDense("abc,cde->abde", [3, 2, 3], activation="softmax", name="r")(joined)
    plain = layers.EinsumDense("abc,cd->abd", (3, 6), "gelu", bias_axes="d", name="plain")(joined)
    return keras.Model(inputs, [plain, rows]), [normal(4, 3, 8)]


def attention():
    """Attention of every kind: masked, causal, to another sequence, scores, used twice, nested."""
    ids, other = keras.Input([5], dtype="int32"), keras.Input([4, 7])
    hidden = layers.Embedding(9, 6, mask_zero=True)(ids)
    twice = layers.MultiHeadAttention(2, 3, name="twice")
    hidden = hidden + twice(hidden, hidden, use_causal_mask=True)
    hidden = hidden + twice(hidden, hidden)
    inside = [keras.Input([5, 6]), keras.Input([4, 7])]
    cross = layers.MultiHeadAttention(3, 2, value_dim=5, output_shape=8, dropout=0.1, name="cross")
    key = layers.Dense(6)(inside[1])
    outputs, scores = cross(inside[0], inside[1], key=key, return_attention_scores=True)
    block = keras.Model(inside, [outputs, scores], name="block")
    outputs, scores = block([hidden, other])
    model = keras.Model([ids, other], [layers.Dense(2)(outputs), scores])
    return model, [[np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]]), normal(2, 4, 7)]]


def structures():
    """Dict inputs under other keys than their names, a nested structure of outputs."""
    inputs = {"ids": keras.Input([4], name="x"), "other": keras.Input([3], name="y")}
    both = layers.Concatenate()([layers.Dense(6)(inputs["ids"]), inputs["other"]])
    outputs = {
        "scores": layers.Dense(2)(both),
        "all": [both, [layers.Dense(1)(both)]],
    }
    return keras.Model(inputs, outputs), [{"ids": normal(4, 4), "other": normal(4, 3)}]


def nested_structures():
    """A nested model with dict inputs and outputs, and two inputs as a list outside."""
    inside, _ = structures()
    pair = [keras.Input([4]), keras.Input([3])]
    out = inside({"ids": pair[0], "other": pair[1]})
    return keras.Model(pair, {"z": layers.Dense(5)(out["scores"])}), [[normal(4, 4), normal(4, 3)]]


def masked():
    """The mask of an embedding goes through Dense layers to a layer that needs it."""
    ids = keras.Input([5], dtype="int32")
    hidden = layers.Dense(6)(layers.Embedding(7, 6, mask_zero=True)(ids))
    pooled = layers.GlobalAveragePooling1D()(hidden)
    return keras.Model(ids, layers.Dense(2)(pooled)), [np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]])]


def normalized():
    """Weights that nothing trains: batch statistics and an adapted Normalization."""
    adapted = layers.Normalization()
    adapted.adapt(5 + 3 * normal(50, 6))
    inside = keras.Sequential([keras.Input([6]), adapted, layers.Dense(6)])
    inputs = keras.Input([6])
    norm = layers.BatchNormalization()
    model = keras.Model(inputs, layers.Dense(2)(norm(inside(inputs))))
    norm.moving_mean.assign(normal(6))
    norm.moving_variance.assign(np.abs(normal(6)) + 0.5)
    return model, [5 + normal(4, 6)]


def odd_inputs():
    """A column, ints, one output, a constant added."""
    inputs = keras.Input([1], dtype="int32")
    hidden = layers.Dense(5)(inputs) + 2.0
    return keras.Model(inputs, layers.Dense(1)(hidden)), [np.array([[1], [3]])]


def ragged():
    inputs = keras.Input([None, 4], ragged=True)
    values = tf.RaggedTensor.from_row_lengths(normal(3, 4), [1, 2])
    return keras.Model(inputs, layers.Dense(6)(inputs)), [values]


def sparse():
    inputs = keras.Input([4], sparse=True)
    return keras.Model(inputs, layers.Dense(6)(inputs)), [tf.sparse.from_dense(normal(3, 4))]


MODELS = [
    nested,
    shared,
    sequential_in_sequential,
    einsum,
    attention,
    structures,
    nested_structures,
    masked,
    normalized,
    odd_inputs,
    ragged,
    sparse,
]


@pytest.fixture(params=MODELS, ids=lambda make: make.__name__)
def case(request):
    model, inputs = request.param()
    for variable in model.trainable_variables:
        variable.assign(tf.random.normal(variable.shape, stddev=0.5))
    return model, inputs


def flat(structure):
    return tf.nest.flatten(structure, expand_composites=True)


def assert_same(ours, theirs, atol=1e-5):
    tf.nest.assert_same_structure(ours, theirs, expand_composites=True)
    for one, other in zip(flat(ours), flat(theirs), strict=True):
        np.testing.assert_allclose(one, other, atol=atol, rtol=1e-5)


def dense_layers(model):
    kinds = (layers.Dense, layers.EinsumDense)
    return [layer for layer in model._flatten_layers() if type(layer) in kinds]


def factorized_layers(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, FactorizedDense)]


def shapes_by_path(model):
    """The projections of an attention are private in the layer of Keras."""
    variables = surgery.named_variables(model)
    return {path.replace("._", "."): v.shape for path, v in variables.items()}


def close_some(model):
    for gate in model.gates:
        gate.log_alpha.assign(np.random.default_rng(1).normal(-2, 3, gate.log_alpha.shape))


def test_at_full_rank_the_outputs_are_the_same(case, caplog):
    model, inputs = case
    expected, before = model(*inputs), model.get_weights()
    factorized = flop_tf.factorize(model)
    assert isinstance(factorized, GatedModel)
    assert_same(factorized(*inputs), expected)
    assert len(factorized_layers(factorized)) == len(dense_layers(model))
    assert not dense_layers(factorized) and not caplog.text
    for ours, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, old)
    assert_same(factorized.predict(*inputs, verbose=0), model.predict(*inputs, verbose=0))


def test_compact_is_gated_at_inference(case, caplog):
    model, inputs = case
    gated = flop_tf.factorize(model, gate="hard_concrete")
    assert len(gated.gates) == len(factorized_layers(gated)) == len(dense_layers(model))
    assert len({gate.name for gate in gated.gates}) == len(gated.gates)
    close_some(gated)
    small = flop_tf.compact(gated)
    assert not small.gates and not caplog.text
    assert_same(small(*inputs), gated(*inputs))
    # With gates that are open the result has the kernels of the original.
    again = flop_tf.compact(flop_tf.factorize(model, gate="hard_concrete"))
    assert len(dense_layers(again)) == len(dense_layers(model))
    assert_same(again(*inputs), model(*inputs))
    assert shapes_by_path(again) == shapes_by_path(model)


def test_results_save_and_load(case, tmp_path):
    model, inputs = case
    if "everywhere" in [layer.name for layer in model.layers]:
        pytest.skip("Keras itself cannot load a layer that lies in several nested models.")
    gated = flop_tf.factorize(model, gate="hard_concrete")
    close_some(gated)
    for name, result in (("gated", gated), ("compact", flop_tf.compact(gated))):
        result.save(tmp_path / f"{name}.keras")
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        assert isinstance(loaded, GatedModel)
        assert_same(loaded(*inputs), result(*inputs), atol=1e-6)


@pytest.mark.parametrize("make", [einsum, attention])
def test_what_was_loaded_saves_and_loads(make, tmp_path):
    model, inputs = make()
    gated = result = flop_tf.factorize(model, gate="hard_concrete")
    for _ in range(3):
        result.save(tmp_path / "gated.keras")
        result = keras.models.load_model(tmp_path / "gated.keras")
        assert_same(result(*inputs), gated(*inputs), atol=1e-6)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_low_rank(case, rank):
    model, inputs = case
    low = flop_tf.factorize(model, rank=rank)
    assert {layer.rank for layer in factorized_layers(low)} == {rank}
    assert_same(flop_tf.compact(low)(*inputs), low(*inputs))


def test_shared_stays_shared():
    model, _ = shared()
    for result in (flop_tf.factorize(model), flop_tf.compact(flop_tf.factorize(model))):
        block = result.get_layer("block")
        assert block in result.get_layer("other").layers
        assert result.get_layer("everywhere") in block.layers
        assert len(result.weights) in (6, 4)


def test_skip_at_any_depth():
    model, inputs = nested()

    def left(skip):
        found = cloning.named_layers(flop_tf.factorize(model, skip=skip))
        return {name for name, layer in found.items() if type(layer) is layers.Dense}

    hidden = "outer.middle.hidden"
    names = cloning.named_layers(model)
    (inner,) = [name for name in names if name.endswith(".hidden") and name != hidden]
    assert left(["hidden"]) == {hidden, inner}
    assert left([hidden]) == {hidden}
    assert left(["last", "head"]) == {"outer.last", "head"}
    assert left(["outer.middle"]) == left(["middle"]) == {hidden, inner}
    assert left([inner.split(".")[2]]) == {inner}
    with pytest.raises(ValueError, match=r"`skip` must name layers .* unknown \['middle.last'\]"):
        flop_tf.factorize(model, skip=["middle.last", "last"])
    assert_same(flop_tf.factorize(model, skip=["middle"])(*inputs), model(*inputs))


def test_gates_of_one_name_draw_on_their_own():
    names = [gate.name for gate in flop_tf.factorize(nested()[0], gate="hard_concrete").gates]
    assert "outer.middle.hidden_gate" in names and len(set(names)) == 4


@pytest.mark.parametrize(
    ("equation", "bias_axes", "axes"),
    [
        ("ab,bc->ac", "c", 1),
        ("abc,cde->abde", "ed", 1),
        ("abcd,cde->abe", None, 2),
        ("...x,xy->...y", "y", 1),
        ("...xy,xyz->...z", None, 2),
        ("abc,cde->abde", "e", 0),  # A bias for some of the new axes.
        ("abc,cd->abd", "bd", 0),  # A bias for each token.
        ("abc,dc->abd", None, 0),
        ("abc,cd->adb", None, 0),
        ("abc,bd->adc", None, 0),
        ("abc,bcd->abd", None, 0),  # A kernel for each b.
        ("abcd,dce->abe", None, 0),
        ("ab,b->a", None, 0),
        ("ab...,bc->ac...", None, 0),
        ("abc,cd->ad", None, 0),
    ],
)
def test_which_equations_are_products(equation, bias_axes, axes):
    assert contracted_axes(equation, bias_axes) == axes


def test_what_an_einsum_layer_is_stays():
    policy = keras.mixed_precision.Policy("mixed_bfloat16")
    old = layers.EinsumDense(
        "abc,cde->abde",
        (None, 2, 3),
        activation="tanh",
        bias_axes="de",
        kernel_initializer="he_normal",
        bias_initializer="ones",
        trainable=False,
        dtype=policy,
        name="heads",
    )
    inputs = keras.Input([None, 4])
    model = keras.Model(inputs, old(inputs))
    factorized = flop_tf.factorize(model)
    for result in (factorized, flop_tf.compact(factorized)):
        new = result.get_layer("heads")
        assert new.compute_dtype == "bfloat16" and not new.trainable
        for name in ("equation", "bias_axes", "partial_output_shape", "activation"):
            assert getattr(new, name) == getattr(old, name)
        assert new.compute_output_shape([5, 7, 4]).as_list()[-2:] == [2, 3]
        assert isinstance(new.kernel_initializer, keras.initializers.HeNormal)
        assert isinstance(new.bias_initializer, keras.initializers.Ones)
    new = factorized.get_layer("heads")
    assert isinstance(new, FactorizedEinsumDense) and new.rank == 4 and new.units == 6
    assert flop_tf.Budget([new]).original_parameters == 24
    copy = FactorizedEinsumDense.from_config(new.get_config())
    assert copy.get_config() == new.get_config()


def test_an_einsum_layer_that_is_no_product_cannot_be_made():
    with pytest.raises(ValueError, match="`equation` must be a product .* received 'ab,cb->ac'"):
        FactorizedEinsumDense("ab,cb->ac", 3, rank=1)


@pytest.mark.parametrize("name", ["kernel_regularizer", "bias_constraint"])
def test_what_factors_do_not_have_is_said_of_einsum_in_nested_models(name):
    value = "l2" if name.endswith("regularizer") else "non_neg"
    layer = layers.EinsumDense("ab,bc->ac", 3, bias_axes="c", name="e", **{name: value})
    inner = keras.Sequential([keras.Input([4]), layer], name="inner")
    model = keras.Sequential([keras.Input([4]), inner, layers.Dense(2)])
    with pytest.raises(ValueError, match=f"Layer 'inner.e' must have no {name} to be factorized"):
        flop_tf.factorize(model)
    flop_tf.factorize(model, skip=["e"])


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = [layers.Dense(4), layers.LayerNormalization()]

    def call(self, inputs):
        return self.dense[1](self.dense[0](inputs))


class OwnDense(layers.Dense):
    pass


class OwnAttention(layers.MultiHeadAttention):
    pass


class OwnCall(keras.Model):
    def call(self, inputs):
        return 2 * super().call(inputs)


def opaque():
    """Each kind of layer that is left as it is, and one Dense."""
    inputs = keras.Input([3, 4])
    hidden = OwnAttention(2, 3, name="attention")(inputs, inputs)
    rows = layers.Reshape([1, 3, 4])(hidden)
    rows = layers.MultiHeadAttention(2, 3, name="image")(rows, rows)
    rows = layers.MultiHeadAttention(2, 3, attention_axes=1, name="axis")(rows, rows)
    hidden = layers.Reshape([3, 4])(rows)
    hidden = Block(name="block")(hidden)
    hidden = layers.TimeDistributed(layers.Dense(4), name="each")(hidden)
    hidden = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")(hidden)
    hidden = OwnDense(4, name="own")(hidden)
    hidden = layers.EinsumDense("abc,dc->abd", (3, 4), name="transposed")(hidden)
    own_inputs = keras.Input([3, 4])
    own = OwnCall(own_inputs, layers.Dense(4)(own_inputs), name="model")
    hidden = own(hidden)
    hidden = layers.LayerNormalization()(layers.Conv1D(4, 2, name="conv")(hidden))
    return keras.Model(inputs, layers.Dense(2, name="head")(hidden)), [normal(2, 3, 4)]


LEFT = [
    "'attention' (OwnAttention)",
    "'image' (MultiHeadAttention)",
    "'axis' (MultiHeadAttention)",
    "'block' (Block)",
    "'each' (TimeDistributed)",
    "'both' (Bidirectional)",
    "'own' (OwnDense)",
    "'transposed' (EinsumDense abc,dc->abd)",
    "'model' (OwnCall)",
    "'conv' (Conv1D)",
]


def test_what_is_left_alone_is_named(caplog):
    model, inputs = opaque()
    factorized = flop_tf.factorize(model)
    assert len(factorized_layers(factorized)) == 1
    assert_same(factorized(*inputs), model(*inputs))
    (record,) = caplog.records
    assert f"are factorized: {', '.join(LEFT)}." in record.message
    caplog.clear()
    skip = [text.split("'")[1] for text in LEFT[1:]]
    flop_tf.factorize(model, skip=skip)
    assert "'attention'" in caplog.text and "'block'" not in caplog.text


def test_a_model_with_nothing_to_factorize_is_refused():
    message = "a Dense, EinsumDense or MultiHeadAttention layer that can be factorized, received "
    hidden = keras.Sequential([keras.Input([3, 4]), Block(name="b")], name="in")
    with pytest.raises(ValueError, match=message + r"'in.b' \(Block\)\."):
        flop_tf.factorize(keras.Sequential([keras.Input([3, 4]), hidden]))
    with pytest.raises(ValueError, match=message + "one without"):
        flop_tf.factorize(keras.Sequential([keras.Input([3]), layers.ReLU()]))


def test_arguments_that_leave_all_dense_are_logged(caplog):
    model, inputs = nested()
    assert_same(flop_tf.factorize(model, density=1)(*inputs), model(*inputs))
    flop_tf.factorize(model, skip=["outer", "head"])
    assert caplog.text.count("`skip` and `density` leave all of them dense") == 2


def test_compact_says_what_it_leaves(caplog):
    model, _ = nested()
    flop_tf.compact(model)
    assert "no layer of the model is factorized or gated" in caplog.text
    each = layers.TimeDistributed(FactorizedDense(3, 2, "hard_concrete"), name="each")
    flop_tf.compact(keras.Sequential([keras.Input([3, 4]), each, gates.HardConcrete(name="alone")]))
    left = "'each' (TimeDistributed), 'alone' (HardConcrete)"
    assert f"Layers that keep their gates and factors: {left}." in caplog.text


@pytest.mark.parametrize("operation", [flop_tf.factorize, flop_tf.compact])
def test_a_keras_3_model_is_refused_with_the_way_out(operation):
    functional = keras_3.Sequential([keras_3.Input([3]), keras_3.layers.Dense(2)])

    class Own(keras_3.Model):
        pass

    for model, name in ((functional, "Sequential"), (Own(), "Own")):
        with pytest.raises(
            ValueError,
            match=f"received the Keras 3 model '{name}'; build it with `import tf_keras` .* "
            "TF_USE_LEGACY_KERAS=1",
        ):
            operation(model)


def test_a_model_with_a_call_of_its_own_is_refused():
    inputs = keras.Input([4])
    with pytest.raises(ValueError, match="must be a built functional or Sequential .* 'OwnCall'"):
        flop_tf.factorize(OwnCall(inputs, layers.Dense(2)(inputs)))


def test_named_tuples_and_lists_come_back():
    pair = collections.namedtuple("Pair", "first second")
    inputs = keras.Input([4])
    first, second = layers.Dense(2)(inputs), layers.Dense(3)(inputs)
    for outputs in (pair(first, second), (first, [second]), [first, second]):
        model = keras.Model(inputs, outputs)
        x = normal(2, 4)
        assert_same(flop_tf.factorize(model)(x), model(x))


def test_a_frozen_nested_model_stays_frozen():
    model, _ = nested()
    model.get_layer("outer").trainable = False
    factorized = flop_tf.factorize(model, gate="hard_concrete")
    assert not factorized.get_layer("outer").trainable
    assert len(factorized.trainable_variables) == 4  # Factors, gate and bias of the head.
    model.trainable = False
    assert not flop_tf.factorize(model).trainable


def test_a_loss_of_the_model_itself_stays():
    inputs = keras.Input([4])
    hidden = layers.Dense(3)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.add_loss(tf.reduce_mean(hidden**2))
    factorized = flop_tf.factorize(model)
    x, y = normal(8, 4), normal(8, 1)
    for each in (model, factorized):
        each.compile("sgd", "mse")
    losses = [each.train_on_batch(x, y) for each in (model, factorized)]
    assert losses[0] == pytest.approx(np.ravel(losses[1])[0], rel=1e-4)
    assert len(factorized.losses) == 1


def test_the_lagrangian_counts_gates_in_nested_models():
    model = flop_tf.factorize(nested()[0], gate="hard_concrete", skip=["head"])
    sparsity = model.budget()
    assert sparsity.original_parameters == 3 * 36 and len(sparsity.gates) == 3

    def fit(sparsity, **kwargs):
        model.compile(
            flop_tf.BertAdam(1e-3),
            "mse",
            gate_optimizer=flop_tf.BertAdam(0.2, epsilon=1e-8),
            multiplier_optimizer=flop_tf.BertAdam(0.1, epsilon=1e-8),
            lagrangian=flop_tf.Lagrangian(0.5, float(sparsity.expected_sparsity()), 20),
            sparsity=sparsity,
        )
        model.fit(normal(160, 6), normal(160, 3), batch_size=4, verbose=0, **kwargs)

    some = flop_tf.Budget(sparsity.projections[:2])
    with pytest.raises(ValueError, match="`sparsity` must count every gate that is trained"):
        fit(some)
    fit(sparsity, callbacks=[flop_tf.FixGates(sparsity, 0.5, last_step=36)])
    assert 0.5 <= float(sparsity.stored_sparsity()) < 0.5 + 12 / 108
    x = normal(5, 6)
    small = flop_tf.compact(model)
    assert_same(small(x), model(x, training=False))
    assert small.count_params() < model.count_params()


def test_importance_orders_gates_in_nested_and_einsum_layers():
    model = flop_tf.factorize(einsum()[0], gate="hard_concrete")
    sparsity = model.budget()
    found = [group.layer for group in sparsity.ranks]

    def loss(_, outputs):
        return tf.add_n([tf.reduce_sum(value**2) for value in outputs])

    importance = flop_tf.rank_importance(model, found, [(normal(4, 3, 8), 0.0)], loss)
    flop_tf.order_gates(sparsity, importance, 0.5, start=3.0)
    sparsity.calibrate(0.5)
    assert float(sparsity.stored_sparsity()) >= 0.5


def test_without_gates_nothing_is_done_silently():
    layer = FactorizedDense(3, 2)
    layer.build([None, 4])
    model = GatedModel(inputs := keras.Input([4]), layer(inputs))
    sparsity = model.budget()
    with pytest.raises(ValueError, match="`sparsity` must have gates to be ordered"):
        flop_tf.order_gates(sparsity, [], 0.5, start=3.0)
    with pytest.raises(ValueError, match="`sparsity` must have gates that can be fixed"):
        flop_tf.FixGates(sparsity, 0.5, last_step=3)
    with pytest.raises(ValueError, match="`sparsity` must have gated projections for a Lagrang"):
        model.compile(
            gate_optimizer=flop_tf.BertAdam(),
            multiplier_optimizer=flop_tf.BertAdam(),
            lagrangian=flop_tf.Lagrangian(0.5, 0.0, 3),
            sparsity=sparsity,
        )
    with pytest.raises(ValueError, match="`projections` must have at least one FactorizedDense"):
        flop_tf.rank_importance(model, [], [(normal(2, 4), 0.0)], lambda y, outputs: 0.0)
    plain = GatedModel(inputs, layers.Dense(2)(inputs))
    with pytest.raises(ValueError, match="`projections` must have at least one layer with a ker"):
        plain.budget()


class NoConfig(layers.Layer):
    def __init__(self, dense):
        super().__init__(name="own")
        self.dense = dense

    def call(self, inputs):
        return self.dense(inputs)


def test_a_layer_that_cannot_be_copied_is_named():
    model = keras.Sequential([keras.Input([4]), NoConfig(layers.Dense(4)), layers.Dense(2)])
    with pytest.raises(ValueError, match="Layer 'own' must have a `get_config` .* 'NoConfig'"):
        flop_tf.factorize(model)


def test_weights_that_are_no_longer_tied_are_named(caplog):
    inputs, first, second = keras.Input([4]), layers.Dense(4, name="a"), layers.Dense(4, name="b")
    model = keras.Model(inputs, second(first(inputs)))
    second.kernel = first.kernel
    x = normal(2, 4)
    assert_same(flop_tf.factorize(model)(x), model(x))
    assert "get weights of their own: 'a' and 'b'." in caplog.text


def test_a_dict_of_outputs_is_trained_by_its_keys():
    inputs = {"x": keras.Input([4], name="other")}
    outputs = {"a": layers.Dense(2)(inputs["x"]), "b": layers.Dense(1)(inputs["x"])}
    model = flop_tf.factorize(keras.Model(inputs, outputs), gate="hard_concrete")
    model.compile("sgd", {"a": "mse", "b": "mse"}, gradient_accumulation_steps=2)
    model.fit({"x": normal(8, 4)}, {"a": normal(8, 2), "b": normal(8, 1)}, verbose=0)
    assert model.predict({"x": normal(8, 4)}, verbose=0).keys() == {"a", "b"}
