import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.dropout import StepDropout
from flop_tf import randomness
from flop_tf.backend import keras

ONES = tf.ones([50, 40])


def draw(layer, seed, step):
    with randomness.step_scope(seed, step):
        return layer(ONES, training=True).numpy()


def test_share_and_scale():
    outputs = draw(StepDropout(0.25, seed=1), 0, 0)
    assert set(np.unique(outputs)) == {np.float32(0), np.float32(1 / 0.75)}
    assert np.mean(outputs == 0) == pytest.approx(0.25, abs=0.04)


def test_masks_belong_to_seed_layer_and_step():
    layer = StepDropout(0.5, seed=1)
    first = draw(layer, 0, 3)
    np.testing.assert_array_equal(first, draw(StepDropout(0.5, seed=1), 0, 3))
    others = [draw(layer, 0, 4), draw(layer, 1, 3), draw(StepDropout(0.5, seed=2), 0, 3)]
    for other in others:
        assert 0.4 < np.mean(first != other) < 0.6


def test_without_seed_the_name_decides():
    one, two = StepDropout(0.5, name="one"), StepDropout(0.5, name="two")
    np.testing.assert_array_equal(draw(one, 0, 3), draw(StepDropout(0.5, name="one"), 0, 3))
    assert np.mean(draw(one, 0, 3) != draw(two, 0, 3)) > 0.4


def test_inference_and_rate_0_change_nothing():
    np.testing.assert_array_equal(StepDropout(0.5)(ONES, training=False), ONES)
    np.testing.assert_array_equal(StepDropout(0.5)(ONES), ONES)
    np.testing.assert_array_equal(draw(StepDropout(0.0), 0, 0), ONES)


def test_outside_of_a_step_every_call_draws():
    layer = StepDropout(0.5)
    assert np.mean(layer(ONES, training=True) != layer(ONES, training=True)) > 0.4


def test_round_trip():
    layer = StepDropout(0.5, seed=7, name="dropout_7")
    data = keras.saving.serialize_keras_object(layer)
    assert keras.saving.deserialize_keras_object(data).get_config() == layer.get_config()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_error(rate):
    with pytest.raises(ValueError, match=rf"`rate` must be in \[0, 1\), received {rate}"):
        StepDropout(rate)
