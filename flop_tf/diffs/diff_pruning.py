"""Diff pruning: a task as a sparse difference to frozen weights, learned by L0 gates.

`theta = p0 + z z_g w`: p0 are the pretrained weights, w the difference, z the gate of an element
and z_g the gate of its group, one a weight tensor. All tensors that have a difference lie one
after the other in flat vectors `[N]`, so that a step has a few large operations. N elements, G
groups, M rows of the largest width that divides all groups: what a group has is spread over rows.

Reference: Parameter-Efficient Transfer Learning with Diff Pruning (Guo, Rush and Kim 2021),
arXiv 2012.07463.
"""

import contextlib
import math

import numpy as np
import tensorflow as tf

from flop_tf import randomness
from flop_tf.diffs.trained_diff import TrainedDiff, flat_gradients, holding
from flop_tf.gates import hard_concrete

#: How the gates of elements and groups are penalized.
PENALTIES = ("product", "additive")

# Noise beyond these is as good as certain; what is closed further than that stays closed.
_LEAST_NOISE = 1e-4
_NOISE_SEED = 3


class LearnedDiff(TrainedDiff):
    """A difference with gates: w `[N]`, alpha `[N]` and, with groups, alpha_g `[G]`.

    The penalty on tensor g is `lambda_g sum_i P(z_i > 0) P(z_g > 0)`, or with "additive", as the
    released code has it, `lambda_g (sum_i P(z_i > 0) + P(z_g > 0))`. Per step there is one draw,
    for all parts of a batch. At evaluation gates are without noise.

    >>> kernel = tf.Variable(tf.ones([2, 3]))
    >>> diff = LearnedDiff([kernel], sparsity_penalty=1e-6)
    >>> [variable.shape.as_list() for variable in (diff.weights, *diff.gates)]
    [[6], [6], [1]]

    Args:
      base: list of model variables that get a difference.
      dense: list of model variables that are trained whole, such as the task head.
      sparsity_penalty: lambda, a float, or one for each of `base`. Defaults to 1.25e-7.
      structured: whether there are gates of groups.
      penalty: one of `PENALTIES`.
      initial_alpha: start of all alpha.
      low: l < 0.
      high: r > 1.

    Raises:
      ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        base,
        dense=(),
        sparsity_penalty=1.25e-7,
        structured=True,
        penalty="product",
        initial_alpha=5.0,
        low=-1.5,
        high=1.5,
    ):
        super().__init__(base, dense)
        self._penalties = _penalties(sparsity_penalty, len(base))
        _check(base, penalty, low, high)
        self.low, self.high, self.penalty = low, high, penalty
        size, width = sum(self._sizes), math.gcd(*self._sizes)
        rows = [one // width for one in self._sizes]
        self._group_of_row = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
        self.weights = tf.Variable(tf.zeros([size]), name="weights")
        self.alpha = tf.Variable(tf.fill([size], float(initial_alpha)), name="alpha")
        self.group_alpha = None
        if structured:
            start = tf.fill([len(base)], float(initial_alpha))
            self.group_alpha = tf.Variable(start, name="group_alpha")

    @property
    def gates(self):
        """Variables of the gates' optimizer."""
        return [self.alpha] if self.group_alpha is None else [self.alpha, self.group_alpha]

    @contextlib.contextmanager
    def applied(self, seed, step):
        """Lets the model compute with theta of a step's draw; see `TrainedDiff.applied`.

        Args:
          seed: int, of the run.
          step: integer scalar tensor.

        Yields:
          The noise of the step, see `theta`.
        """
        noise = self._noise(seed, step)
        with holding(self.base, self.theta(noise)):
            yield noise

    def theta(self, noise):
        """Returns theta for `(u [N], u_g [G] or None)`, a list of tensors as `base`.

        Args:
          noise: u and u_g, float32 tensors in (0, 1); u_g is None without groups.
        """
        group_gates = self._by_row(self._group_draw(noise)[0])
        added = _gated(self.weights, self.alpha, noise[0], group_gates, self.low, self.high)
        return [variable + p for variable, p in zip(self.base, self._split(added), strict=True)]

    def difference(self):
        """Returns theta - p0 of the gates without noise, a list of tensors as `base`."""
        group_gates = self._by_row(self._of_groups(hard_concrete.inference_gate))
        return self._split(_gated(self.weights, self.alpha, None, group_gates, self.low, self.high))

    def split_weights(self):
        """Returns w, a list of tensors as `base`."""
        return self._split(self.weights)

    def gradients(self, noise, gradients):
        """Returns the gradients of loss and penalty, see `TrainedDiff.gradients`.

        `dw = G z z_g`, `dalpha = G w z_g dz + dR/dalpha`, `dalpha_g = sum_i (G w z) dz_g +
        dR/dalpha_g`, with G the gradients at theta and R the penalty.

        Args:
          noise: as of `theta`.
          gradients: list of tensors at theta, as `dense` and `base`.
        """
        dense = len(gradients) - len(self.base)
        group_gate, group_slope = self._group_draw(noise)
        active = self._of_groups(hard_concrete.probability_active, 1.0)
        penalty = self._penalties * (active if self.penalty == "product" else 1.0)
        gradient = flat_gradients(gradients[dense:], self._sizes)
        arguments = self.alpha, noise[0], gradient, self._by_row(group_gate)
        for_alpha = _alpha_gradient(
            *arguments, self.weights, self._by_row(penalty), self.low, self.high
        )
        # One after the other: each needs memory of its own.
        with tf.control_dependencies([for_alpha]):
            for_weights = _weight_gradient(*arguments, self.low, self.high)
        with tf.control_dependencies([for_weights]):
            expected = self._sums(_active(self.alpha, len(self._group_of_row), self.low, self.high))
        for_gates = [for_alpha]
        if self.group_alpha is not None:
            count = expected if self.penalty == "product" else 1.0
            pull = self._penalties * count * active * (1 - active)
            # Without z_g; where it is 0 its slope is 0 too.
            for_gate = tf.math.divide_no_nan(
                self._sums(_products(for_weights, self.weights, len(self._group_of_row))),
                group_gate,
            )
            for_gates.append(for_gate * group_slope + pull)
        logs = {
            "sparsity_penalty": self._penalty(expected, active),
            "expected_density": tf.reduce_sum(expected * active) / sum(self._sizes),
        }
        return [*gradients[:dense], for_weights], for_gates, logs

    def _penalty(self, expected, active):
        if self.penalty == "product":
            return tf.reduce_sum(self._penalties * expected * active)
        groups = 0.0 if self.group_alpha is None else active
        return tf.reduce_sum(self._penalties * (expected + groups))

    def _noise(self, seed, step):
        sizes = [sum(self._sizes), len(self._sizes)]
        with randomness.step_scope(seed, step):
            noise = [
                tf.clip_by_value(
                    randomness.uniform([size], _NOISE_SEED + index), _LEAST_NOISE, 1 - _LEAST_NOISE
                )
                for index, size in enumerate(sizes)
            ]
        return noise[0], noise[1] if self.group_alpha is not None else None

    def _group_draw(self, noise):
        """Returns `(z_g, dz_g/dalpha_g) [G]`; without groups all gates are open."""
        if self.group_alpha is None:
            return tf.ones([len(self._sizes)]), None
        return hard_concrete.sample_with_slope(self.group_alpha, noise[1], self.low, self.high)

    def _of_groups(self, function, *arguments):
        """Returns a function of `hard_concrete` of the groups' gates, `[G]`; 1 without them."""
        if self.group_alpha is None:
            return tf.ones([len(self._sizes)])
        return function(self.group_alpha, *arguments, self.low, self.high)

    def _by_row(self, values):
        """Returns values of groups `[G]` for each row, `[M, 1]`."""
        return tf.gather(values, self._group_of_row)[:, tf.newaxis]

    def _sums(self, values):
        """Returns the sums over each group of values of rows, `[M]`, as `[G]`."""
        return tf.math.segment_sum(values, self._group_of_row)

    def _split(self, flat):
        parts = tf.split(flat, self._sizes)
        return [tf.reshape(p, variable.shape) for p, variable in zip(parts, self.base, strict=True)]


