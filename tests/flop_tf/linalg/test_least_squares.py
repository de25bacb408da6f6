"""Least squares near old weights."""

import numpy as np
import pytest

from flop_tf.linalg.least_squares import Moments, best_fit, error, fit


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=[200, 5]) + 3.0
    return inputs, inputs @ rng.normal(size=[5, 3]) + rng.normal(size=[200, 3])


def test_the_minimum_of_the_penalized_error(rows):
    inputs, targets = rows
    old, ridge = np.ones([5, 3]), 0.1
    kernel, bias = fit(Moments.of(inputs, targets), old, ridge)
    pull = ridge * np.var(inputs, axis=0).mean()

    def penalized(kernel, bias):
        missed = np.square(inputs @ kernel + bias - targets).sum(axis=1).mean()
        return missed + pull * np.square(kernel - old).sum()

    least, rng = penalized(kernel, bias), np.random.default_rng(1)
    for _ in range(20):
        near = kernel + 1e-3 * rng.normal(size=kernel.shape), bias + 1e-3 * rng.normal(size=3)
        assert penalized(*near) > least


def test_without_a_pull_it_is_ordinary_least_squares(rows):
    inputs, targets = rows
    kernel, bias = fit(Moments.of(inputs, targets), np.zeros([5, 3]), 0.0)
    expected, *_ = np.linalg.lstsq(np.c_[inputs, np.ones(200)], targets, rcond=None)
    np.testing.assert_allclose(np.r_[kernel, bias[None]], expected, atol=1e-9)


def test_a_strong_pull_keeps_the_old_weights_and_mends_the_mean(rows):
    inputs, targets = rows
    kernel, bias = fit(Moments.of(inputs, targets), np.ones([5, 3]), 1e9)
    np.testing.assert_allclose(kernel, 1.0, atol=1e-6)
    np.testing.assert_allclose(bias, (targets - inputs @ np.ones([5, 3])).mean(axis=0), atol=1e-5)


def test_dependent_inputs_keep_what_data_say_nothing_of(rows):
    inputs, targets = rows
    twice = np.c_[inputs, inputs[:, :1], np.full(200, 7.0)]
    old = np.arange(21.0).reshape(7, 3)
    kernel, bias = fit(Moments.of(twice, targets), old, 0.0)
    np.testing.assert_allclose(kernel[0] - kernel[5], old[0] - old[5], atol=1e-3)
    np.testing.assert_allclose(kernel[6], old[6], atol=1e-3)
    plain = fit(Moments.of(inputs, targets), np.zeros([5, 3]), 0.0)
    np.testing.assert_allclose(twice @ kernel + bias, inputs @ plain[0] + plain[1], atol=1e-3)


def test_no_inputs_leave_the_bias(rows):
    _, targets = rows
    moments = Moments.of(np.zeros([200, 0]), targets)
    kernel, bias = fit(moments, np.zeros([0, 3]), 0.01)
    np.testing.assert_allclose(bias, targets.mean(axis=0))
    assert error(moments, kernel, bias) == pytest.approx(np.var(targets, axis=0).sum())


def test_error_and_sums_of_moments(rows):
    inputs, targets = rows
    moments = Moments.of(inputs[:50], targets[:50]) + Moments.of(inputs[50:], targets[50:])
    kernel, bias = np.ones([5, 3]), np.array([1.0, -2.0, 0.5])
    missed = np.square(inputs @ kernel + bias - targets).sum(axis=1).mean()
    assert error(moments, kernel, bias) == pytest.approx(missed)


def test_the_ridge_is_the_best_on_rows_held_out():
    rng = np.random.default_rng(0)
    true = rng.normal(size=[30, 2])
    inputs = rng.normal(size=[240, 30])
    targets = inputs @ true + 3.0 * rng.normal(size=[240, 2])
    parts = Moments.of(inputs[:40], targets[:40]), Moments.of(inputs[40:], targets[40:])
    # The old weights are right, and forty noisy rows are few.
    kernel, _, ridge = best_fit(*parts, true, (0.0, 0.1, 1e6))
    assert ridge == 1e6
    np.testing.assert_allclose(kernel, true, atol=1e-3)
    assert best_fit(*parts, np.zeros([30, 2]), (0.1, 1e6))[2] == 0.1
