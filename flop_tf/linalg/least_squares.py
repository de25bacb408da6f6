"""Repair of a projection by least squares that stays near its old weights, in float64.

n rows (tokens), I inputs, O outputs. With inputs `X [n, I]` and targets `T [n, O]`.

Reference:
  Accurate Retraining-free Pruning for Pretrained Encoder-based Language Models (K-prune),
  arXiv 2308.03449, which has no pull towards the old weights.
"""

import dataclasses

import numpy as np
import scipy.linalg

# Keeps inputs that depend on each other from having no inverse, as a ridge.
_LEAST = 1e-9


@dataclasses.dataclass(frozen=True)
class Moments:
    """Sums over rows from which a least squares fit and its error follow.

    >>> moments = Moments.of([[0.0], [2.0]], [[1.0], [5.0]])
    >>> kernel, bias = fit(moments, np.zeros([1, 1]), ridge=0.0)
    >>> np.round(kernel, 6).tolist(), np.round(bias, 6).tolist()
    ([[2.0]], [1.0])

    Args:
      rows: n, a number.
      inputs: `sum x`, `[I]`.
      targets: `sum t`, `[O]`.
      gram: `X^T X`, `[I, I]`.
      cross: `X^T T`, `[I, O]`.
      squares: `sum |t|^2`, a number.
    """

    rows: float
    inputs: np.ndarray
    targets: np.ndarray
    gram: np.ndarray
    cross: np.ndarray
    squares: float

    @classmethod
    def of(cls, inputs, targets):
        """Returns the moments of rows.

        Args:
          inputs: X, array `[n, I]`.
          targets: T, array `[n, O]`.
        """
        x, t = np.asarray(inputs, np.float64), np.asarray(targets, np.float64)
        return cls(len(x), x.sum(axis=0), t.sum(axis=0), x.T @ x, x.T @ t, float(np.sum(t * t)))

    def __add__(self, other):
        """Returns the moments of the rows of both."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
        return Moments(*(one + two for one, two in pairs))


def fit(moments, kernel, ridge):
    """Returns the kernel and bias nearest to the targets, pulled towards the old kernel.

    With centred `C = cov(x)`, `K = cov(x, t)` and `lambda = ridge mean(diag C)`:
    `W = W_0 + (C + lambda I)^-1 (K - C W_0)`, `b = mean t - mean x W`, the minimum of
    `mean |x W + b - t|^2 + lambda |W - W_0|^2`.

    Args:
      moments: `Moments` of at least one row.
      kernel: W_0, array `[I, O]`; I may be 0, which leaves the bias.
      ridge: float of at least 0; at 0 inputs that depend on each other keep their old weights.

    Returns:
      `(W [I, O], b [O])`, float64.
    """
    kernel = np.asarray(kernel, np.float64)
    mean, mean_target = moments.inputs / moments.rows, moments.targets / moments.rows
    if kernel.size:
        covariance = moments.gram / moments.rows - np.outer(mean, mean)
        residual = moments.cross / moments.rows - np.outer(mean, mean_target) - covariance @ kernel
        scale = covariance.trace() / len(kernel)
        pull = (ridge + _LEAST) * scale or 1.0
        pulled = covariance + pull * np.eye(len(kernel))
        kernel = kernel + scipy.linalg.solve(pulled, residual, assume_a="pos")
    return kernel, mean_target - mean @ kernel


def error(moments, kernel, bias):
    """Returns `mean |x W + b - t|^2`, a float.

    Args:
      moments: `Moments` of at least one row.
      kernel: W, array `[I, O]`.
      bias: b, array `[O]`.
    """
    fitted = np.sum(kernel * (moments.gram @ kernel)) + moments.rows * np.sum(bias * bias)
    fitted += 2 * moments.inputs @ kernel @ bias
    missed = np.sum(kernel * moments.cross) + bias @ moments.targets
    return max(0.0, float(fitted - 2 * missed + moments.squares) / moments.rows)


def best_fit(fitted, held_out, kernel, ridges):
    """Returns a fit to all rows with the ridge that errs least on rows that were held out.

    Args:
      fitted: `Moments` of the rows that the ridge is tried on.
      held_out: `Moments` of the others.
      kernel: W_0, array `[I, O]`.
      ridges: floats of at least 0, the candidates.

    Returns:
      `(W [I, O], b [O], ridge)`.
    """
    tried = {ridge: error(held_out, *fit(fitted, kernel, ridge)) for ridge in ridges}
    ridge = min(tried, key=tried.get)
    return *fit(fitted + held_out, kernel, ridge), ridge
