import pytest
import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.budget.sparsity_ramp import sparsity_ramp
from flop_tf.training import schedules


@pytest.mark.parametrize(
    "step, rate",
    [
        (1, 6.3788795e-5),
        (100, 0.0063788795),
        (200, 0.0127577591),
        (201, 0.0127259838),
        (4000, 0.0028527217),
    ],
)
def test_noam_of_the_specification(step, rate):
    noam = schedules.Noam(5.0, d_model=768, warmup_steps=200)
    assert float(noam(step - 1)) == pytest.approx(rate, rel=1e-6)
    assert float(noam(tf.constant(step - 1, tf.int64))) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("name", ["d_model", "warmup_steps"])
def test_noam_refuses_numbers_below_one(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, received 0"):
        schedules.Noam(**{"rate": 1.0, "d_model": 4, "warmup_steps": 4, name: 0})


@pytest.mark.parametrize(
    "warmup, rates", [(4, [0.5, 1.0, 1.5, 2.0, 2.0]), (1, [2.0] * 5), (0, [2.0] * 5)]
)
def test_constant_with_warmup(warmup, rates):
    schedule = schedules.ConstantWithWarmup(2.0, warmup)
    assert [float(schedule(step)) for step in range(5)] == pytest.approx(rates)


@pytest.mark.parametrize(
    "warmup, factors",
    [
        (10, {0: 0, 5: 0.5, 10: 1, 55: 0.5, 100: 0, 120: 0}),
        (0, {0: 1, 25: 0.75, 100: 0}),
        # A tenth of a run that ten does not divide.
        (2.5, {0: 0, 1: 0.4, 2: 0.8, 3: 97 / 97.5, 100: 0}),
    ],
)
def test_linear_warmup_and_decay(warmup, factors):
    schedule = schedules.LinearWarmupDecay(3.0, 100, warmup)
    rates = {step: float(schedule(tf.constant(step, tf.int64))) for step in factors}
    assert rates == pytest.approx({step: 3 * factor for step, factor in factors.items()})


@pytest.mark.parametrize("warmup", [-1, 100])
def test_a_warmup_is_shorter_than_the_run(warmup):
    message = rf"`warmup_steps` must be in \[0, 100\), received {warmup}"
    with pytest.raises(ValueError, match=message):
        schedules.LinearWarmupDecay(1.0, 100, warmup)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.Noam(5.0, 768, 200),
        schedules.ConstantWithWarmup(2.0, 3),
        schedules.LinearWarmupDecay(2.0, 30, 3),
    ],
)
def test_schedules_save_and_load(schedule):
    data = keras.optimizers.schedules.serialize(schedule)
    copy = keras.optimizers.schedules.deserialize(data)
    assert type(copy) is type(schedule) and copy.get_config() == schedule.get_config()
    assert float(copy(7)) == float(schedule(7))


@pytest.mark.parametrize(
    "step, sparsity", [(0, -0.5), (50, -0.225), (100, 0.05), (200, 0.6), (300, 0.6)]
)
def test_the_ramp_starts_at_the_sparsity_of_the_model(step, sparsity):
    ramp = sparsity_ramp(step, start=-0.5, target=0.6, warmup_steps=200)
    assert float(ramp) == pytest.approx(sparsity, abs=1e-6)


def test_the_ramp_also_takes_a_tensor_and_goes_down():
    ramp = sparsity_ramp(tf.constant(1, tf.int64), 0.8, 0.4, 4)
    assert float(ramp) == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("step", [0, 5])
def test_without_warmup_the_target_is_asked_at_once(step):
    assert float(sparsity_ramp(step, -0.5, 0.6, 0)) == pytest.approx(0.6)
