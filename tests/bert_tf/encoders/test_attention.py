import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.attention import Attention, EinsumAttention
from flop_tf.backend import keras


def _inputs(batch_size, length, width):
    rng = np.random.default_rng(0)
    projected = rng.normal(size=[3, batch_size * length, width]).astype(np.float32)
    bias = np.where(rng.random([batch_size, 1, 1, length]) < 0.3, -1e4, 0.0).astype(np.float32)
    return (*projected, bias)


@pytest.mark.parametrize("form", [EinsumAttention, Attention])
def test_by_hand(form):
    """Of two tokens the second one is padding: both attend to the first alone."""
    query, key, value = (tf.constant([[1.0, 2.0], [3.0, 4.0]]),) * 3
    bias = tf.constant([[[[0.0, -1e9]]]])
    context = form(2)(query, key, value, bias)
    np.testing.assert_allclose(context, [[1.0, 2.0], [1.0, 2.0]])


@pytest.mark.parametrize("form", [EinsumAttention, Attention])
def test_scaled_scores_by_hand(form):
    """One head of size 4, two tokens: scores (2 ln 3, 0) / 2 of the first, 0 of the second."""
    query, key = np.zeros([2, 2, 4], np.float32)
    query[0, 0] = key[0, 0] = np.sqrt(2 * np.log(3))
    value = np.float32([[8, 0, 4, 1], [0, 4, 4, 1]])
    context = form(1)(query, key, value, np.zeros([1, 1, 1, 2], np.float32))
    np.testing.assert_allclose(context, [[6, 1, 4, 1], [4, 2, 4, 1]], rtol=1e-5)


@pytest.mark.parametrize("num_heads", [1, 4])
def test_einsums_compute_what_transpositions_do(num_heads):
    inputs = _inputs(3, 5, 16)
    expected = Attention(num_heads)(*inputs)
    np.testing.assert_allclose(EinsumAttention(num_heads)(*inputs), expected, atol=1e-6)


def test_queries_that_are_scaled_already():
    query, *rest = _inputs(2, 5, 16)
    expected = Attention(4)(query, *rest)
    np.testing.assert_allclose(Attention(4, is_scaled=True)(query / 2, *rest), expected, atol=1e-6)


def test_training_drops_probabilities():
    query, key, value, bias = _inputs(2, 5, 16)
    layer = Attention(4, dropout=0.5, seed=3)
    context = layer(query, key, np.ones_like(value), 0 * bias, training=True)
    assert np.std(context) > 0.1
    np.testing.assert_allclose(layer(query, key, np.ones_like(value), 0 * bias), 1.0, atol=1e-6)


def test_config():
    layer = EinsumAttention(4, is_scaled=True, dropout=0.5, seed=3, name="a")
    data = keras.layers.serialize(layer)
    again = keras.layers.deserialize(data)
    assert again.get_config() == layer.get_config() and type(again) is EinsumAttention
