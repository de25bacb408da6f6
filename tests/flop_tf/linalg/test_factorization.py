import numpy as np
import pytest

from flop_tf.linalg import factorization

EXAMPLE = np.array([[3, 1, 2], [0, 2, -1], [1, 1, 4], [2, -2, 0]], np.float64)
SHAPES = [(5, 5), (4, 9), (9, 4), (1, 3), (3, 1)]


def kernel(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def correlated(inputs, samples=200, seed=1):
    """Inputs x whose coordinates go together, and whose scales differ widely."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(samples, inputs)) @ rng.normal(size=(inputs, inputs))
    return mixed * np.logspace(-1, 1, inputs)


def splits(shape):
    inputs = correlated(shape[0])
    moment = inputs.T @ inputs / len(inputs)
    squared = np.random.default_rng(2).uniform(0.1, 1, shape)
    return {
        "svd": factorization.svd,
        "whitened": lambda k, rank=None: factorization.whitened_svd(k, moment, rank),
        "fisher": lambda k, rank=None: factorization.fisher_svd(k, squared, rank),
        "rows": lambda k, rank=None: factorization.row_weighted_svd(k, squared.sum(1), rank),
    }


@pytest.mark.parametrize("name", ["svd", "whitened", "fisher", "rows"])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_full_rank_the_factors_are_the_kernel(name, shape):
    original = kernel(shape)
    factor_in, factor_out = splits(shape)[name](original)
    assert factor_in.shape == (shape[0], min(shape))
    assert factor_out.shape == (min(shape), shape[1])
    assert factor_in.dtype == factor_out.dtype == np.float32
    np.testing.assert_allclose(factor_in @ factor_out, original, atol=1e-5)


@pytest.mark.parametrize("name", ["svd", "whitened", "fisher", "rows"])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_lower_rank_keeps_the_first_columns(name, rank):
    split = splits((6, 5))[name]
    full, part = split(kernel((6, 5))), split(kernel((6, 5)), rank)
    np.testing.assert_array_equal(part[0], full[0][:, :rank])
    np.testing.assert_array_equal(part[1], full[1][:rank])


def test_rank_two_of_the_specification():
    factor_in, factor_out = factorization.svd(EXAMPLE)
    values = np.linalg.norm(factor_out, axis=1)
    np.testing.assert_allclose(values, [5.354661, 3.281969, 2.357177], atol=1e-6)
    np.testing.assert_allclose(factor_in.T @ factor_in, np.eye(3), atol=1e-12)
    factor_in, factor_out = factorization.svd(EXAMPLE, 2)
    error = np.linalg.norm(EXAMPLE - factor_in @ factor_out)
    assert error == pytest.approx(2.357177, abs=1e-6)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_whitening_has_the_least_output_error(rank):
    original, inputs = kernel((8, 6), dtype=np.float64), correlated(8)
    moment = inputs.T @ inputs / len(inputs)

    def error(factors):
        return np.mean(np.sum((inputs @ original - inputs @ factors[0] @ factors[1]) ** 2, 1))

    whitened = error(factorization.whitened_svd(original, moment, rank, ridge=1e-12))
    assert whitened < error(factorization.svd(original, rank))
    # No rank can do better than the outputs' own SVD.
    values = np.linalg.svd(inputs @ original, compute_uv=False)
    assert whitened == pytest.approx(np.sum(values[rank:] ** 2) / len(inputs), rel=1e-6)


def test_whitening_is_the_formula():
    original, inputs = kernel((6, 5), dtype=np.float64), correlated(6)
    moment, ridge = inputs.T @ inputs / len(inputs), 1e-3
    values, vectors = np.linalg.eigh(moment)
    values = values + ridge * values.mean()
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    left, singular, right = np.linalg.svd(root @ original, full_matrices=False)
    expected = np.linalg.inv(root) @ left[:, :3] @ np.diag(singular[:3]) @ right[:3]
    factor_in, factor_out = factorization.whitened_svd(original, moment, 3, ridge)
    np.testing.assert_allclose(factor_in @ factor_out, expected, atol=1e-9)


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_a_singular_moment_is_kept_invertible_by_the_ridge(samples):
    original, inputs = kernel((6, 5), dtype=np.float64), correlated(6)[:samples]
    moment = inputs.T @ inputs
    factors = factorization.whitened_svd(original, moment)
    np.testing.assert_allclose(factors[0] @ factors[1], original, atol=1e-5)
    for rank in range(5):
        factors = factorization.whitened_svd(original, moment, rank)
        assert np.isfinite(factors[0]).all() and np.isfinite(factors[1]).all()
        if rank >= samples:
            np.testing.assert_allclose(
                inputs @ factors[0] @ factors[1], inputs @ original, atol=1e-2
            )


def test_without_inputs_whitening_is_plain():
    original = kernel((6, 5), dtype=np.float64)
    factors = factorization.whitened_svd(original, np.zeros([6, 6]), 2)
    plain = factorization.svd(original, 2)
    np.testing.assert_allclose(factors[0] @ factors[1], plain[0] @ plain[1], atol=1e-9)


def test_fisher_has_the_least_error_weighted_by_rows():
    original = kernel((6, 5), dtype=np.float64)
    squared = np.random.default_rng(3).uniform(0, 1, (6, 5)) * np.logspace(-3, 1, 6)[:, None]
    rows = squared.sum(1)

    def error(factors):
        return np.sum(rows[:, None] * (original - factors[0] @ factors[1]) ** 2)

    fisher = error(factorization.fisher_svd(original, squared, 2, ridge=1e-12))
    assert fisher < error(factorization.svd(original, 2))
    values = np.linalg.svd(np.sqrt(rows)[:, None] * original, compute_uv=False)
    assert fisher == pytest.approx(np.sum(values[2:] ** 2), rel=1e-6)


def test_equal_gradients_make_fisher_plain():
    original = kernel((6, 5), dtype=np.float64)
    plain = factorization.svd(original, 2)
    for squared in (np.ones([6, 5]), np.zeros([6, 5])):
        factors = factorization.fisher_svd(original, squared, 2)
        np.testing.assert_allclose(factors[0] @ factors[1], plain[0] @ plain[1], atol=1e-9)


def test_a_row_without_gradient_stays_finite():
    squared = np.ones([6, 5])
    squared[2] = 0
    factors = factorization.fisher_svd(kernel((6, 5)), squared)
    np.testing.assert_allclose(factors[0] @ factors[1], kernel((6, 5)), atol=1e-4)


@pytest.mark.parametrize(
    ("weights", "product"),
    [([1, 1, 0], [[2, 0], [0, 0], [1, 0]]), ([1, 9, 0], [[0, 0], [0, 1], [0, 1]])],
)
def test_weights_of_rows_decide_the_direction(weights, product):
    rows = np.array([[2, 0], [0, 1], [1, 1]], np.float64)
    factor_in, factor_out = factorization.row_weighted_svd(rows, weights, 1)
    np.testing.assert_allclose(factor_in @ factor_out, product, atol=1e-12)


def test_row_weighted_svd_has_the_least_error():
    original, weights = kernel((7, 5), dtype=np.float64), np.array([9, 0, 1, 5, 0.1, 2, 30])
    factors = factorization.row_weighted_svd(original, weights, 2)
    error = np.sum(weights[:, None] * (original - factors[0] @ factors[1]) ** 2)
    values = np.linalg.svd(np.sqrt(weights)[:, None] * original, compute_uv=False)
    assert error == pytest.approx(np.sum(values[2:] ** 2), rel=1e-9)
    np.testing.assert_allclose(factors[1] @ factors[1].T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1, -1], "`weights` must be at least 0, received -1.0"),
        ([1, np.nan], r"`weights` must be a finite vector of shape \(2,\)"),
        ([1], r"must be a finite vector of shape \(2,\), received shape \(1,\)"),
    ],
)
def test_errors_of_weights_of_rows(weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        factorization.row_weighted_svd(kernel((2, 3)), weights)


def test_fold_scales_and_drops():
    factor_in, factor_out = kernel((4, 3)), kernel((3, 5), seed=1)
    mask = np.array([0.5, 0, 1], np.float32)
    folded = factorization.fold(factor_in, factor_out, mask)
    assert folded[0].shape == (4, 2) and folded[1].shape == (2, 5)
    assert folded[0].dtype == np.float32
    expected = factor_in @ np.diag(mask) @ factor_out
    np.testing.assert_allclose(folded[0] @ folded[1], expected, atol=1e-6)
    nothing = factorization.fold(factor_in, factor_out, 0 * mask)
    assert nothing[0].shape == (4, 0) and nothing[1].shape == (0, 5)


def test_balance_gives_both_factors_of_a_rank_one_maximum():
    """sqrt(8 / 2) = 2, sqrt(1 / 4) = 1/2; ranks that are 0 in a factor stay as they are."""
    factor_in = np.array([[1, 4, 0, 5], [-2, 1, 0, 0]], np.float32)
    factor_out = np.array([[-8, 2], [1, 0.5], [3, 1], [0, 0]], np.float32)
    balanced = factorization.balance(factor_in, factor_out)
    np.testing.assert_allclose(balanced[0], [[2, 2, 0, 5], [-4, 0.5, 0, 0]])
    np.testing.assert_allclose(balanced[1], [[-4, 1], [2, 1], [3, 1], [0, 0]])
    assert [array.dtype for array in balanced] == [np.float32] * 2


def test_balance_by_what_ranks_become():
    """sqrt(8 / 2) = 2, sqrt(1 / 16) = 1/4; a rank that is always 0 stays as it is."""
    factor_in = np.array([[1, 4, 3], [1, -1, 5]], np.float32)
    factor_out = np.array([[-8, 2], [1, 0.5], [3, 1]], np.float32)
    balanced = factorization.balance(factor_in, factor_out, np.array([2, 16, 0], np.float32))
    np.testing.assert_allclose(balanced[0], [[2, 1, 3], [2, -0.25, 5]])
    np.testing.assert_allclose(balanced[1], [[-4, 1], [4, 2], [3, 1]])


def test_balance_keeps_the_product_of_ranks_of_all_scales():
    scale = np.logspace(-12, 12, 20, dtype=np.float32)
    factor_in, factor_out = kernel((30, 20)) * scale, kernel((20, 40)) / scale[:, None]
    balanced = factorization.balance(factor_in, factor_out)
    np.testing.assert_allclose(*(np.abs(a).max(axis=i) for i, a in enumerate(balanced)), rtol=1e-6)
    product = factorization.merge(factor_in, factor_out)
    np.testing.assert_allclose(factorization.merge(*balanced), product, atol=1e-5)
    for once, twice in zip(balanced, factorization.balance(*balanced), strict=True):
        np.testing.assert_allclose(twice, once, rtol=1e-6)


@pytest.mark.parametrize("inputs, rank, outputs", [(3, 0, 2), (3, 2, 0), (0, 2, 3)])
def test_balance_of_nothing(inputs, rank, outputs):
    factors = np.ones([inputs, rank], np.float32), np.ones([rank, outputs], np.float32)
    for before, after in zip(factors, factorization.balance(*factors), strict=True):
        np.testing.assert_array_equal(after, before)


def test_merge_sums_in_float64():
    factor_in, factor_out = np.float32([[1e8, 1, -1e8]]), np.ones([3, 1], np.float32)
    merged = factorization.merge(factor_in, factor_out)
    assert merged.dtype == np.float32 and merged == 1


@pytest.mark.parametrize(
    "arguments, rank",
    [
        ({}, 384),
        ({"rank": "full"}, 384),
        ({"rank": 0}, 0),
        ({"rank": 17}, 17),
        ({"rank": np.int64(17)}, 17),
        ({"rank": 384}, 384),
        ({"density": 0.5}, 153),
        ({"density": 1e-9}, 1),
        ({"density": 1}, None),
        ({"density": 1.5}, None),
    ],
)
def test_choose_rank(arguments, rank):
    assert factorization.choose_rank(384, 1536, **arguments) == rank
    assert factorization.choose_rank(1536, 384, **arguments) == rank


@pytest.mark.parametrize("rank", [-1, 5, "half", 2.0])
def test_ranks_that_are_refused(rank):
    message = (
        rf"`rank` must be 'full' or in \[0, 4\] for a projection of shape \(4, 9\), received {rank}"
    )
    with pytest.raises(ValueError, match=message):
        factorization.choose_rank(4, 9, rank)
    with pytest.raises(ValueError, match=message):
        factorization.svd(kernel((4, 9)), rank)


@pytest.mark.parametrize("density", [0, -0.5, float("nan")])
def test_densities_that_are_refused(density):
    with pytest.raises(ValueError, match=f"`density` must be above 0, received {density}"):
        factorization.choose_rank(4, 9, density=density)


def test_a_rank_next_to_a_density_is_refused():
    sentence = "Arguments `rank` and `density` exclude each other, received 2 and 0.5."
    with pytest.raises(ValueError, match=sentence):
        factorization.choose_rank(4, 9, 2, 0.5)


@pytest.mark.parametrize("bad", [np.ones([3]), np.full([2, 2], np.nan), np.full([2, 2], np.inf)])
@pytest.mark.parametrize("split", ["svd", "whitened_svd", "fisher_svd"])
def test_kernels_that_are_refused(bad, split):
    more = () if split == "svd" else (np.eye(2),)
    with pytest.raises(ValueError, match="`kernel` must be a matrix without NaN, received shape"):
        getattr(factorization, split)(bad, *more)


@pytest.mark.parametrize("moment", [np.eye(3), np.full([2, 2], np.nan), np.ones(2)])
def test_moments_that_are_refused(moment):
    with pytest.raises(
        ValueError, match=r"`second_moment` must be a finite matrix of shape \(2, 2\)"
    ):
        factorization.whitened_svd(kernel((2, 3)), moment)


@pytest.mark.parametrize("squared", [np.ones([3, 2]), np.full([2, 3], np.nan)])
def test_gradients_that_are_refused(squared):
    with pytest.raises(
        ValueError, match=r"`squared_gradient` must be a finite matrix of shape \(2, 3\)"
    ):
        factorization.fisher_svd(kernel((2, 3)), squared)
