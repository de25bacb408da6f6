import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from bert_tf.checkpoints import Source, read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.families.bert import Bert
from bert_tf.families.names import per_block
from bert_tf.heads.losses import MaskedTokenLoss
from bert_tf.heads.mlm import MASKED_IDS, MASKED_POSITIONS
from bert_tf.models import weight_paths
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import expected_shapes
from bert_tf.surgery import compression, masks, vocabulary, word_embedding
from flop_tf import BertAdam, gates, surgery

CONFIG = EncoderConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
    num_labels=1,
    head="mlm",
)
PRUNED = {"embeddings.word_embeddings", "pooler.kernel"}


@pytest.fixture(scope="module")
def source():
    model = BertModel(CONFIG)
    model.mlm.output_bias.assign(np.linspace(-1, 1, 13))
    return Source(CONFIG, surgery.named_weights(model), None, None, "live")


@pytest.fixture(scope="module")
def mask(source):
    """Every second weight of all that can be masked."""
    return {
        path: np.arange(array.size).reshape(array.shape) % 2 == 0
        for path, array in masks.prunable(source).items()
    }


def batch(masked=True):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 11, [4, 7]).astype(np.int32)
    arrays = (ids, np.ones_like(ids), np.zeros_like(ids))
    features = dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True))
    if masked:
        features[MASKED_POSITIONS] = tf.constant([[1, 5], [0, 2], [6, 3], [2, 1]])
    return features


def test_formula(source):
    model = source.model()
    weights = source.weights
    hidden = model.encoder(batch())["sequence_output"].numpy()[:, [1]]
    inner = hidden @ weights["mlm.dense.kernel"] + weights["mlm.dense.bias"]
    inner = tf.nn.gelu(inner, approximate=False).numpy()
    inner -= inner.mean(-1, keepdims=True)
    inner /= np.sqrt((inner**2).mean(-1, keepdims=True) + 1e-12)
    table = weights["encoder.embeddings.word_embeddings"]
    expected = inner @ table.T + weights["mlm.output_bias"]
    np.testing.assert_allclose(model(batch(masked=False))[:, 1:2], expected, atol=1e-4)
    np.testing.assert_allclose(model(batch())[:1, :1], expected[:1], atol=1e-4)
    assert expected_shapes(CONFIG) == {p: w.shape for p, w in weights.items()}


def test_a_word_embedding_of_two_factors(source):
    """Logits, gradients of both factors, and the multiplications."""
    config, weights = word_embedding.factorize(CONFIG, source.weights, np.arange(13), 3)
    small = dataclasses.replace(source, config=config, weights=weights).model()
    table = weights[weight_paths.WORD_EMBEDDINGS] @ weights[weight_paths.WORD_PROJECTION]
    product = {**source.weights, weight_paths.WORD_EMBEDDINGS: table}
    whole = dataclasses.replace(source, weights=product).model()
    np.testing.assert_allclose(small(batch()), whole(batch()), atol=1e-4)
    assert expected_shapes(config) == {p: w.shape for p, w in surgery.named_weights(small).items()}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(small(batch()) ** 2)
    factors = [small.encoder.embeddings.word_embeddings, small.encoder.embeddings.word_projection]
    assert all(g is not None for g in tape.gradient(loss, factors))
    # H E, E R and R V.
    assert small.head.multiplications(2) == 2 * (8 * 8 + 8 * 3 + 3 * 13)
    assert whole.head.multiplications(2) == 2 * (8 * 8 + 8 * 13)