# Compiled: one pass over memory instead of one for each operation, and nothing kept between them.
@tf.function(jit_compile=True)
def _gated(weights, alpha, noise, group_gates, low, high):
    """Returns `z z_g w [N]`, z_g `[M, 1]`; without noise z is the gate of inference."""
    if noise is None:
        gate = hard_concrete.inference_gate(alpha, low, high)
    else:
        gate, _ = hard_concrete.sample_with_slope(alpha, noise, low, high)
    return gate * _by_element(group_gates, weights) * weights


# Two functions: one for both would keep the draw in memory for the other.
@tf.function(jit_compile=True)
def _weight_gradient(alpha, noise, gradient, group_gates, low, high):
    """Returns `dw [N]` for G `[N]` at theta; of groups all is `[M, 1]`."""
    gate, _ = hard_concrete.sample_with_slope(alpha, noise, low, high)
    return gradient * _by_element(group_gates, gradient) * gate


@tf.function(jit_compile=True)
def _alpha_gradient(alpha, noise, gradient, group_gates, weights, penalty, low, high):
    """Returns `dalpha [N]` for G `[N]` at theta; of groups all is `[M, 1]`."""
    _, slope = hard_concrete.sample_with_slope(alpha, noise, low, high)
    probability = hard_concrete.probability_active(alpha, 1.0, low, high)
    of_loss = gradient * _by_element(group_gates, gradient) * weights * slope
    return of_loss + _by_element(penalty, gradient) * probability * (1 - probability)


