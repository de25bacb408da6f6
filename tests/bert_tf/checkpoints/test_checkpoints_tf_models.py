import json

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.modeling import models, networks

from bert_tf.checkpoints import read_live_encoder, read_source
from bert_tf.models.weight_paths import expected_shapes, in_encoder
from flop_tf.backend import keras

SIZES = {
    "vocab_size": 11,
    "hidden_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "inner_dim": 12,
    "max_sequence_length": 7,
    "type_vocab_size": 2,
}
CLASSES = [networks.BertEncoder, networks.BertEncoderV2]


def make_encoder(cls, **options):
    encoder = cls(**{**SIZES, **options})
    if not encoder.built:
        encoder(encoder.inputs)
    rng = np.random.default_rng(0)
    encoder.set_weights([rng.normal(size=w.shape) for w in encoder.get_weights()])
    return encoder


def assert_same(weights, expected):
    assert sorted(weights) == sorted(expected)
    for path, array in expected.items():
        np.testing.assert_array_equal(weights[path], array, err_msg=path)


def write_config(folder, **changes):
    data = {
        "vocab_size": 11,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "max_position_embeddings": 7,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
    }
    (folder / "bert_config.json").write_text(json.dumps({**data, **changes}), "utf-8")


@pytest.mark.parametrize("cls", CLASSES)
def test_live_encoder(cls):
    encoder = make_encoder(cls, output_dropout=0.3, attention_dropout=0.2)
    source = read_live_encoder(encoder)
    assert source.format == "live"
    assert source.config.hidden_act == "gelu_tanh"
    assert source.config.hidden_dropout_prob == 0.3
    assert source.config.attention_probs_dropout_prob == 0.2
    assert source.config.layer_norm_eps == 1e-12
    shapes = {p: s for p, s in expected_shapes(source.config).items() if in_encoder(p)}
    assert {path: array.shape for path, array in source.weights.items()} == shapes
    block = encoder.transformer_layers[1]
    kernel = block._attention_layer._query_dense.kernel.numpy()
    np.testing.assert_array_equal(
        source.weights["encoder.blocks.1.query.kernel"][:, 4:], kernel[:, 1]
    )
    kernel = block._attention_layer._output_dense.kernel.numpy()
    np.testing.assert_array_equal(
        source.weights["encoder.blocks.1.attention_output.kernel"][4:], kernel[1]
    )


def test_live_encoder_that_was_never_called():
    encoder = networks.BertEncoderV2(**SIZES)
    assert not encoder.weights
    weights = read_live_encoder(encoder).weights
    np.testing.assert_array_equal(weights["encoder.pooler.bias"], np.zeros(8))


def test_legacy_arguments():
    encoder = networks.BertEncoderV2(
        **{key: value for key, value in SIZES.items() if key != "inner_dim"},
        intermediate_size=20,
        activation="relu",
        dropout_rate=0.4,
    )
    config = read_live_encoder(encoder).config
    assert (config.intermediate_size, config.hidden_act) == (20, "relu")
    assert config.hidden_dropout_prob == 0.4


@pytest.mark.parametrize("activation, name", [("gelu", "gelu"), (tf.nn.relu, "relu")])
def test_activation_is_known_by_what_it_computes(activation, name):
    encoder = networks.BertEncoderV2(**SIZES, inner_activation=activation)
    assert read_live_encoder(encoder).config.hidden_act == name


def test_other_activations_are_refused():
    encoder = networks.BertEncoderV2(**SIZES, inner_activation="tanh")
    with pytest.raises(ValueError, match=r"one of the activations \['gelu', 'gelu_tanh', 'relu'\]"):
        read_live_encoder(encoder)


@pytest.mark.parametrize("options", [{"norm_first": True}, {"output_range": 1}])
def test_other_architectures_are_refused(options):
    (option,) = options
    with pytest.raises(ValueError, match=f"`encoder` must have {option}=.*received"):
        read_live_encoder(networks.BertEncoderV2(**SIZES, **options))


def test_other_encoders_are_refused():
    with pytest.raises(ValueError, match="must be a BertEncoder or BertEncoderV2 .* a Dense"):
        read_live_encoder(keras.layers.Dense(3))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("key", ["model", "encoder"])
