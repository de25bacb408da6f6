"""The embedding head by hand: pooling, loss of pairs, distance to a teacher."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import POOLINGS, EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.heads import embedding
from bert_tf.heads.embedding import Embedding, PairLoss, Pooling, RandomDirections
from bert_tf.heads.head import head_of, with_changes
from bert_tf.models.bert import BertModel
from flop_tf.backend import keras

CONFIG = EncoderConfig(
    vocab_size=11,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
    head="embedding",
    num_labels=1,
)
HIDDEN = tf.constant(
    [[[1.0, -2.0], [3.0, 4.0], [90.0, 90.0]], [[3.0, -4.0], [50.0, 9.0], [7.0] * 2]]
)
MASK = tf.constant([[1, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mean", [[2.0, 1.0], [3.0, -4.0]]),
        ("cls", [[1.0, -2.0], [3.0, -4.0]]),
        ("max", [[3.0, 4.0], [3.0, -4.0]]),
    ],
)
def test_poolings_by_hand(kind, expected):
    np.testing.assert_allclose(Pooling(kind, False)(HIDDEN, MASK), expected, atol=1e-6)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    found = Pooling(kind, True)(tf.cast(HIDDEN, tf.float16), MASK)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected / lengths, atol=1e-6)


def test_a_text_without_tokens():
    for kind in POOLINGS:
        assert np.isfinite(Pooling(kind, True)(HIDDEN, 0 * MASK)).all()


@pytest.mark.parametrize("kind", POOLINGS)
def test_a_model_with_it(kind, tmp_path):
    config = dataclasses.replace(CONFIG, pooling=kind, normalized=True)
    keras.utils.set_random_seed(0)
    model = BertModel(config)
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]], np.int32)
    arrays = (ids, np.array([[1, 1, 1, 0, 0], [1] * 5], np.int32), 0 * ids)
    features = dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True))
    found = model(features, training=False)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    # Padding is neither looked at nor trained on.
    short = {name: tensor[:1, :3] for name, tensor in features.items()}
    np.testing.assert_allclose(model(short, training=False), found[:1], atol=1e-6)
    assert not head_of(config).weights and head_of(config).num_logits == 8
    assert EncoderConfig.from_dict(config.to_dict()) == config
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(features), found, atol=1e-6)


def test_other_heads_do_not_mention_it():
    config = with_changes(
        dataclasses.replace(CONFIG, pooling="cls", normalized=True), head="span", num_labels=2
    )
    assert (config.pooling, config.normalized) == ("mean", False)
    assert not {"pooling", "normalized"} & config.to_dict().keys()
    kept = with_changes(dataclasses.replace(CONFIG, pooling="cls"), hidden_act="relu")
    assert kept.pooling == "cls"


def test_an_unknown_pooling():
    with pytest.raises(ValueError, match=r"`pooling` must be one of \['mean', 'cls', 'max'\], re"):
        dataclasses.replace(CONFIG, pooling="sum")


def test_loss_of_pairs_by_hand():
    vectors = tf.constant([[1.0, 0.0], [0.6, 0.8], [0.0, 2.0], [0.0, -3.0], [1.0, 1.0], [5.0, 1.0]])
    labels = tf.constant([[0, 1.0], [0, 1.0], [7, 0.5], [7, 0.5], [-1, 0.0], [-1, 0.0]])
    found = PairLoss(reduction="none")(labels, vectors)
    np.testing.assert_allclose(found, [0.16, 0.16, 2.25, 2.25, 0, 0], atol=1e-6)
    # 0 for a text whose other one is elsewhere; rows that repeat the first one change no other.
    for order, losses in (([3, 0, 4, 1], [0] * 4), ([0, 1, 2, 3, 0, 0], [0.16, 0.16, 2.25, 2.25])):
        found = PairLoss(reduction="none")(tf.gather(labels, order), tf.gather(vectors, order))
        np.testing.assert_allclose(found[:4], losses, atol=1e-6)


def test_distance_by_hand():
    ours, theirs = tf.constant([[2.0, 0.0], [0.0, 1.0]]), tf.constant([[1.0, 0.0], [3.0, 4.0]])
    # 1 - cos are 0 and .2; the cosine within the batch is 0 in place of .6.
    found = Embedding.distance(theirs, ours, 2.0)
    assert float(found) == pytest.approx(0.2 / 2 + 2 * 0.36 / 4, abs=1e-6)
    weights = tf.constant([2.0, 0.0])  # As where the second fills a batch up.
    assert float(Embedding.distance(theirs, ours, 2.0, weights)) == pytest.approx(0, abs=1e-6)
    assert float(Embedding.distance(ours, 7 * ours, 1.0)) == pytest.approx(0, abs=1e-6)


def test_random_directions_are_others_for_other_texts():
    vectors = [tf.random.stateless_normal([4, 3], [seed, 0]) for seed in (0, 1)]
    loss = RandomDirections(reduction="none")
    first, same, other = (loss(None, one).numpy() for one in (vectors[0], *vectors))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    with tf.GradientTape() as tape:
        tape.watch(vectors[0])
        value = RandomDirections()(tf.zeros([4, 2]), vectors[0])
    assert np.abs(tape.gradient(value, vectors[0])).min() > 0


def test_angles_and_cosines_by_hand():
    one, two = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    np.testing.assert_allclose(Embedding.angles(one, two), [0.4, 1.0])
    np.testing.assert_allclose(embedding.cosines(one, two), [0.6, 0.0])