def test_a_smaller_vocabulary_has_the_same_logits(source):
    kept = np.arange(13) < 12
    kept[[0, 4]] = False
    config, weights = vocabulary.cut(CONFIG, source.weights, kept)
    small = dataclasses.replace(source, config=config, weights=weights).model()
    features = batch()
    ids = np.cumsum(kept).astype(np.int32)[features["input_word_ids"]] - 1
    logits = small({**features, "input_word_ids": tf.constant(ids)})
    expected = source.model()(features).numpy()[..., kept]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_loss_leaves_out_places_that_are_none():
    logits = tf.math.log([[[0.5, 0.5], [0.25, 0.75]], [[0.1, 0.9], [0.5, 0.5]]])
    found = MaskedTokenLoss(reduction="none")(tf.constant([[0, 1], [1, -1]]), logits)
    expected = [-(np.log(0.5) + np.log(0.75)) / 2, -np.log(0.9)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_predict_gives_the_likelihood_of_the_masked_words(source):
    model = source.model()
    ids = np.array([[5, 6], [7, 8], [9, -1], [5, 5]], np.int32)
    features = {**batch(), MASKED_IDS: ids}
    found = model.predict(features, verbose=0)
    logits = model(batch()).numpy()
    expected = tf.nn.log_softmax(logits).numpy()
    assert found.shape == (4, 2, 2)
    assert found[0, 1, 0] == pytest.approx(expected[0, 1, 6], abs=1e-5)
    assert found[1, 0, 1] == float(logits[1, 0].argmax() == 7)


def test_a_mask_over_the_embedding_leaves_the_decoder_alone(source, mask):
    assert set(mask) > PRUNED
    model = masks.apply(source, mask, tied=True).model()
    table = source.weights["encoder.embeddings.word_embeddings"]
    np.testing.assert_array_equal(model.encoder.embeddings.word_embeddings, table)
    masked = dict(source.weights)
    for path, kept in mask.items():
        masked[f"encoder.{path}"] = masked[f"encoder.{path}"] * kept
    reference = dataclasses.replace(source, weights=masked).model()
    states, expected = (m.encoder(batch())["sequence_output"] for m in (model, reference))
    np.testing.assert_allclose(states, expected, atol=1e-5)
    logits = reference.mlm(expected[:, 1:2], (tf.constant(table),))
    np.testing.assert_allclose(model(batch(masked=False))[:, 1:2], logits, atol=1e-4)
    with pytest.raises(ValueError, match="cannot be removed from a model with the head 'mlm'"):
        compression.remove_masks(model)


def test_a_masked_classifier_keeps_its_zeros_and_is_compacted(source, mask):
    changes = {"head": "classifier", "num_labels": 2}
    model = masks.apply(source, mask).model(**changes)
    assert set(compression.kernel_masks(model)) == set(mask)
    model.compile(BertAdam(1e-2, weight_decay=0.1), "sparse_categorical_crossentropy")
    model.fit(batch(masked=False), np.array([0, 1, 1, 0]), epochs=2, batch_size=4, verbose=0)
    weights = surgery.named_weights(model)
    for path, kept in mask.items():
        assert not weights[f"encoder.{path}"][~kept].any()
    compact = compression.remove_masks(model)
    assert not compact.config.has_gates
    np.testing.assert_allclose(compact(batch(masked=False)), model(batch(masked=False)), atol=1e-5)


def test_multiplied_weights_are_those_under_the_mask(source, mask):
    found = masks.multiply(source, mask)
    assert found.config == source.config
    for path, kept in mask.items():
        expected = source.weights[f"encoder.{path}"] * kept
        np.testing.assert_array_equal(found.weights[f"encoder.{path}"], expected)


@pytest.mark.parametrize("name", gates.STRAIGHT_THROUGH)
def test_configs_with_gates_over_everything(source, name):
    config = masks.with_gates(source, name).config
    assert EncoderConfig.from_dict(config.to_dict()) == config and config.has_gates
    assert config.dense == CONFIG and set(CONFIG.to_dict()).isdisjoint({"gates", "layers"})
    shapes = expected_shapes(config)
    assert shapes["encoder.embeddings.gate.scores"] == (13, 8)
    assert shapes["encoder.pooler.gate.threshold"] == ()
    if name == "straight_through":
        model = BertModel(config)
        assert {p: v.shape for p, v in surgery.named_variables(model).items()} == shapes


def save_as_hugging_face(source, folder, without=()):
    table = per_block(Bert.names["hugging_face"].table, 1)
    arrays = {
        table[path].name: np.ascontiguousarray(table[path].transform(weight))
        for path, weight in source.weights.items()
        if path not in without
    }
    arrays["cls.predictions.decoder.weight"] = arrays["embeddings.word_embeddings.weight"]
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    config = {**dataclasses.replace(CONFIG, head="classifier").to_dict(), "model_type": "bert"}
    (folder / "config.json").write_text(json.dumps(config))


def test_the_head_of_a_pretrained_checkpoint_is_read_where_it_is_wanted(source, tmp_path):
    save_as_hugging_face(source, tmp_path)
    found = read_source(tmp_path, pretraining_head=True)
    assert found.config == CONFIG and set(found.weights) == set(source.weights)
    for path, weight in source.weights.items():
        np.testing.assert_array_equal(found.weights[path], weight)
    assert not any(path.startswith("mlm.") for path in read_source(tmp_path).weights)


def test_a_model_of_transformers_for_masked_words_has_no_pooler(source, tmp_path):
    save_as_hugging_face(source, tmp_path, without=weight_paths.POOLER)
    found = read_source(tmp_path, pretraining_head=True)
    assert set(source.weights) - set(found.weights) == set(weight_paths.POOLER)
    # What is not there is not masked.
    assert set(masks.prunable(source)) - set(masks.prunable(found)) == {"pooler.kernel"}
    gated = masks.with_gates(found, "straight_through")
    assert set(gated.config.gates) == {"word_embeddings"}
    assert "pooler" not in gated.model().config.gates


def test_unknown_gates_are_refused():
    with pytest.raises(ValueError, match="Argument `gates` expects names of .*, received"):
        dataclasses.replace(CONFIG, gates={"embedding": {}})
