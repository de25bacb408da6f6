import numpy as np
import tensorflow as tf

from flop_tf import randomness


def test_there_is_no_seed_outside_a_scope():
    assert randomness.step_seed(3) is None


def test_a_seed_is_made_of_run_layer_and_step():
    seeds = set()
    for run in (0, 1):
        for step in (0, 1):
            with randomness.step_scope(run, step):
                seeds |= {tuple(randomness.step_seed(layer).numpy()) for layer in (0, 1)}
    assert len(seeds) == 8


def test_the_step_may_be_a_variable_of_a_graph():
    step = tf.Variable(0, dtype=tf.int64)

    @tf.function
    def draw():
        with randomness.step_scope(5, step):
            return tf.random.stateless_uniform([3], randomness.step_seed(7))

    first = draw().numpy()
    np.testing.assert_array_equal(draw(), first)
    step.assign_add(1)
    assert (draw().numpy() != first).all()


def test_scopes_nest_and_end_after_an_error():
    with randomness.step_scope(1, 2):
        outer = randomness.step_seed(0).numpy()
        try:
            with randomness.step_scope(3, 4):
                raise KeyError
        except KeyError:
            pass
        np.testing.assert_array_equal(randomness.step_seed(0), outer)
    assert randomness.step_seed(0) is None


def test_the_seed_of_a_layer_is_given_or_made_of_its_name():
    assert randomness.layer_seed(0, "a") == 0
    assert randomness.layer_seed(None, "a") == randomness.layer_seed(None, "a")
    assert randomness.layer_seed(None, "a") != randomness.layer_seed(None, "b")
    assert 0 <= randomness.layer_seed(None, "a") < 2**31
