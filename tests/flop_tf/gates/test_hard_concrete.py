import numpy as np
import pytest
import tensorflow as tf

from flop_tf.gates import hard_concrete
from flop_tf.gates.hard_concrete import HardConcrete

# log_alpha, u, z, inference gate, P(z > 0)
VECTORS = [
    (0, 0.5, 0.5, 0.5, 0.916667),
    (0, 0.05, 0, 0.5, 0.916667),
    (0, 0.95, 1, 0.5, 0.916667),
    (2, 0.3, 0.812005, 0.956956, 0.987846),
    (-1, 0.9, 0.821637, 0.22273, 0.80185),
    (-3, 0.5, 0, 0, 0.353862),
    (0.7, 0.42, 0.611845, 0.701825, 0.956806),
    (5, 0.001, 0.055215, 1, 0.999388),
]


@pytest.mark.parametrize("log_alpha, u, z, gate, probability", VECTORS)
def test_vectors_of_the_specification(log_alpha, u, z, gate, probability):
    log_alpha = tf.constant(float(log_alpha))
    assert float(hard_concrete.sample(log_alpha, tf.constant(u))) == pytest.approx(z, abs=1e-6)
    assert float(hard_concrete.inference_gate(log_alpha)) == pytest.approx(gate, abs=1e-6)
    assert float(hard_concrete.probability_active(log_alpha)) == pytest.approx(
        probability, abs=1e-6
    )


def test_a_temperature_of_two_thirds_by_hand():
    log_alpha, u, beta = 0.7, 0.42, 2 / 3
    logit = np.log(u) - np.log(1 - u) + log_alpha
    z = np.clip(1.2 / (1 + np.exp(-logit / beta)) - 0.1, 0, 1)
    assert float(hard_concrete.sample(log_alpha, u, beta)) == pytest.approx(z, abs=1e-6)
    probability = 1 / (1 + np.exp(-(log_alpha - beta * np.log(0.1 / 1.1))))
    assert float(hard_concrete.probability_active(log_alpha, beta)) == pytest.approx(
        probability, abs=1e-6
    )


def test_the_gate_closes_where_it_is_open_half_of_the_time():
    edge = -2.397895
    assert hard_concrete.inference_gate(tf.constant(edge - 1e-5)) == 0
    assert hard_concrete.inference_gate(tf.constant(edge + 1e-5)) > 0
    assert float(hard_concrete.probability_active(tf.constant(edge))) == pytest.approx(
        0.5, abs=1e-6
    )


def built(log_alpha, **kwargs):
    gate = HardConcrete(**kwargs)
    gate.build([None, len(log_alpha)])
    gate.log_alpha.assign(log_alpha)
    return gate


def test_the_layer_uses_these_formulas():
    log_alpha = [row[0] for row in VECTORS]
    gate = built(log_alpha)
    np.testing.assert_allclose(gate.mask(training=False), [r[3] for r in VECTORS], atol=1e-6)
    assert float(gate.expected_active()) == pytest.approx(sum(r[4] for r in VECTORS), abs=1e-5)
    np.testing.assert_array_equal(gate.keep(), [r[3] > 0 for r in VECTORS])


def test_log_alpha_starts_at_five_unless_told():
    assert built([0.0] * 2).initial_log_alpha == 5
    for start in (5.0, 1.5):
        gate = HardConcrete(initial_log_alpha=start)
        gate.build([3])
        np.testing.assert_array_equal(gate.log_alpha, [start] * 3)


def test_the_threshold_raises_what_the_keep_rule_asks():
    gate = built([-3.0, -1.0, 0.0, 2.0], threshold=0.5)
    np.testing.assert_allclose(gate.mask(training=False), [0, 0, 0, 0.956956], atol=1e-6)
    np.testing.assert_array_equal(gate.keep(), [False, False, False, True])


def test_draws_reach_both_ends():
    gate = built([0.0] * 2000)
    mask = gate.mask(training=True).numpy()
    assert (mask == 0).any() and (mask == 1).any() and ((mask > 0) & (mask < 1)).any()


@pytest.mark.parametrize("value", [-80.0, 80.0])
def test_extreme_log_alpha_stays_finite(value):
    gate = built([value])
    with tf.GradientTape() as tape:
        total = gate.mask(training=True)[0] + gate.expected_active()
    assert np.isfinite(total)
    assert np.isfinite(tape.gradient(total, gate.log_alpha)).all()


@pytest.mark.parametrize(
    "argument, message",
    [
        ({"temperature": 0}, "`temperature` must be above 0, received 0"),
        ({"low": 0.0}, "`low` and `high` must lie below 0 and above 1, received 0.0 and 1.1"),
        ({"high": 1.0}, "`low` and `high` must lie below 0 and above 1, received -0.1 and 1.0"),
        ({"threshold": 1}, r"`threshold` must be in \[0, 1\), received 1"),
        ({"threshold": -0.1}, r"`threshold` must be in \[0, 1\), received -0.1"),
    ],
)
def test_arguments_out_of_range(argument, message):
    with pytest.raises(ValueError, match=message):
        HardConcrete(**argument)


def test_every_argument_is_kept():
    arguments = {
        "axis": 0,
        "initial_log_alpha": 3.0,
        "temperature": 0.5,
        "low": -0.2,
        "high": 1.3,
        "threshold": 0.1,
        "seed": 4,
    }
    copy = HardConcrete.from_config(HardConcrete(**arguments).get_config())
    assert {key: getattr(copy, key) for key in arguments} == arguments


@pytest.mark.parametrize("threshold, expected", [(0.0, -2.397895), (0.5, 0.0)])
def test_where_a_gate_closes(threshold, expected):
    gate = HardConcrete(threshold=threshold)
    assert gate.closes_at == pytest.approx(expected, abs=1e-6)
    assert float(hard_concrete.inference_gate(gate.closes_at)) == pytest.approx(threshold, abs=1e-6)
