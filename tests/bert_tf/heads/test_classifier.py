import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import PROJECTIONS, EncoderConfig, LayerConfig
from bert_tf.encoders.encoder import INPUT_NAMES, activation
from bert_tf.models.bert import BertModel
from flop_tf import randomness, surgery
from flop_tf.backend import keras
from flop_tf.layers.projection import ProjectionSpec

BASE = EncoderConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
    num_labels=3,
)
GATE = {"name": "hard_concrete", "config": {"axis": 0, "seed": 3}}
LAYERS = {
    "dense": (),
    "factorized": tuple(
        LayerConfig(2, 12, {name: ProjectionSpec(r) for name in PROJECTIONS}) for r in (8, 3, 1)
    ),
    "gated": (
        LayerConfig(2, 12, {"query": ProjectionSpec(8, GATE), "ffn_out": ProjectionSpec(5, GATE)}),
        LayerConfig(2, 12),
        LayerConfig(1, 7, {"attention_output": ProjectionSpec(2, GATE)}),
    ),
    "rank 0": (
        LayerConfig(2, 12, {name: ProjectionSpec(0) for name in PROJECTIONS}),
        LayerConfig(2, 12, {"query": ProjectionSpec(0), "ffn_in": ProjectionSpec(0)}),
        LayerConfig(2, 12, {"value": ProjectionSpec(0), "ffn_out": ProjectionSpec(0)}),
    ),
    "no heads or neurons": (LayerConfig(0, 12), LayerConfig(2, 0), LayerConfig(0, 0)),
    "fewer": (LayerConfig(1, 5), LayerConfig(2, 1, {"key": ProjectionSpec(2)}), LayerConfig(1, 12)),
}


def model_of(layers, **changes):
    """Returns a model whose every weight is random, biases too."""
    keras.utils.set_random_seed(0)
    model = BertModel(dataclasses.replace(BASE, layers=LAYERS[layers], **changes))
    generator = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign_add(generator.normal(size=variable.shape, scale=0.3))
    return model


def features(lengths=(6, 3), width=7):
    mask = (np.arange(width) < np.array(lengths)[:, np.newaxis]).astype(np.int32)
    ids = np.random.default_rng(1).integers(1, 13, [2, 9])[:, :width].astype(np.int32) * mask
    arrays = (ids, mask, (np.arange(width) > 2).astype(np.int32) * mask)
    return dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True))


@pytest.mark.parametrize("layers", LAYERS)
def test_every_shape_runs_and_reloads(layers, tmp_path):
    model = model_of(layers)
    logits = model(features(), training=False).numpy()
    assert logits.shape == (2, 3) and np.isfinite(logits).all() and np.ptp(logits) > 1e-3
    assert model(features(), training=True).shape == (2, 3)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert reloaded.config == model.config
    np.testing.assert_allclose(reloaded(features(), training=False), logits, atol=1e-6)


@pytest.mark.parametrize("layers", ["gated", "no heads or neurons"])
def test_saved_model(layers, tmp_path):
    model = model_of(layers)
    logits = model(features(), training=False)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    (outputs,) = served(**features()).values()
    np.testing.assert_allclose(outputs, logits, atol=1e-5)


def test_a_layer_without_heads_or_neurons_keeps_its_biases():
    model = model_of("no heads or neurons")
    paths = surgery.named_variables(model)
    left = [path for path in paths if path.startswith("encoder.blocks.2.") and "norm" not in path]
    assert sorted(left) == [
        "encoder.blocks.2.attention_output.bias",
        "encoder.blocks.2.ffn_out.bias",
    ]
    before = model(features(), training=False).numpy()
    for path in left:
        bias = paths[path].numpy()
        paths[path].assign(bias + np.arange(8))
        assert np.abs(model(features(), training=False) - before).max() > 1e-3
        paths[path].assign(bias)


