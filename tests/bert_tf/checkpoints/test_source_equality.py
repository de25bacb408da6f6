"""Outputs of an imported BERT against those of the program that its weights come from."""

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.modeling import networks
from scipy import special

from bert_tf.checkpoints import read_live_encoder, read_source
from bert_tf.models.bert import BertModel
from flop_tf import surgery
from flop_tf.backend import keras

SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_layers": 3,
    "num_attention_heads": 4,
    "inner_dim": 40,
    "max_sequence_length": 19,
    "type_vocab_size": 3,
}


def erf_gelu(inputs):
    return keras.activations.gelu(inputs, approximate=False)


def make_batch(batch_size, length, vocab_size, types=2, seed=0):
    """Random ids; the rows have all lengths from 1 up, and two segments where they are longer."""
    rng = np.random.default_rng(seed)
    lengths = np.linspace(1, length, batch_size).astype(int)[:, None]
    positions = np.arange(length)[None]
    mask = positions < lengths
    return {
        "input_word_ids": np.int32(rng.integers(1, vocab_size, mask.shape) * mask),
        "input_mask": np.int32(mask),
        "input_type_ids": np.int32((positions * types // lengths).clip(0, types - 1) * mask),
    }


def imported(source):
    model = BertModel(source.config)
    surgery.assign_weights(model, source.weights, new=model.head.weights)
    return model.encoder


def assert_equal_outputs(outputs, expected, mask):
    """Compares every position, padding too."""
    for name in ("sequence_output", "pooled_output"):
        np.testing.assert_allclose(outputs[name], expected[name], rtol=0, atol=1e-5, err_msg=name)
    assert np.std(outputs["sequence_output"][mask.astype(bool)]) > 0.1


def randomize(encoder):
    """Gives biases and LayerNorms values too, which start at 0 and 1."""
    rng = np.random.default_rng(0)
    weights = [w + rng.normal(scale=0.3, size=w.shape) for w in encoder.get_weights()]
    encoder.set_weights(weights)


@pytest.mark.parametrize("activation", [None, erf_gelu, "relu"])
@pytest.mark.parametrize("cls", [networks.BertEncoder, networks.BertEncoderV2])
def test_tf_models_encoder(cls, activation):
    options = {} if activation is None else {"inner_activation": activation}
    if cls is networks.BertEncoder:
        options["dict_outputs"] = True
    encoder = cls(**SIZES, **options)
    if not encoder.built:
        encoder(encoder.inputs)
    randomize(encoder)
    ours = imported(read_live_encoder(encoder))
    for length in (19, 7, 1):
        batch = make_batch(5, length, 50, types=4)  # Of which the last has no embedding.
        expected = encoder({name: tf.constant(ids) for name, ids in batch.items()})
        outputs = ours(batch)
        assert_equal_outputs(outputs, expected, batch["input_mask"])
        for block, other in zip(
            outputs["encoder_outputs"], expected["encoder_outputs"], strict=True
        ):
            np.testing.assert_allclose(block, other, rtol=0, atol=1e-5)


def test_the_activation_matters_beyond_the_tolerance():
    encoder = networks.BertEncoderV2(**SIZES)
    encoder(encoder.inputs)
    randomize(encoder)
    ours = imported(read_live_encoder(encoder))
    batch = make_batch(5, 7, 50)
    right = ours(batch)["sequence_output"]
    for block in ours.blocks:
        block.activation = erf_gelu
    assert np.abs(ours(batch)["sequence_output"] - right).max() > 1e-5


def reference(weights, config, batch):
    """BERT in NumPy, float64, from TF1 or Hugging Face weights in our orientation."""

    def norm(inputs, path):
        centred = inputs - inputs.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + config.layer_norm_eps)
        return centred / deviation * weights[f"{path}.gamma"] + weights[f"{path}.beta"]

    def dense(inputs, path):
        return inputs @ weights[f"{path}.kernel"].astype(np.float64) + weights[f"{path}.bias"]

    def heads(inputs):
        return inputs.reshape(*inputs.shape[:2], config.num_attention_heads, -1)

    embeddings = "encoder.embeddings"
    hidden = weights[f"{embeddings}.word_embeddings"][batch["input_word_ids"]].astype(np.float64)
    hidden += weights[f"{embeddings}.position_embeddings"][: hidden.shape[1]]
    hidden += weights[f"{embeddings}.token_type_embeddings"][batch["input_type_ids"]]
    hidden = norm(hidden, f"{embeddings}.layer_norm")
    for i in range(config.num_hidden_layers):
        block = f"encoder.blocks.{i}"
        query, key, value = (
            heads(dense(hidden, f"{block}.{n}")) for n in ("query", "key", "value")
        )
        scores = np.einsum("btnd,bsnd->bnts", query, key) / np.sqrt(config.head_size)
        scores = np.where(batch["input_mask"][:, None, None].astype(bool), scores, -np.inf)
        context = np.einsum("bnts,bsnd->btnd", special.softmax(scores, -1), value)
        attended = dense(context.reshape(hidden.shape), f"{block}.attention_output")
        hidden = norm(hidden + attended, f"{block}.attention_norm")
        inner = dense(hidden, f"{block}.ffn_in")
        outputs = dense(inner * special.ndtr(inner), f"{block}.ffn_out")
        hidden = norm(hidden + outputs, f"{block}.ffn_norm")
    pooled = np.tanh(dense(hidden[:, 0], "encoder.pooler"))
    return {"sequence_output": hidden, "pooled_output": pooled}


def test_toy_tf1_checkpoint(shared):
    source = read_source(shared / "data" / "bert_toy_tf1")
    for length in (16, 5):
        batch = make_batch(4, length, source.config.vocab_size)
        expected = reference(source.weights, source.config, batch)
        assert_equal_outputs(imported(source)(batch), expected, batch["input_mask"])


def test_minilm(minilm_dir):
    source = read_source(minilm_dir)
    batch = make_batch(4, 33, source.config.vocab_size)
    expected = reference(source.weights, source.config, batch)
    assert_equal_outputs(imported(source)(batch), expected, batch["input_mask"])
    encoder = networks.BertEncoderV2(
        vocab_size=30522,
        hidden_size=384,
        num_layers=6,
        num_attention_heads=12,
        inner_dim=1536,
        type_vocab_size=2,
        inner_activation=erf_gelu,
    )
    encoder(encoder.inputs)
    copy_to_tf_models(source.weights, encoder)
    expected = encoder({name: tf.constant(ids) for name, ids in batch.items()})
    assert_equal_outputs(imported(source)(batch), expected, batch["input_mask"])


def copy_to_tf_models(weights, encoder):
    """Assigns by the order in which tf-models creates weights, independent of our name table."""
    embeddings = "encoder.embeddings"
    paths = [
        f"{embeddings}.word_embeddings",
        f"{embeddings}.position_embeddings",
        f"{embeddings}.token_type_embeddings",
        f"{embeddings}.layer_norm.gamma",
        f"{embeddings}.layer_norm.beta",
    ]
    for i in range(len(encoder.transformer_layers)):
        for part in ("query", "key", "value", "attention_output"):
            paths += [f"encoder.blocks.{i}.{part}.kernel", f"encoder.blocks.{i}.{part}.bias"]
        paths += [f"encoder.blocks.{i}.attention_norm.{part}" for part in ("gamma", "beta")]
        for part in ("ffn_in", "ffn_out"):
            paths += [f"encoder.blocks.{i}.{part}.kernel", f"encoder.blocks.{i}.{part}.bias"]
        paths += [f"encoder.blocks.{i}.ffn_norm.{part}" for part in ("gamma", "beta")]
    paths += ["encoder.pooler.kernel", "encoder.pooler.bias"]
    for variable, path in zip(encoder.weights, paths, strict=True):
        variable.assign(weights[path].reshape(variable.shape))