@tf.function(jit_compile=True)
def _products(one, other, num_rows):
    """Returns the inner products of two vectors by row, `[M]`."""
    one, other = (tf.reshape(flat, [num_rows, -1]) for flat in (one, other))
    return tf.einsum("mi,mi->m", one, other)  # A sum over the products would keep them all.


@tf.function(jit_compile=True)
def _active(alpha, num_rows, low, high):
    """Returns `P(z > 0)` summed by row, `[M]`."""
    probability = hard_concrete.probability_active(alpha, 1.0, low, high)
    return tf.reduce_sum(tf.reshape(probability, [num_rows, -1]), 1)


def _by_element(values, flat):
    """Returns the values of rows, `[M, 1]`, for each element of a vector, `[N]`."""
    rows, size = values.shape[0], flat.shape[0]
    return tf.reshape(tf.broadcast_to(values, [rows, size // rows]), [size])


def _penalties(sparsity_penalty, number):
    """Returns the lambdas of all groups, float32 `[G]`."""
    given = [sparsity_penalty] if isinstance(sparsity_penalty, int | float) else sparsity_penalty
    values = list(given) * number if len(given) == 1 else list(given)
    if len(values) != number or not all(0 <= value < math.inf for value in values):
        raise ValueError(
            "Argument `sparsity_penalty` must be a number from 0 on, or one for each of the "
            f"{number} tensors, received {sparsity_penalty}."
        )
    return tf.constant(values, tf.float32)


def _check(base, penalty, low, high):
    if not base:
        raise ValueError(
            "Argument `base` must have variables that get a difference, received none."
        )
    if penalty not in PENALTIES:
        raise ValueError(
            f"Argument `penalty` must be one of {', '.join(PENALTIES)}, received {penalty!r}."
        )
    if low >= 0 or high <= 1:
        raise ValueError(
            f"Arguments `low` and `high` must lie below 0 and above 1, received {low} and {high}."
        )
