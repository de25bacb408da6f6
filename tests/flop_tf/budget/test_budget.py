import numpy as np
import pytest
import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.budget.budget import Budget
from flop_tf.budget.cost_budget import CostBudget
from flop_tf.budget.groups import Switched, Units
from flop_tf.budget.part_costs import CurveCost
from flop_tf.importance.rank_importance import order_gates
from flop_tf.layers.factorized_dense import FactorizedDense

EDGE = -2.397895  # log_alpha where the gate closes and P(z > 0) = .5.


def projection(shape, rank=None, log_alpha=None):
    """Returns a built projection `[I, O]`."""
    inputs, outputs = shape
    if rank is None:
        layer = keras.layers.Dense(outputs)
    else:
        layer = FactorizedDense(outputs, rank, gate=None if log_alpha is None else "hard_concrete")
    layer.build([None, inputs])
    if log_alpha is not None and rank:
        layer.gate.log_alpha.assign(np.broadcast_to(np.float32(log_alpha), [rank]))
    return layer


def test_hand_made_numbers():
    sparsity = Budget(
        [
            projection((4, 6), 4, [9.0, EDGE - 1e-5, -3.0, 9.0]),  # 24 dense, 10 a unit
            projection((4, 6), 4),  # ungated, above break-even: 40 in factors, 24 stored
            projection((4, 6), 1),  # ungated: 10
            projection((4, 6), 0),  # nothing but a bias
            projection((4, 6)),  # dense: 24
        ]
    )
    active = 2 / (1 + np.exp(-9 + np.log(1 / 11))) + 0.5 + 0.353862
    expected = 10 * active + 40 + 10 + 24
    assert sparsity.original_parameters == 5 * 24
    assert sparsity.factorized_parameters == 40 + 40 + 10 + 24
    assert float(sparsity.expected_cost()) == pytest.approx(expected, abs=1e-3)
    assert float(sparsity.expected_sparsity()) == pytest.approx(1 - expected / 120, abs=1e-5)
    assert float(sparsity.stored_cost()) == 20 + 24 + 10 + 24
    assert float(sparsity.stored_sparsity()) == pytest.approx(1 - 78 / 120)
    assert sparsity.survivors() == [2, 4, 1, 0, None]
    assert len(sparsity.gates) == 1


def test_at_full_rank_the_sparsity_is_negative():
    sparsity = Budget([projection((6, 6), 6, 30.0)])
    assert float(sparsity.expected_sparsity()) == pytest.approx(1 - 72 / 36)
    assert float(sparsity.stored_sparsity()) == 0


@pytest.mark.parametrize("kept, stored", [(0, 0), (1, 12), (3, 36), (4, 36), (6, 36)])
def test_what_is_stored_is_capped_at_the_kernel(kept, stored):
    sparsity = Budget([projection((6, 6), 6, [5.0] * kept + [-5.0] * (6 - kept))])
    assert float(sparsity.stored_cost()) == stored


def test_the_cap_is_for_each_projection():
    open_, closed = projection((6, 6), 6, 5.0), projection((6, 6), 6, -5.0)
    assert float(Budget([open_, closed]).stored_cost()) == 36


@pytest.mark.parametrize("gate", [None, 5.0])
def test_rank_zero(gate):
    sparsity = Budget([projection((6, 6), 0, gate)])
    assert float(sparsity.expected_cost()) == float(sparsity.stored_cost()) == 0
    assert sparsity.survivors() == [0] and sparsity.gates == []


def test_without_gates_numbers_are_fixed():
    sparsity = Budget([projection((4, 6)), projection((4, 6), 1)])
    assert float(sparsity.expected_sparsity()) == pytest.approx(1 - 34 / 48)
    assert float(sparsity.stored_sparsity()) == pytest.approx(1 - 34 / 48)


def test_the_base_may_be_a_larger_model():
    sparsity = Budget([projection((4, 6), 2, 30.0)], original_parameters=100)
    assert float(sparsity.expected_sparsity()) == pytest.approx(0.8)
    assert float(sparsity.stored_sparsity()) == pytest.approx(0.8)


def test_expected_sparsity_has_gradients_to_every_gate():
    sparsity = Budget([projection((4, 6), 4, 1.0), projection((6, 4), 4, -1.0)])
    variables = [gate.log_alpha for gate in sparsity.gates]
    with tf.GradientTape() as tape:
        expected = sparsity.expected_sparsity()
    assert all((g.numpy() < 0).all() for g in tape.gradient(expected, variables))


