import numpy as np
import pytest
import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.budget.lagrangian import Lagrangian
from flop_tf.training.optimizers import BertAdam


def ascend(lagrangian, optimizer, sparsity, target):
    gradients = lagrangian.gradients(tf.constant(sparsity), tf.constant(target))
    optimizer.apply_gradients(zip(gradients, lagrangian.multipliers, strict=True))
    return [float(multiplier) for multiplier in lagrangian.multipliers]


def test_penalty_of_the_specification():
    lagrangian = Lagrangian(0.5, 0.0, 10)
    lagrangian.lambda_1.assign(0.3)
    lagrangian.lambda_2.assign(0.2)
    assert float(lagrangian.penalty(0.35, 0.5)) == pytest.approx(0.0495, abs=1e-7)
    assert float(lagrangian.penalty(0.65, 0.5)) == pytest.approx(-0.0405, abs=1e-7)


def test_multipliers_start_at_zero():
    lagrangian = Lagrangian(0.5, 0.0, 10)
    assert [float(m) for m in lagrangian.multipliers] == [0, 0]
    assert float(lagrangian.penalty(0.1, 0.5)) == 0


def test_the_target_is_the_ramp():
    lagrangian = Lagrangian(0.6, -0.4, 10)
    targets = [float(lagrangian.target(step)) for step in (0, 5, 10, 20)]
    assert targets == pytest.approx([-0.4, 0.1, 0.6, 0.6], abs=1e-6)


def test_gradients_by_hand():
    lagrangian = Lagrangian(0.5, 0.0, 10)
    behind = lagrangian.gradients(tf.constant(0.3), tf.constant(0.5))
    assert [float(g) for g in behind] == pytest.approx([-0.2, -0.04], abs=1e-6)
    ahead = lagrangian.gradients(tf.constant(0.8), tf.constant(0.5))
    assert [float(g) for g in ahead] == pytest.approx([0.3, 0], abs=1e-6)


def test_gradients_are_those_of_the_penalty_while_behind():
    lagrangian = Lagrangian(0.5, 0.0, 10)
    with tf.GradientTape() as tape:
        penalty = lagrangian.penalty(0.3, 0.5)
    ours = lagrangian.gradients(tf.constant(0.3), tf.constant(0.5))
    theirs = tape.gradient(penalty, lagrangian.multipliers)
    np.testing.assert_allclose(ours, [-g for g in theirs], atol=1e-7)


def test_multipliers_rise_while_behind_and_never_go_below_zero():
    lagrangian = Lagrangian(0.5, 0.0, 10)
    optimizer = keras.optimizers.SGD(1.0)
    first = ascend(lagrangian, optimizer, 0.3, 0.5)
    assert first == pytest.approx([0.2, 0.04], abs=1e-6)
    second = ascend(lagrangian, optimizer, 0.4, 0.5)
    assert second == pytest.approx([0.3, 0.05], abs=1e-6)
    # Ahead: lambda_1 falls, lambda_2 stays; then lambda_1 stops at 0.
    assert ascend(lagrangian, optimizer, 0.7, 0.5) == pytest.approx([0.1, 0.05], abs=1e-6)
    assert ascend(lagrangian, optimizer, 0.9, 0.5) == pytest.approx([0, 0.05], abs=1e-6)


def test_with_adam_they_stay_above_zero_too():
    lagrangian = Lagrangian(0.5, 0.0, 10)
    optimizer = BertAdam(0.05, epsilon=1e-8)
    rising = [ascend(lagrangian, optimizer, 0.2, 0.5) for _ in range(10)]
    assert (np.diff(rising, axis=0) > 0).all()
    falling = [ascend(lagrangian, optimizer, 0.9, 0.5) for _ in range(60)]
    assert np.min(falling) == 0 and falling[-1][0] == 0


@pytest.mark.parametrize("target", [-0.1, 1, 1.5])
def test_targets_that_are_refused(target):
    with pytest.raises(
        ValueError, match=rf"`target_sparsity` must be in \[0, 1\), received {target}"
    ):
        Lagrangian(target, 0.0, 10)


def test_config_and_checkpoint_hold_everything(tmp_path):
    lagrangian = Lagrangian(0.6, -0.4, 10, name="mine")
    copy = Lagrangian.from_config(lagrangian.get_config())
    assert copy.get_config() == lagrangian.get_config()
    assert (copy.target_sparsity, copy.warmup_steps) == (0.6, 10)
    assert float(copy.start_sparsity) == pytest.approx(-0.4)
    lagrangian.lambda_1.assign(0.3)
    lagrangian.lambda_2.assign(0.2)
    path = tf.train.Checkpoint(lagrangian=lagrangian).save(tmp_path / "checkpoint")
    tf.train.Checkpoint(lagrangian=copy).restore(path).assert_consumed()
    assert [float(m) for m in copy.multipliers] == pytest.approx([0.3, 0.2])


def test_multipliers_are_float32_under_any_policy():
    previous = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        lagrangian = Lagrangian(0.5, 0.0, 10)
    finally:
        keras.mixed_precision.set_global_policy(previous)
    assert {m.dtype for m in lagrangian.multipliers} == {tf.float32}
    assert lagrangian.penalty(tf.constant(0.1), tf.constant(0.5)).dtype == tf.float32