def test_checkpoint_equals_live(tmp_path, cls, key):
    encoder = make_encoder(cls)
    path = tf.train.Checkpoint(**{key: encoder}).save(str(tmp_path / "ckpt"))
    live = read_live_encoder(encoder)
    for source in (read_source(path), read_source(tmp_path)):
        assert source.format == "tf_models"
        assert source.config == live.config
        assert_same(source.weights, live.weights)


@pytest.mark.parametrize("cls", CLASSES)
def test_checkpoint_of_a_trained_classifier_brings_its_head(tmp_path, cls):
    encoder = make_encoder(cls)
    model = models.BertClassifier(encoder, num_classes=3)
    model.compile(keras.optimizers.Adam(0.0), "mse", run_eagerly=True)
    batch = tf.nest.map_structure(lambda _: np.zeros([2, 5], np.int32), encoder.inputs)
    model.train_on_batch(batch, np.zeros([2, 3]))
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(tmp_path / "ckpt"))
    source = read_source(tmp_path)
    assert source.config.num_labels == 3
    head = model.classifier.out_proj
    expected = {
        **read_live_encoder(encoder).weights,
        "classifier.kernel": head.kernel.numpy(),
        "classifier.bias": head.bias.numpy(),
    }
    assert_same(source.weights, expected)


def test_compiled_encoder(tmp_path):
    encoder = make_encoder(networks.BertEncoder)
    encoder.compile(keras.optimizers.Adam(0.0), "mse", run_eagerly=True)
    batch = [np.zeros([2, 5], np.int32)] * 3
    encoder.train_on_batch(batch, [np.zeros([2, 5, 8]), np.zeros([2, 8])])
    tf.train.Checkpoint(model=encoder).save(str(tmp_path / "ckpt"))
    assert_same(read_source(tmp_path).weights, read_live_encoder(encoder).weights)


def test_functional_encoder_known_by_its_counted_layers(tmp_path):
    encoder = make_encoder(networks.BertEncoder)
    plain = keras.Model(encoder.inputs, encoder.outputs)
    tf.train.Checkpoint(model=plain).save(str(tmp_path / "ckpt"))
    assert_same(read_source(tmp_path).weights, read_live_encoder(encoder).weights)


def test_config_beside_the_checkpoint(tmp_path):
    encoder = make_encoder(networks.BertEncoderV2)
    tf.train.Checkpoint(encoder=encoder).save(str(tmp_path / "ckpt"))
    write_config(tmp_path, hidden_dropout_prob=0.0)
    config = read_source(tmp_path).config
    assert config.hidden_dropout_prob == 0.0
    assert config.hidden_act == "gelu_tanh"
    write_config(tmp_path, num_attention_heads=4)
    with pytest.raises(ValueError, match="has 2 attention heads where .* num_attention_heads 4"):
        read_source(tmp_path)
    write_config(tmp_path, num_hidden_layers=1)
    with pytest.raises(ValueError, match=r"has 16 variables .* no use for: _transformer_layers/1/"):
        read_source(tmp_path)


def test_projected_embeddings_are_unused_variables(tmp_path):
    encoder = make_encoder(networks.BertEncoderV2, embedding_width=4)
    with pytest.raises(ValueError, match="must have embedding_width=8, .*received 4"):
        read_live_encoder(encoder)
    tf.train.Checkpoint(encoder=encoder).save(str(tmp_path / "ckpt"))
    with pytest.raises(ValueError, match=r"no use for: encoder/_embedding_projection/bias"):
        read_source(tmp_path)


def test_other_object_based_checkpoints_are_refused(tmp_path):
    tf.train.Checkpoint(step=tf.Variable(1)).save(str(tmp_path / "ckpt"))
    with pytest.raises(ValueError, match="is object-based and holds no BertEncoder"):
        read_source(tmp_path)
    holder = tf.Module()
    for name in ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer"):
        setattr(holder, name, tf.Module())
    holder._embedding_norm_layer, holder._transformer_layers = tf.Module(), tf.Module()
    tf.train.Checkpoint(encoder=holder).save(str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="does not show the sizes of its encoder"):
        read_source(tmp_path)
