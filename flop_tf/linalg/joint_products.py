"""Two products that meet in one matrix, compressed together: narrower attention heads.

Of a head the scores `q k^T` and the outputs `v W_o` are products of rank D. Their best
approximations of rank K are a head of width K, without a product more.
N heads, D old width, K new width, H hidden.

Reference:
  The truncated SVD of a product between the square roots of second moments, as in
  Data-aware Low-Rank Compression for Large NLP Models (DRONE), NeurIPS 2021.
"""

import numpy as np

# Singular values below this share of the largest are rounding.
_ROUNDING = 1e-12


def query_key(query_moment, key_moment):
    """Returns how queries and keys are mixed so that their first K columns keep the most of scores.

    With `A = E[q q^T]^(1/2)`, `B = E[k k^T]^(1/2)` and `A B = U S V^T`: `q' = q B V S^(-1/2)`,
    `k' = k A U S^(-1/2)`. Then `q'_K k'_K^T` has the least `E[(q k^T - q' k'^T)^2]` over pairs of
    tokens, which counts them as independent, and both have the second moment S.

    >>> query, key, scores = query_key([np.diag([4.0, 1.0])], [np.diag([9.0, 1.0])])
    >>> np.round(scores[0], 6).tolist()
    [6.0, 1.0]
    >>> np.round(np.abs(query[0][:, :1] @ key[0][:, :1].T), 6).tolist()
    [[1.0, 0.0], [0.0, 0.0]]

    Args:
      query_moment: `E[q q^T]` with biases, array `[N, D, D]`.
      key_moment: `E[k k^T]` with biases, array `[N, D, D]`.

    Returns:
      `(mix of the query [N, D, D], mix of the key [N, D, D], S [N, D])`, float64, S decreasing.
    """
    query, key = _root(query_moment), _root(key_moment)
    left, values, right = np.linalg.svd(query @ key)
    scale = _inverse(np.sqrt(values))[:, None, :]
    return key @ _transposed(right) * scale, query @ left * scale, values


def value_output(covariance, kernel):
    """Returns how values are mixed, and the rows of the output projection that take them.

    With `A = cov(v)^(1/2)` and `A W_o = U S V^T`: `v' = (v - E v) W_o V S^(-1)`, `W_o' = S V^T`.
    As probabilities sum to 1, what `E v` adds to each output is `E v W_o`, a part of the bias.

    >>> value, output = value_output([np.diag([4.0, 1.0])], [np.eye(2)])
    >>> np.round(np.abs(value[0][:, :1] @ output[0][:1]), 6).tolist()
    [[1.0, 0.0], [0.0, 0.0]]

    Args:
      covariance: of the values, array `[N, D, D]`.
      kernel: W_o, array `[N, D, H]`, the rows of each head.

    Returns:
      `(mix of the value [N, D, K], W_o' [N, K, H])`, float64, with K the smaller one of D and H;
      the first columns and rows are those that write most.
    """
    kernel = np.asarray(kernel, np.float64)
    _, values, right = np.linalg.svd(_root(covariance) @ kernel, full_matrices=False)
    mix = kernel @ _transposed(right) * _inverse(values)[:, None, :]
    return mix, values[:, :, None] * right


def _root(moment):
    """Returns the symmetric square roots of matrices."""
    values, vectors = np.linalg.eigh(np.asarray(moment, np.float64))
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :] @ _transposed(vectors)


def _inverse(values):
    """Returns `1 / values`, 0 where a value is 0 but for rounding."""
    least = _ROUNDING * values.max(axis=-1, keepdims=True)
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > least)


def _transposed(matrices):
    return np.swapaxes(matrices, -1, -2)