def test_rank_0_is_a_kernel_of_zeros():
    gone = model_of("rank 0")
    weights = surgery.named_weights(gone)
    dense = BertModel(BASE)
    for path, variable in surgery.named_variables(dense).items():
        variable.assign(weights.get(path, np.zeros(variable.shape)))
    config = gone.config
    for index, name, spec, _ in config.projections():
        if spec.rank is None:
            path = f"encoder.blocks.{index}.{name}.kernel"
            surgery.named_variables(dense)[path].assign(weights[path])
    difference = gone(features(), training=False) - dense(features(), training=False)
    assert np.abs(difference).max() < 1e-5


@pytest.mark.parametrize("layers", ["dense", "gated"])
def test_padding_does_not_change_the_logits(layers):
    model = model_of(layers)
    narrow = model(features(width=6), training=False)
    wide = model(features(width=9), training=False)
    np.testing.assert_allclose(narrow, wide, atol=1e-5)
    alone = {name: value[1:, :3] for name, value in features().items()}
    np.testing.assert_allclose(model(alone, training=False), wide[1:], atol=1e-5)


def test_what_projections_receive():
    model = model_of("fewer")
    received = model.encoder(features(), training=False)["projection_inputs"]
    for index, name, _, (inputs, _) in model.config.projections():
        assert received[index][name].shape == (2 * 7, inputs)
    last = model.encoder(features(), training=False)
    np.testing.assert_array_equal(last["sequence_output"], last["encoder_outputs"][-1])


def test_training_is_a_function_of_seed_and_step():
    model = model_of("gated", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)

    def logits(seed, step):
        with randomness.step_scope(seed, step):
            return model(features(), training=True).numpy()

    np.testing.assert_array_equal(logits(0, 5), logits(0, 5))
    assert np.abs(logits(0, 5) - logits(0, 6)).max() > 1e-3
    assert np.abs(logits(0, 5) - logits(1, 5)).max() > 1e-3
    assert np.abs(logits(0, 5) - model(features(), training=False)).max() > 1e-3


@pytest.mark.parametrize("layers", ["rank 0", "no heads or neurons"])
def test_xla_compiles_what_is_empty(layers):
    """One step on weights that have gradients of zero elements gives the same model."""
    # XLA draws other dropouts.
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    models = [model_of(layers, **no_dropout), model_of(layers, **no_dropout)]
    for model, jit_compile in zip(models, (False, True), strict=True):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jit_compile)
        logs = model.train_on_batch(features(), np.array([0, 2]), return_dict=True)
        assert np.isfinite(logs["loss"])
    for weight, other in zip(*(model.weights for model in models), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-5)


def test_half_precision_keeps_weights_and_logits_in_float32():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = model_of("gated")
        logits = model(features(), training=False)
        hidden = model.encoder(features(), training=False)["sequence_output"]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert logits.dtype == tf.float32 and hidden.dtype == tf.bfloat16
    assert {v.dtype for v in model.weights} == {tf.float32}
    np.testing.assert_allclose(logits, model_of("gated")(features(), training=False), atol=0.5)


def test_sparsity_counts_the_heads_that_are_gone():
    sparsity = model_of("no heads or neurons").budget()
    # Left of 3 (4 64 + 2 96): the FFN of block 0 and the attention of block 1.
    left = 2 * 96 + 4 * 64
    assert sparsity.original_parameters == 3 * 448
    assert float(sparsity.stored_sparsity()) == pytest.approx(1 - left / 1344)


def test_activations():
    x = tf.constant([-1.0, 0.5, 2.0])
    erf = 0.5 * x * (1 + tf.math.erf(x / np.sqrt(2)))
    np.testing.assert_allclose(activation("gelu")(x), erf, atol=1e-6)
    tanh = 0.5 * x * (1 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(activation("gelu_tanh")(x), tanh, atol=1e-6)
    np.testing.assert_array_equal(activation("relu")(x), [0, 0.5, 2])
