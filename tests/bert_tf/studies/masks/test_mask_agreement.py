import importlib.util

import numpy as np
import pytest

from bert_tf.studies.masks import mask_agreement

for package in ("statsmodels", "krippendorff"):
    pytest.importorskip(package, reason="The extra `analysis` is not installed.")

#: Vector C13 of the specification.
THREE = np.array([[1, 1, 0, 1, 0, 0], [1, 0, 0, 1, 1, 0], [1, 1, 0, 0, 0, 1]], bool)
PAIR = np.array([[1, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 1]], bool)
#: WNLI of the lottery: one seed keeps all heads, the other four none.
EXTREME = np.zeros([5, 144], bool)
EXTREME[2] = True
FUNCTIONS = [
    mask_agreement.jaccard,
    mask_agreement.mean_jaccard,
    mask_agreement.intersection_over_union,
    mask_agreement.cochran_q,
    mask_agreement.similar_pairs,
    mask_agreement.fleiss_kappa,
    mask_agreement.krippendorff_alpha,
]


def test_jaccard():
    expected = [[1.0, 0.5, 0.5], [0.5, 1.0, 0.2], [0.5, 0.2, 1.0]]
    np.testing.assert_allclose(mask_agreement.jaccard(THREE), expected)
    assert mask_agreement.mean_jaccard(THREE) == pytest.approx(0.4)
    assert mask_agreement.intersection_over_union(THREE) == pytest.approx(1 / 5)


def test_cochran_q():
    assert mask_agreement.cochran_q(THREE) == (0.0, 1.0)
    assert mask_agreement.cochran_q(PAIR) == pytest.approx((2.0, 0.1573), abs=1e-4)
    statistic, p = mask_agreement.cochran_q(EXTREME)
    assert statistic == pytest.approx(576.0) and 1e-124 < p < 1e-122


def test_cochran_q_follows_its_formula():
    masks = np.random.default_rng(0).random([5, 40]) < 0.6
    k, by_mask, by_component = 5, masks.sum(axis=1), masks.sum(axis=0)
    total = masks.sum()
    q = (k - 1) * (k * (by_mask**2).sum() - total**2) / (k * total - (by_component**2).sum())
    assert mask_agreement.cochran_q(masks)[0] == pytest.approx(q)


def test_kappa_and_alpha():
    assert mask_agreement.fleiss_kappa(THREE) == pytest.approx(0.11111, abs=1e-5)
    assert mask_agreement.krippendorff_alpha(THREE) == pytest.approx(0.16049, abs=1e-5)
    # As published for WNLI, -.250 and -.248.
    assert mask_agreement.fleiss_kappa(EXTREME) == pytest.approx(-0.25)
    assert mask_agreement.krippendorff_alpha(EXTREME) == pytest.approx(-0.248, abs=5e-4)


def test_similar_pairs():
    assert mask_agreement.similar_pairs(THREE) == 1.0
    # Only the six pairs without the third mask are alike; those of two empty masks are equal.
    assert mask_agreement.similar_pairs(EXTREME) == pytest.approx(6 / 10)
    others = EXTREME[::-1]
    assert mask_agreement.similar_pairs(EXTREME, others) == pytest.approx(6 / 10)
    shifted = np.roll(EXTREME, -2, axis=0)  # The full mask is now first: it is no later one.
    assert mask_agreement.similar_pairs(EXTREME, shifted) == pytest.approx(8 / 10)


@pytest.mark.parametrize("kept", [False, True])
def test_masks_that_keep_everything_or_nothing(kept):
    masks = np.full([3, 6], kept)
    np.testing.assert_array_equal(mask_agreement.jaccard(masks), np.ones([3, 3]))
    assert mask_agreement.mean_jaccard(masks) == 1.0
    assert mask_agreement.intersection_over_union(masks) == 1.0
    assert mask_agreement.cochran_q(masks) == (0.0, 1.0)
    assert mask_agreement.similar_pairs(masks) == 1.0
    assert mask_agreement.fleiss_kappa(masks) is None
    assert mask_agreement.krippendorff_alpha(masks) is None


def test_a_single_mask():
    mask = THREE[:1]
    np.testing.assert_array_equal(mask_agreement.jaccard(mask), [[1.0]])
    assert mask_agreement.mean_jaccard(mask) is None
    assert mask_agreement.intersection_over_union(mask) == 1.0
    assert mask_agreement.cochran_q(mask) == (None, None)
    assert mask_agreement.similar_pairs(mask) is None
    assert mask_agreement.fleiss_kappa(mask) is None
    assert mask_agreement.krippendorff_alpha(mask) is None


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("masks", "received"),
    [
        (np.ones([2, 3]), r"float64 \[2, 3\]"),
        (np.ones([6], bool), r"bool \[6\]"),
        (np.ones([2, 0], bool), r"bool \[2, 0\]"),
        (np.ones([0, 2], bool), r"bool \[0, 2\]"),
    ],
)
def test_no_masks(function, masks, received):
    with pytest.raises(ValueError, match=rf"must be bool \[k, n\] with .*, received {received}"):
        function(masks)


def test_pairs_of_other_shapes():
    with pytest.raises(ValueError, match=r"`others` must have the shape \(3, 6\), .* \(2, 6\)"):
        mask_agreement.similar_pairs(THREE, PAIR)


@pytest.mark.parametrize(
    ("function", "package"),
    [
        (mask_agreement.cochran_q, "statsmodels"),
        (mask_agreement.fleiss_kappa, "statsmodels"),
        (mask_agreement.krippendorff_alpha, "krippendorff"),
    ],
)
def test_a_missing_package(monkeypatch, function, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"the package '{package}', .*'flop-tf\[analysis\]'"):
        function(THREE)
