"""The layer against the one of Keras that it takes the place of."""

import numpy as np
import pytest
import tensorflow as tf

import flop_tf
from flop_tf.backend import keras
from flop_tf.layers.factorized_attention import FactorizedMultiHeadAttention, projections_of
from flop_tf.layers.factorized_einsum import FactorizedEinsumDense

layers = keras.layers
RNG = np.random.default_rng(0)
MASK = RNG.random([3, 4, 5]) < 0.6
HEADS_MASK = RNG.random([3, 2, 4, 5]) < 0.6


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def pair(inputs=(6, 6, 6), gate=None, rank="full", **kwargs):
    """An attention of Keras with random weights and ours made from it, called on three inputs."""
    old = layers.MultiHeadAttention(2, 3, name="attention", **kwargs)
    query, value, key = (keras.Input([None, size]) for size in inputs)
    model = keras.Model([query, value, key], old(query, value, key))
    for variable in model.weights:
        variable.assign(normal(*variable.shape))
    return old, flop_tf.factorize(model, rank=rank, gate=gate).get_layer("attention")


def tensors(inputs=(6, 6, 6)):
    """A query, a value and a key."""
    query, value, key = (
        tf.constant(normal(3, steps, size)) for steps, size in zip((4, 5, 5), inputs, strict=True)
    )
    return query, value, key


def assert_same(ours, theirs, atol=1e-5):
    tf.nest.assert_same_structure(ours, theirs)
    for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(
            tf.cast(one, tf.float64), tf.cast(other, tf.float64), atol=atol, rtol=atol
        )


CALLS = [
    {},
    {"attention_mask": MASK},
    {"attention_mask": MASK[:1]},
    {"attention_mask": MASK[0]},
    {"attention_mask": tf.constant(HEADS_MASK, tf.float32)},
    {"use_causal_mask": True},
    {"attention_mask": MASK.astype(np.int32), "use_causal_mask": True},
    {"return_attention_scores": True},
]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"value_dim": 5},
        {"output_shape": 7},
        {"output_shape": [2, 3]},
        {"use_bias": False},
        {"dropout": 0.5},
    ],
    ids=str,
)
def test_it_is_the_layer_of_keras(arguments):
    old, new = pair(**arguments)
    query, value, key = tensors()
    assert isinstance(new, FactorizedMultiHeadAttention)
    for call in CALLS:
        assert_same(new(query, value, **call), old(query, value, **call))
        assert_same(new(query, value, key, **call), old(query, value, key, **call))
    assert_same(tf.function(new)(query, value, key), old(query, value, key))


@pytest.mark.parametrize("sizes", [(6, 4, 4), (4, 6, 8)])
def test_cross_attention_of_other_sizes(sizes):
    old, new = pair(sizes)
    inputs = tensors(sizes)
    assert_same(new(*inputs), old(*inputs))


@pytest.mark.parametrize("which", [[0], [1], [2], [0, 1, 2]])
def test_masks_of_keras_on_the_inputs(which):
    old, new = pair()
    inputs = list(tensors())
    for index in which:
        steps = inputs[index].numpy()
        steps[:, 2] = 0.0
        inputs[index] = layers.Masking()(steps)
    for call in ({}, {"attention_mask": MASK}, {"use_causal_mask": True}):
        outputs = new(*inputs, **call)
        assert_same(outputs, old(*inputs, **call))
        without = new(*map(tf.identity, inputs), **call)
        assert np.abs(outputs - without).max() > 1e-3
        mask = inputs[0]._keras_mask if 0 in which else None
        assert getattr(outputs, "_keras_mask", None) is mask


def test_ragged_inputs():
    old, new = pair()
    query = tf.RaggedTensor.from_row_lengths(normal(4, 6), [1, 3])
    value = tf.RaggedTensor.from_row_lengths(normal(5, 6), [4, 1])
    for inputs in ([query, query], [query, value], [query, value, 2 * value]):
        ours, theirs = new(*inputs), old(*inputs)
        np.testing.assert_array_equal(ours.row_splits, theirs.row_splits)
        np.testing.assert_allclose(ours.flat_values, theirs.flat_values, atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "atol"),
    [("mixed_float16", 0.02), ("mixed_bfloat16", 0.1), ("bfloat16", 0.1), ("float64", 1e-10)],
)
def test_other_precisions(policy, atol):
    """The outputs are up to 9, where two neighbouring bfloat16 are 0.06 apart."""
    old, new = pair(dtype=keras.mixed_precision.Policy(policy))
    query, value, key = (0.3 * x for x in tensors())
    for call in ({}, {"attention_mask": MASK, "return_attention_scores": True}):
        assert_same(new(query, value, key, **call), old(query, value, key, **call), atol)
    assert {part.dtype_policy.name for part in projections_of(new).values()} == {policy}


def test_dropout_of_attention_in_training_only():
    old, new = pair(dropout=0.5)
    query, value, _ = tensors()
    drawn = []
    for layer in (old, new):
        keras.utils.set_random_seed(3)
        drawn.append(layer(query, value, training=True, return_attention_scores=True))
    assert_same(*drawn[::-1])
    assert np.abs(drawn[1][0] - new(query, value, training=False)).max() > 1e-3


def test_gates_draw_in_training_only():
    _, new = pair(gate="hard_concrete")
    for part in projections_of(new).values():
        part.gate.log_alpha.assign(tf.zeros_like(part.gate.log_alpha))
    inputs = tensors()
    assert np.abs(new(*inputs, training=True) - new(*inputs)).max() > 1e-3
    assert_same(new(*inputs), new(*inputs))


def test_its_config_makes_it_again():
    _, new = pair(gate="hard_concrete", rank=2, dropout=0.25, value_dim=5, trainable=False)
    copy = FactorizedMultiHeadAttention.from_config(new.get_config())
    assert copy.get_config() == new.get_config()
    assert (copy.name, copy.dropout, copy.trainable) == ("attention", 0.25, False)
    copy.set_weights(new.get_weights())
    inputs = tensors()
    assert_same(copy(*inputs), new(*inputs))


def test_projections_of_other_layers_are_none():
    old, new = pair()
    assert list(projections_of(old)) == ["query", "key", "value", "attention_output"]
    assert list(projections_of(new)) == list(projections_of(old))
    assert projections_of(layers.Dense(3)) == {}
    for shape, axes in (([3, 4, 5], None), ([3, 4, 5], (1,)), ([3, 4, 5], (1, 2))):
        other = layers.MultiHeadAttention(2, 3, attention_axes=axes)
        inputs = keras.Input(shape)
        other(inputs, inputs)
        assert projections_of(other) == {}


def test_a_projection_of_another_class_is_refused():
    heads = [FactorizedEinsumDense("abc,cde->abde", [None, 2, 4], rank=3) for _ in range(3)]
    with pytest.raises(ValueError, match="`output_dense` must be an EinsumDense .* 'Dense'"):
        FactorizedMultiHeadAttention(*heads, layers.Dense(3))
