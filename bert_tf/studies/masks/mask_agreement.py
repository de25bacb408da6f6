"""How far masks agree: overlap, and the statistics of raters who judge the same things.

k masks (seeds) of n components each. A mask rates each component as kept or removed. A figure that
is not defined, such as the agreement of a single mask, is None.
"""

import importlib
import importlib.util
import itertools

import numpy as np
from scipy.spatial import distance

#: Below this p, masks count as different.
SIGNIFICANCE = 0.05


def jaccard(masks):
    """Returns the pairwise `|A and B| / |A or B|`; two masks that keep nothing are equal, 1.

    Args:
      masks: bool `[k, n]`, true where kept.

    Returns:
      The float64 matrix `[k, k]`.

    Raises:
      ValueError: if the masks are not bool `[k, n]` with k and n at least 1.
    """
    return 1.0 - distance.squareform(distance.pdist(_checked(masks), "jaccard"))


def mean_jaccard(masks):
    """Returns the mean of `jaccard` over the pairs of masks `[k, n]`; None for one mask.

    Args:
      masks: bool `[k, n]`, true where kept.

    Raises:
      ValueError: if the masks are not bool `[k, n]` with k and n at least 1.
    """
    pairs = distance.pdist(_checked(masks), "jaccard")
    return float(1.0 - pairs.mean()) if pairs.size else None


def intersection_over_union(masks):
    """Returns the share of components that all masks keep among those that any mask keeps.

    Args:
      masks: bool `[k, n]`, true where kept.

    Returns:
      The share, a float; 1 where no mask keeps anything.

    Raises:
      ValueError: if the masks are not bool `[k, n]` with k and n at least 1.
    """
    masks = _checked(masks)
    union = masks.any(axis=0).sum()
    return float(masks.all(axis=0).sum() / union) if union else 1.0


def cochran_q(masks):
    """Tests whether masks keep equally many components, by Cochran's Q.

    `Q = (k - 1) (k sum_j C_j^2 - S^2) / (k S - sum_i R_i^2)` with C_j kept by mask j, R_i masks
    that keep component i and S their sum; chi-squared with k - 1 degrees of freedom.

    Args:
      masks: bool `[k, n]`, true where kept.

    Returns:
      `(Q, p)`, two floats: `(0, 1)` for equal masks, where the formula is 0 / 0, and
      `(None, None)` for one mask.

    Raises:
      ValueError: if the masks are not bool `[k, n]` with k and n at least 1, or statsmodels
        is missing.

    Reference:
      Cochran, The comparison of percentages in matched samples, Biometrika 37 (1950).
    """
    masks = _checked(masks)
    if len(masks) < 2:
        return None, None
    if (masks == masks[0]).all():
        return 0.0, 1.0
    tables = _package("statsmodels.stats.contingency_tables")
    found = tables.cochrans_q(masks.T.astype(np.int64))
    return float(found.statistic), float(found.pvalue)


def similar_pairs(masks, others=None):
    """Returns the share of pairs that Cochran's Q does not tell apart, p >= .05.

    Args:
      masks: bool `[k, n]`, true where kept, by seed.
      others: bool `[k, n]` of another task and the same seeds; None compares `masks` with
        themselves. Mask i of the first is paired with each later one, j > i, of the second.

    Returns:
      The share, a float; None for one mask.

    Raises:
      ValueError: if the masks are not bool `[k, n]` with k and n at least 1 or the two shapes
        differ, or statsmodels is missing.
    """
    masks = _checked(masks)
    others = masks if others is None else _checked(others)
    if others.shape != masks.shape:
        raise ValueError(
            f"Argument `others` must have the shape {masks.shape}, as `masks`, received "
            f"{others.shape}."
        )
    pairs = itertools.combinations(range(len(masks)), 2)
    similar = [cochran_q(np.stack([masks[i], others[j]]))[1] >= SIGNIFICANCE for i, j in pairs]
    return float(np.mean(similar)) if similar else None


def fleiss_kappa(masks):
    """Returns Fleiss' kappa `(P - P_e) / (1 - P_e)` of masks as raters.

    P is the share of pairs of masks that agree on a component, P_e the one expected by chance.

    Args:
      masks: bool `[k, n]`, true where kept.

    Returns:
      The kappa, a float; None for one mask, and where all keep everything or nothing (P_e = 1).

    Raises:
      ValueError: if the masks are not bool `[k, n]` with k and n at least 1, or statsmodels
        is missing.

    Reference:
      Fleiss, Measuring nominal scale agreement among many raters, Psychol. Bull. 76 (1971).
    """
    masks = _checked(masks)
    if not _can_differ(masks):
        return None
    raters, kept = _package("statsmodels.stats.inter_rater"), masks.sum(axis=0)
    return float(raters.fleiss_kappa(np.stack([len(masks) - kept, kept], axis=1)))


def krippendorff_alpha(masks):
    """Returns Krippendorff's nominal alpha `1 - D_o / D_e` of masks as raters.

    D_o is the share of pairs of masks that differ on a component, D_e the one expected by chance,
    drawn without replacement.

    Args:
      masks: bool `[k, n]`, true where kept.

    Returns:
      The alpha, a float; None where `fleiss_kappa` is.

    Raises:
      ValueError: if the masks are not bool `[k, n]` with k and n at least 1, or krippendorff
        is missing.

    Reference:
      Krippendorff, Content Analysis: An Introduction to Its Methodology (1980).
    """
    masks = _checked(masks)
    if not _can_differ(masks):
        return None
    ratings, alpha = masks.astype(np.int64), _package("krippendorff").alpha
    return float(alpha(reliability_data=ratings, level_of_measurement="nominal"))


def _can_differ(masks):
    """Returns whether agreement above chance is defined: two masks, and both answers given."""
    return len(masks) > 1 and masks.any() and not masks.all()


def _checked(masks):
    masks = np.asarray(masks)
    if masks.dtype != bool or masks.ndim != 2 or not masks.size:
        raise ValueError(
            "Argument `masks` must be bool [k, n] with k and n at least 1, received "
            f"{masks.dtype} {list(masks.shape)}."
        )
    return masks


def _package(module):
    """Returns a module of a package of the extra `analysis`."""
    name = module.partition(".")[0]
    if importlib.util.find_spec(name) is None:
        raise ValueError(
            f"The agreement of masks needs the package {name!r}, which is not installed; run "
            "pip install 'flop-tf[analysis]'."
        )
    return importlib.import_module(module)
