import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.layer_norm import LayerNorm, in_plain_operations


def _norm(fused, width):
    norm = LayerNorm(fused, epsilon=1e-12)
    norm.build([None, width])
    norm.gamma.assign(np.linspace(0.5, 2, width))
    norm.beta.assign(np.linspace(-1, 1, width))
    return norm


def _traced(norm, width):
    @tf.function(input_signature=[tf.TensorSpec([None, width])])
    def call(inputs):
        # Something before and behind, as in an encoder: the layer is one piece of a graph.
        return tf.nn.relu(norm(tf.nn.relu(inputs), training=False))

    return call


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("rows", [1, 7])
def test_one_operation_computes_what_keras_does(rows, scale):
    inputs = scale * np.random.default_rng(0).normal(size=[rows, 32]).astype(np.float32)
    outputs = [_traced(_norm(fused, 32), 32)(inputs) for fused in (True, False)]
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-5)


def test_inference_is_one_operation(optimized_operations):
    inputs = np.ones([7, 32], np.float32)
    operations = optimized_operations(lambda: _traced(_norm(True, 32), 32)(inputs))
    if "_MklLayerNorm" in operations:
        assert not {"FusedBatchNormV3", "Rsqrt", "Mul", "AddV2"} & set(operations)
    else:  # Without oneDNN.
        assert "FusedBatchNormV3" in operations


def test_not_where_it_is_plain(optimized_operations):
    inputs = np.ones([7, 32], np.float32)
    assert "Rsqrt" in optimized_operations(lambda: _traced(_norm(False, 32), 32)(inputs))
    with in_plain_operations():
        assert "Rsqrt" in optimized_operations(lambda: _traced(_norm(True, 32), 32)(inputs))