def uneven():
    rng = np.random.default_rng(0)
    return Budget(
        [
            projection((8, 8), 8, rng.normal(3, 2, 8)),
            projection((8, 24), 8, rng.normal(0, 3, 8)),
            projection((24, 8), 8, rng.normal(-3, 1, 8)),
            projection((8, 8), 3),
        ]
    )


def log_alphas(sparsity):
    return [gate.log_alpha.numpy() for gate in sparsity.gates]


@pytest.mark.parametrize("target", [0.1, 0.3, 0.5, 0.6, 0.8, 0.9])
def test_calibration_meets_the_target_within_one_unit(target):
    sparsity = uneven()
    before = log_alphas(sparsity)
    shift = sparsity.calibrate(target)
    stored = float(sparsity.stored_sparsity())
    assert target - 1e-6 <= stored < target + 32 / sparsity.original_parameters
    for old, new in zip(before, log_alphas(sparsity), strict=True):
        np.testing.assert_allclose(new, old + shift, atol=1e-5)


def test_calibration_goes_both_ways_and_finds_its_own_result_again():
    sparsity = uneven()
    assert sparsity.calibrate(0.8) < 0
    closed = float(sparsity.stored_sparsity())
    assert sparsity.calibrate(0.4) > 0
    sparsity.calibrate(0.8)
    assert float(sparsity.stored_sparsity()) == closed
    assert sparsity.calibrate(0.8) == pytest.approx(0, abs=1e-4)


def test_calibration_by_hand():
    # Units cost 12 of 36: sparsity 1/3 needs two, so the third is closed by just so much.
    sparsity = Budget([projection((6, 6), 6, [4.0, 3.0, 2.0, 1.0, 0.0, -1.0])])
    assert sparsity.calibrate(1 / 3 - 1e-6) == pytest.approx(EDGE - 2, abs=1e-4)
    assert sparsity.survivors() == [2]
    # Above break-even three and six units are stored alike.
    assert float(sparsity.stored_sparsity()) == pytest.approx(1 / 3)


@pytest.mark.parametrize("start", [0.0, 80.0, -300.0])
def test_calibration_wherever_the_gates_are(start):
    log_alpha = np.random.default_rng(0).normal(start, 3, 200)
    sparsity = Budget([projection((300, 500), 200, log_alpha), projection((9, 9), 4, 0.0)])
    unit = 800 / sparsity.original_parameters
    for target in np.linspace(0.01, 0.99, 50):
        sparsity.calibrate(target)
        assert target - 1e-6 <= float(sparsity.stored_sparsity()) < target + 1.01 * unit
    assert sparsity.calibrate(0.0) > -np.inf and sparsity.survivors() == [200, 4]


def test_calibration_without_gates():
    sparsity = Budget([projection((4, 6), 1)])
    assert sparsity.calibrate(0.5) == 0
    with pytest.raises(ValueError, match="at most .* 0.583333, received 0.9"):
        sparsity.calibrate(0.9)


def test_calibration_follows_the_threshold():
    sparsity = uneven()
    for gate in sparsity.gates:
        gate.threshold = 0.4
    sparsity.calibrate(0.6)
    assert 0.6 <= float(sparsity.stored_sparsity()) < 0.6 + 32 / sparsity.original_parameters


def test_calibration_leaves_gates_that_nothing_shifts():
    fixed = FactorizedDense(6, 2, gate="fixed")
    fixed.build([None, 6])
    budget = Budget([projection((6, 6), 6, [4.0, 3.0, 2.0, 1.0, 0.0, -1.0]), fixed])
    assert [group.unit_cost for group in budget.groups] == [12, 12]
    assert budget.calibrate(0.5) < 0  # 36 of 72 may stay, 24 of them in the fixed ranks.
    assert budget.survivors() == [1, 2]
    with pytest.raises(ValueError, match="at most the sparsity with all gates closed, 0.666667"):
        budget.calibrate(0.8)


def test_equal_gates_close_together():
    sparsity = Budget([projection((6, 6), 6, 1.0)])
    sparsity.calibrate(0.5)
    assert float(sparsity.stored_sparsity()) == 1


def test_a_target_out_of_reach_is_refused_and_nothing_changes():
    sparsity = uneven()
    before = log_alphas(sparsity)
    # The ungated projection keeps 48 of 512 parameters.
    with pytest.raises(ValueError, match="`target_sparsity` must be at most .* 0.906250, received"):
        sparsity.calibrate(0.95)
    for old, new in zip(before, log_alphas(sparsity), strict=True):
        np.testing.assert_array_equal(new, old)


