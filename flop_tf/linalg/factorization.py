"""From a kernel to two factors and back: SVD, plain or weighted, in NumPy and float64.

I inputs, O outputs, R rank. A kernel is `W [I, O]`, its factors `P [I, R]` and `Q [R, O]`.
"""

import numpy as np
import scipy.linalg

from flop_tf.linalg import costs


def svd(kernel, rank=None):
    """Factorizes by truncated SVD: `W = U S V^T`, `P = U`, `Q = S V^T`.

    The best approximation of rank R in the Frobenius norm.

    Args:
      kernel: W, array `[I, O]`.
      rank: R in [0, min(I, O)]; None is min(I, O).

    Returns:
      `(P [I, R], Q [R, O])` in the type of the kernel.

    Raises:
      ValueError: if the rank is out of range or the kernel is not a finite matrix.
    """
    kernel, rank = _checked(kernel, rank)
    left, values, right = scipy.linalg.svd(kernel.astype(np.float64), full_matrices=False)
    return _factors(left[:, :rank], values[:rank, None] * right[:rank], kernel.dtype)


def whitened_svd(kernel, second_moment, rank=None, ridge=1e-6):
    """Factorizes with the least error of the outputs: `min E |x W - x P Q|^2`.

    With `C = E[x x^T]`: `C^1/2 W = U S V^T`, truncated, `P = C^-1/2 U`, `Q = S V^T`.

    Args:
      kernel: W, array `[I, O]`.
      second_moment: C, symmetric array `[I, I]`, mean of `x x^T` over real inputs x.
      rank: R in [0, min(I, O)]; None is min(I, O).
      ridge: added to C as a multiple of its mean eigenvalue, keeps it invertible.

    Returns:
      `(P [I, R], Q [R, O])` in the type of the kernel.

    Raises:
      ValueError: if the rank is out of range or an array is not finite or has another shape.
    """
    kernel, rank = _checked(kernel, rank)
    inputs = len(kernel)
    second_moment = _statistic("second_moment", second_moment, (inputs, inputs))
    values, vectors = scipy.linalg.eigh(second_moment)
    # A direction that no input takes has eigenvalue 0, or below by rounding.
    values = np.maximum(values, 0.0) + ridge * max(values.mean(), np.finfo(np.float64).tiny)
    root = np.sqrt(values)
    whitened = (root[:, None] * vectors.T) @ kernel.astype(np.float64)
    left, singular, right = scipy.linalg.svd(whitened, full_matrices=False)
    factor_in = vectors @ (left[:, :rank] / root[:, None])
    return _factors(factor_in, singular[:rank, None] * right[:rank], kernel.dtype)


def fisher_svd(kernel, squared_gradient, rank=None, ridge=1e-6):
    """Factorizes with rows weighted by their importance to the loss.

    `D = diag(sqrt(sum_o F[i, o]))`, `D W = U S V^T`, truncated, `P = D^-1 U`, `Q = S V^T`.

    Args:
      kernel: W, array `[I, O]`.
      squared_gradient: F, array `[I, O]`, mean squared gradient of the task loss.
      rank: R in [0, min(I, O)]; None is min(I, O).
      ridge: added to the row weights as a multiple of their mean.

    Returns:
      `(P [I, R], Q [R, O])` in the type of the kernel.

    Raises:
      ValueError: if the rank is out of range or an array is not finite or has another shape.

    Reference:
      Language model compression with weighted low-rank factorization, arXiv 2207.00112.
    """
    kernel, rank = _checked(kernel, rank)
    squared_gradient = _statistic("squared_gradient", squared_gradient, kernel.shape)
    rows = squared_gradient.sum(axis=1)
    weight = np.sqrt(rows + ridge * max(rows.mean(), np.finfo(np.float64).tiny))
    left, values, right = scipy.linalg.svd(
        weight[:, None] * kernel.astype(np.float64), full_matrices=False
    )
    factor_in = left[:, :rank] / weight[:, None]
    return _factors(factor_in, values[:rank, None] * right[:rank], kernel.dtype)


def row_weighted_svd(kernel, weights, rank=None):
    """Factorizes with the least error of weighted rows: `min sum_i f_i |W_i - P_i Q|^2`.

    With `W^T diag(f) W = V L V^T` and the R largest eigenvalues: `P = W V`, `Q = V^T`. So rows of
    weight 0, which decide nothing, are projected on what the others span.

    Args:
      kernel: W, array `[I, O]`.
      weights: f, array `[I]` of numbers of at least 0.
      rank: R in [0, min(I, O)]; None is min(I, O).

    Returns:
      `(P [I, R], Q [R, O])` in the type of the kernel; the rows of Q are orthonormal.

    Raises:
      ValueError: if the rank is out of range, or an array is not finite or has another shape, or a
        weight is below 0.
    """
    kernel, rank = _checked(kernel, rank)
    weights = _statistic("weights", weights, (len(kernel),))
    if weights.min(initial=0.0) < 0:
        raise ValueError(f"Argument `weights` must be at least 0, received {weights.min()}.")
    rows = kernel.astype(np.float64)
    _, vectors = scipy.linalg.eigh(rows.T @ (weights[:, None] * rows))
    factor_out = vectors.T[::-1][:rank]
    return _factors(rows @ factor_out.T, factor_out, kernel.dtype)


