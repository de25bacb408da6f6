import numpy as np
import pytest
import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.layers.fused_dense import FusedProjections

X = np.array([[[1.0, 2.0], [0.0, -1.0]]], np.float32)


def layer_of(units, ranks, **values):
    layer = FusedProjections(units, ranks)
    layer.build(X.shape)
    for name, value in values.items():
        getattr(layer, name).assign(value)
    return layer


def test_dense_projections_by_hand():
    layer = layer_of([1, 2], [None, None], kernel=[[1, 2, 3], [0, 1, -1]], bias=[10, 0, 0])
    first, second = layer(X)
    np.testing.assert_allclose(first, [[[11], [10]]])
    np.testing.assert_allclose(second, [[[4, 1], [-1, 1]]])


def test_factors_beside_a_dense_one_by_hand():
    layer = layer_of(
        [2, 1], [1, None], kernel=[[1, 5], [1, 0]], bias=[0, 1, 2], factor_out_0=[[2, -1]]
    )
    first, second = layer(X)
    np.testing.assert_allclose(first, [[[6, -2], [-2, 2]]])
    np.testing.assert_allclose(second, [[[7], [2]]])


def test_saved_and_loaded(tmp_path):
    inputs = keras.Input([None, 2])
    model = keras.Model(inputs, FusedProjections([3, 4], [1, None])(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(model(X), loaded(X), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [tuple(output.shape) for output in model(X)] == [(1, 2, 3), (1, 2, 4)]
    assert isinstance(model(X)[0], tf.Tensor)


@pytest.mark.parametrize(
    ("units", "ranks", "sentence"),
    [
        ([1, 2], [None], r"`ranks` must have 2 entries, as `units`, received \[None\]"),
        ([1, 2], [0, 1], r"must be at least 1, received \[1, 2\] and \[0, 1\]"),
        ([0, 2], [1, 1], r"must be at least 1, received \[0, 2\] and \[1, 1\]"),
    ],
)
def test_sizes_that_do_not_fit(units, ranks, sentence):
    with pytest.raises(ValueError, match=sentence):
        FusedProjections(units, ranks)