def test_calibrated_puts_everything_back():
    sparsity = uneven()
    before, stored = log_alphas(sparsity), float(sparsity.stored_sparsity())
    with sparsity.calibrated(0.8) as shift:
        assert shift < 0
        assert float(sparsity.stored_sparsity()) >= 0.8
    assert float(sparsity.stored_sparsity()) == stored
    with pytest.raises(KeyError), sparsity.calibrated(0.8):
        raise KeyError
    for old, new in zip(before, log_alphas(sparsity), strict=True):
        np.testing.assert_array_equal(new, old)


def gated_units(number, log_alpha):
    gate = gates.get("hard_concrete", axis=-1)
    gate.build([None, number])
    gate.log_alpha.assign(np.broadcast_to(np.float32(log_alpha), [number]))
    return gate


def block(rank=None, log_alpha=None, parent=None):
    """Returns three heads of 2 and five neurons on 4 wide tokens, the query in factors perhaps.

    The heads may have a parent.
    """
    heads = gated_units(3, [9.0, -9.0, EDGE - 1e-5])
    neurons = gated_units(5, [9.0, 9.0, -9.0, -9.0, 0.0])
    layers = [projection((4, 6), rank, log_alpha), projection((6, 4)), projection((4, 5))]
    layers.append(projection((5, 4)))
    found = {
        layers[0]: Switched(None, Units(heads, 2), parent),
        layers[1]: Switched(Units(heads, 2), None, parent),
        layers[2]: Switched(outputs=Units(neurons)),
        layers[3]: Switched(inputs=Units(neurons)),
    }
    return Budget(layers, units=found)


def test_heads_and_neurons_by_hand():
    budget = block()
    assert budget.original_parameters == 24 + 24 + 20 + 20
    heads, neurons = budget.groups
    assert (heads.unit_cost, neurons.unit_cost) == (16, 8)  # 4 x 2 twice; 4 twice.
    assert (heads.width, heads.rows.shape, neurons.rows.shape) == (2, (6, 4), (5, 4))
    assert float(budget.stored_cost()) == 1 * 16 + 3 * 8
    # P(z > 0) is 1 / (1 + exp(-9) / 11) where log_alpha is 9.
    opened, closed = 1 / (1 + np.exp(-9) / 11), 1 / (1 + np.exp(9) / 11)
    edge, zero = 0.5, 11 / 12
    expected = 16 * (opened + closed + edge) + 8 * (2 * opened + 2 * closed + zero)
    assert float(budget.expected_cost()) == pytest.approx(expected, rel=1e-5)
    assert budget.survivors() == [None] * 4


def test_ranks_under_heads_by_hand():
    budget = block(rank=3, log_alpha=[9.0, 9.0, -9.0])
    ranks, heads, _ = budget.groups
    assert (ranks.unit_cost, heads.unit_cost) == (10, 2 * 3 + 2 * 4)
    # One head: the query is 4 x 2, in two ranks of 6 stored as its kernel.
    assert float(budget.stored_cost()) == min(2 * (4 + 2), 8) + 8 + 3 * 8
    budget.groups[0].gate.log_alpha.assign([9.0, -9.0, -9.0])
    assert float(budget.stored_cost()) == 1 * (4 + 2) + 8 + 3 * 8
    assert budget.survivors() == [1, None, None, None]


def test_heads_under_a_parent_by_hand():
    parent = gated_units(1, 0.0)
    budget = block(parent=parent)
    *_, group = budget.groups
    assert (group.num_units, group.width, group.unit_cost) == (1, 6, 48)
    assert float(budget.stored_cost()) == 1 * 16 + 3 * 8
    opened, closed = 1 / (1 + np.exp(-9) / 11), 1 / (1 + np.exp(9) / 11)
    edge, zero = 0.5, 11 / 12
    expected = zero * 16 * (opened + closed + edge) + 8 * (2 * opened + 2 * closed + zero)
    assert float(budget.expected_cost()) == pytest.approx(expected, rel=1e-5)
    parent.log_alpha.assign([-9.0])
    assert float(budget.stored_cost()) == 3 * 8
    assert budget._stored_with([parent])({parent: 1}) == 1 * 16 + 3 * 8