def fold(factor_in, factor_out, mask):
    """Folds a gate into P and drops the units that are 0: `P diag(z)`, kept columns only.

    Args:
      factor_in: P, array `[I, R]`.
      factor_out: Q, array `[R, O]`.
      mask: z, array `[R]`, the inference gate.

    Returns:
      `(P [I, K], Q [K, O])` with K the number of units of the mask above 0.
    """
    keep = mask > 0
    return factor_in[:, keep] * mask[keep].astype(factor_in.dtype), factor_out[keep]


def merge(factor_in, factor_out):
    """Multiplies factors back to a kernel, `P Q`, summed in float64.

    Args:
      factor_in: P, array `[I, R]`.
      factor_out: Q, array `[R, O]`.

    Returns:
      The kernel, an array `[I, O]` in the type of P.
    """
    product = factor_in.astype(np.float64) @ factor_out.astype(np.float64)
    return product.astype(factor_in.dtype)


def balance(factor_in, factor_out, rank_max=None):
    """Scales ranks between the factors so that one scale of integers fits all of them.

    `P diag(s)`, `diag(1/s) Q` with `s_r = sqrt(max_o |Q_ro| / m_r)`, so that each rank has the same
    maximum in both; their product stays the same but for rounding. Ranks with a maximum of 0 stay
    as they are.

    Args:
      factor_in: P, array `[I, R]`.
      factor_out: Q, array `[R, O]`.
      rank_max: m, array `[R]`, the largest `|(x P)_r|` over inputs x: what becomes integers with
        one scale next to Q is `x P`. None, where no inputs are at hand, takes `max_i |P_ir|`.

    Returns:
      `(P [I, R], Q [R, O])` in the types that they had.
    """
    if rank_max is None:
        rank_max = np.abs(factor_in).max(axis=0, initial=0)
    in_max = np.asarray(rank_max, np.float64)
    out_max = np.abs(factor_out).max(axis=1, initial=0).astype(np.float64)
    ratio = np.divide(out_max, in_max, out=np.ones_like(in_max), where=(in_max * out_max) > 0)
    scale = np.sqrt(ratio)
    return (
        (factor_in * scale).astype(factor_in.dtype),
        (factor_out / scale[:, None]).astype(factor_out.dtype),
    )


def choose_rank(inputs, outputs, rank="full", density=None):
    """Returns the rank of a projection, or None where it stays dense.

    Args:
      inputs: I.
      outputs: O.
      rank: "full" for min(I, O), or an int that is kept as it is.
      density: if given, D times the break-even rank instead, rounded down, at least 1;
        from 1 up the projection stays dense.

    Raises:
      ValueError: if the density is not above 0, the rank is not in [0, min(I, O)], or both are
        given.
    """
    check_exclusive(rank, density)
    full = min(inputs, outputs)
    if density is not None:
        if not density > 0:
            raise ValueError(f"Argument `density` must be above 0, received {density}.")
        if density >= 1:
            return None
        return min(full, max(1, int(density * costs.break_even_rank(inputs, outputs))))
    if rank == "full":
        return full
    if not isinstance(rank, int | np.integer) or not 0 <= rank <= full:
        raise ValueError(
            f"Argument `rank` must be 'full' or in [0, {full}] for a projection of shape "
            f"({inputs}, {outputs}), received {rank}."
        )
    return rank


def check_exclusive(rank, density):
    """Raises ValueError where a rank and a density are given together.

    Args:
      rank: see `choose_rank`; so `density`.
      density: see above.
    """
    if rank != "full" and density is not None:
        raise ValueError(
            f"Arguments `rank` and `density` exclude each other, received {rank} and {density}."
        )


#: Ways to factorize by name: functions of kernel, statistic and rank, or None for the plain SVD.
SPLITS = {"svd": None, "whitened": whitened_svd, "fisher": fisher_svd}


def _statistic(name, array, shape):
    """Returns a statistic of the rows, inputs or gradients of a kernel in float64."""
    array = np.asarray(array, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        kind = "matrix" if len(shape) == 2 else "vector"
        raise ValueError(
            f"Argument `{name}` must be a finite {kind} of shape {shape}, received shape "
            f"{array.shape}."
        )
    return array


def _checked(kernel, rank):
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or not np.isfinite(kernel).all():
        raise ValueError(
            f"Argument `kernel` must be a matrix without NaN, received shape {kernel.shape}."
        )
    return kernel, choose_rank(*kernel.shape, rank="full" if rank is None else rank)


def _factors(factor_in, factor_out, dtype):
    return np.ascontiguousarray(factor_in, dtype), np.ascontiguousarray(factor_out, dtype)
