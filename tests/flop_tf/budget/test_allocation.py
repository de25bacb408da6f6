"""Options of groups within a budget."""

import itertools

import numpy as np
import pytest

from flop_tf.budget.allocation import allocate


def test_no_other_choice_loses_less():
    rng = np.random.default_rng(0)
    losses = [-np.sort(-rng.random(5)) for _ in range(4)]
    costs = [np.append(0, np.cumsum(rng.integers(1, 5, 4))) for _ in range(4)]
    for allowed in (3, 10, 20):
        found = allocate(losses, costs, allowed)
        choices = [
            (sum(losses[g][k] for g, k in enumerate(choice)), choice)
            for choice in itertools.product(range(5), repeat=4)
            if sum(costs[g][k] for g, k in enumerate(choice)) <= allowed
        ]
        assert tuple(found) == min(choices)[1]


def test_everything_fits():
    assert allocate([[1.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]], 3.001) == [1, 1]


def test_the_cheapest_just_fit():
    assert allocate([[1.0, 0.0], [2.0, 0.0]], [[0.5, 1.0], [0.25, 2.0]], 0.75) == [0, 0]


@pytest.mark.parametrize("allowed", [0.5, 0, -1])
def test_out_of_reach(allowed):
    with pytest.raises(ValueError, match=r"`allowed` must be above 0 and at least 0.75, what the"):
        allocate([[1.0, 0.0]], [[0.75, 1.0]], allowed)