def sublayers(parent=None):
    """Returns heads of 1, 2 and 4 ms, a sublayer without gates of 5 and 3 ms that always stay."""
    heads = gated_units(4, [9.0, -9.0, EDGE - 1e-5, 8.0])
    costs = [CurveCost([1, 2, 4], [1.0, 2.0, 4.0], heads, parent), CurveCost([8], [5.0])]
    budget = CostBudget(costs, dense_cost=12.0, fixed_cost=3.0)
    budget.add_group(heads, projection((8, 4)), width=2)
    if parent is not None:
        budget.add_group(parent, projection((8, 4)), width=8)
    return budget


def test_seconds_by_hand():
    budget = sublayers()
    assert (budget.groups[0].unit_cost, budget.groups[0].num_units) == (1.0, 4)
    assert float(budget.stored_cost()) == 3 + 5 + 2
    assert float(budget.stored_sparsity()) == pytest.approx(1 - 10 / 12)
    expected = 8 + sum(1 / (1 + np.exp([-9, 9, -8]) / 11)) + 0.5
    assert float(budget.expected_cost()) == pytest.approx(expected, rel=1e-5)
    budget.calibrate(0.2)
    assert float(budget.stored_cost()) == 9  # Of 9.6: heads cost 1 each.
    with pytest.raises(ValueError, match="at most the sparsity with all gates closed, 0.333333"):
        budget.calibrate(0.34)


def test_seconds_under_a_parent_by_hand():
    parent = gated_units(1, 0.0)
    budget = sublayers(parent)
    assert float(budget.expected_cost()) == pytest.approx(8 + 11 / 12 * 2.501, abs=1e-3)
    assert budget.groups[1].unit_cost == 4
    parent.log_alpha.assign([-9.0])
    assert float(budget.stored_cost()) == 8
    with budget.calibrated(1 / 3):
        assert float(budget.stored_cost()) == 8
    assert budget.calibrate(0.0) and float(budget.stored_cost()) == 12


def test_a_sublayer_that_does_not_fit_gives_way_to_smaller_units():
    """Its gate would open first, but costs 4 of the 2 that are left; a neuron costs 1."""
    parent, neurons = gated_units(1, 5.0), gated_units(3, [1.0, 0.0, -1.0])
    costs = [CurveCost([4], [4.0], None, parent), CurveCost([3], [3.0], neurons)]
    budget = CostBudget(costs, dense_cost=7.0)
    budget.add_group(parent, projection((4, 4)), width=4)
    budget.add_group(neurons, projection((3, 4)))
    budget.calibrate(1 - 2 / 7)
    assert not parent.keep().numpy().any()
    assert neurons.keep().numpy().tolist() == [True, True, False]
    budget.calibrate(0.0)
    assert parent.keep().numpy().all() and neurons.keep().numpy().all()


def test_units_that_cost_nothing_are_ordered_too():
    heads, neurons = gated_units(2, 0.0), gated_units(3, 0.0)
    costs = [CurveCost([2], [4.0], heads), CurveCost([3], [0.0], neurons)]
    budget = CostBudget(costs, dense_cost=4.0)
    budget.add_group(heads, projection((2, 4)))
    budget.add_group(neurons, projection((3, 4)))
    order_gates(budget, [np.array([2.0, 1.0]), np.ones(3)], 0.5, start=1.0)
    assert all(np.isfinite(gate.log_alpha.numpy()).all() for gate in budget.gates)
    assert neurons.log_alpha.numpy().min() > heads.log_alpha.numpy().max()


def test_a_curve_has_a_slope_between_its_numbers():
    heads = gated_units(4, 1.0)
    cost = CurveCost([1, 4], [3.0, 9.0], heads)
    with tf.GradientTape() as tape:
        expected = cost.expected()
    slope = tape.gradient(expected, heads.log_alpha).numpy()
    with tf.GradientTape() as tape:
        active = heads.expected_active()
    np.testing.assert_allclose(slope, 2 * tape.gradient(active, heads.log_alpha), rtol=1e-5)
    number = float(heads.expected_active())
    assert float(expected) == pytest.approx(3 + 2 * (number - 1), rel=1e-5)


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("target", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_calibration_shifts_units_of_all_kinds_together(rank, target):
    budget = block(rank, rank and [2.0, 1.0, -1.0])
    budget.calibrate(target)
    allowed = (1 - target) * budget.original_parameters
    assert float(budget.stored_cost()) <= allowed + 0.01
    # With the next unit it would be more than what is allowed.
    opens = np.concatenate([np.ravel(gate.opens_at()) for gate in budget.gates])
    if (opens > 0).any():
        for gate in budget.gates:
            gate.shift(opens[opens > 0].min() + 1e-3)
        assert float(budget.stored_cost()) > allowed
