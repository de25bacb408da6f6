"""Products of two projections, compressed together."""

import numpy as np
import pytest
import scipy.linalg

from flop_tf.linalg import joint_products

RNG = np.random.default_rng(0)
INPUTS, HEADS, SIZE, WIDTH = 40, 3, 8, 12


@pytest.fixture
def block():
    """Inputs with a one appended, and the kernels of three heads with their biases."""
    mixing = RNG.normal(size=[WIDTH, WIDTH])
    rows = np.concatenate([RNG.normal(0.3, 1, [INPUTS, WIDTH]) @ mixing, np.ones([INPUTS, 1])], 1)
    return rows, *RNG.normal(size=[3, HEADS, WIDTH + 1, SIZE])


def moments(rows):
    return np.einsum("nmd,nme->nde", rows, rows) / INPUTS


@pytest.mark.parametrize("size", [1, 3, 8])
def test_scores_are_those_of_the_square_roots_of_the_inputs_moment(block, size):
    """`C^1/2 Wq Wk^T C^1/2 = U S V^T`, as the method is written down."""
    rows, query, key, _ = block
    root = scipy.linalg.sqrtm(rows.T @ rows / INPUTS).real
    mix_query, mix_key, values = joint_products.query_key(
        moments(rows @ query), moments(rows @ key)
    )
    for head in range(HEADS):
        left, singular, right = np.linalg.svd(root @ query[head] @ key[head].T @ root)
        np.testing.assert_allclose(values[head], singular[:SIZE], rtol=1e-6)
        best = (left[:, :size] * singular[:size]) @ right[:size]
        narrow_query = query[head] @ mix_query[head][:, :size]
        narrow_key = key[head] @ mix_key[head][:, :size]
        np.testing.assert_allclose(root @ narrow_query @ narrow_key.T @ root, best, atol=1e-6)
        # Both sides are as large.
        for narrow in (narrow_query, narrow_key):
            second = (rows @ narrow).T @ (rows @ narrow) / INPUTS
            np.testing.assert_allclose(second, np.diag(values[head][:size]), atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_outputs_are_those_of_the_centred_inputs(block, size):
    rows, *_, value = block
    kernel = RNG.normal(size=[HEADS, SIZE, WIDTH])
    found = rows @ value
    mean = found.mean(axis=1, keepdims=True)
    mix, output = joint_products.value_output(moments(found - mean), kernel)
    for head in range(HEADS):
        written = (found - mean)[head] @ kernel[head]
        left, singular, right = np.linalg.svd(written, full_matrices=False)
        best = (left[:, :size] * singular[:size]) @ right[:size]
        narrow = (found - mean)[head] @ mix[head][:, :size] @ output[head][:size]
        np.testing.assert_allclose(narrow, best, atol=1e-6)


def test_heads_that_say_nothing_or_have_no_full_rank():
    query = np.zeros([1, 2, 2])
    mixes = joint_products.query_key(query, np.eye(2)[np.newaxis])
    assert all(np.isfinite(mix).all() for mix in mixes)
    np.testing.assert_array_equal(mixes[2], 0)
    moment = np.array([[[1.0, 1.0], [1.0, 1.0]]])
    mix_query, mix_key, values = joint_products.query_key(moment, moment)
    np.testing.assert_allclose(values, [[2, 0]], atol=1e-9)
    # On what queries and keys really are, scores stay the same.
    one = np.ones(2)
    scores = (one @ mix_query[0]) @ (one @ mix_key[0])
    assert scores == pytest.approx(2)
    mix, output = joint_products.value_output(np.zeros([1, 2, 2]), np.ones([1, 2, 5]))
    assert np.isfinite(mix).all() and not output.any()
