import numpy as np
import pytest

from flop_tf.searches import subnetworks

SEEDS = range(4)


def mask(shape, num_kept, seed=0):
    flat = np.zeros(np.prod(shape), bool)
    flat[np.random.default_rng(seed).permutation(flat.size)[:num_kept]] = True
    return flat.reshape(shape)


@pytest.mark.parametrize("num_kept, shared", [(95, 46), (67, 0), (72, 0), (0, 0), (144, 144)])
@pytest.mark.parametrize("seed", SEEDS)
def test_bad_has_the_size_of_good_and_shares_the_least(num_kept, shared, seed):
    good = mask((12, 12), num_kept, seed)
    bad = subnetworks.bad_subnetwork(good, np.random.default_rng(seed))
    assert bad.shape == good.shape and bad.dtype == bool
    assert bad.sum() == num_kept and (bad & good).sum() == shared


@pytest.mark.parametrize("num_kept", [0, 1, 67, 95, 144])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_has_the_size_of_good(num_kept, seed):
    good = mask((12, 12), num_kept, seed)
    drawn = subnetworks.random_subnetwork(good, np.random.default_rng(seed))
    assert drawn.shape == good.shape and drawn.sum() == num_kept


@pytest.mark.parametrize("draw", ["random_subnetwork", "bad_subnetwork"])
def test_draws_belong_to_their_generator(draw):
    good = mask((12, 12), 67)
    draws = [getattr(subnetworks, draw)(good, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_all_units_are_drawn_alike():
    good, rng = mask((3, 4), 5), np.random.default_rng(0)
    drawn = np.mean([subnetworks.random_subnetwork(good, rng) for _ in range(4000)], axis=0)
    bad = np.mean([subnetworks.bad_subnetwork(good, rng) for _ in range(4000)], axis=0)
    # Five standard deviations of a share of 4000 draws.
    np.testing.assert_allclose(drawn, 5 / 12, atol=5 * np.sqrt(5 / 12 * 7 / 12 / 4000))
    np.testing.assert_allclose(bad[~good], 5 / 7, atol=5 * np.sqrt(5 / 7 * 2 / 7 / 4000))
    assert not bad[good].any()


def test_inverted():
    good = mask((4, 3), 8)
    inverted = subnetworks.inverted_subnetwork(good)
    assert inverted.sum() == 4 and not (inverted & good).any()


def seeds_of_the_specification():
    """3 x 4 units of which all masks keep 4 and all remove 2."""
    first = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]], bool)
    second = np.array([[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0]], bool)
    return [first, second]


@pytest.mark.parametrize("seed", SEEDS)
def test_super_subnetworks_of_the_specification(seed):
    masks, rng = seeds_of_the_specification(), np.random.default_rng(seed)
    good = subnetworks.super_good(masks)
    bad = subnetworks.super_bad(masks, rng)
    middle = subnetworks.super_random(good, bad, rng)
    assert good.sum() == bad.sum() == middle.sum() == 4
    assert bad[2, 2:].all()
    assert (good | bad | middle).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_too_many_are_thinned_out(seed):
    masks, rng = [mask((6, 6), 5, each) for each in (seed, seed)], np.random.default_rng(seed)
    good = subnetworks.super_good(masks)
    bad = subnetworks.super_bad(masks, rng)
    np.testing.assert_array_equal(good, masks[0])
    assert bad.sum() == 5 and not (bad & good).any()
    middle = subnetworks.super_random(good, bad, rng)
    assert middle.sum() == 5 and not (middle & (good | bad)).any()


@pytest.mark.parametrize("num_kept", [0, 1, 9, 12])
@pytest.mark.parametrize("seed", SEEDS)
def test_sizes_are_equal_also_where_units_run_out(num_kept, seed):
    rng = np.random.default_rng(seed)
    masks = [mask((3, 4), num_kept, seed)] * 3
    good = subnetworks.super_good(masks)
    bad = subnetworks.super_bad(masks, rng)
    middle = subnetworks.super_random(good, bad, rng)
    assert good.sum() == bad.sum() == middle.sum() == num_kept
    assert (bad & good).sum() == max(0, 2 * num_kept - 12)


def test_seeds_that_agree_on_nothing():
    masks = [np.array([True, False]), np.array([False, True])]
    good = subnetworks.super_good(masks)
    bad = subnetworks.super_bad(masks, np.random.default_rng(0))
    assert not good.any() and not bad.any()
    assert not subnetworks.super_random(good, bad, np.random.default_rng(0)).any()


@pytest.mark.parametrize("masks", [[], [np.ones(3, bool), np.ones(4, bool)]])
def test_masks_that_are_refused(masks):
    message = r"`masks` must have at least one mask, all of one shape, received \["
    with pytest.raises(ValueError, match=message):
        subnetworks.super_good(masks)
    with pytest.raises(ValueError, match=message):
        subnetworks.super_bad(masks, np.random.default_rng(0))
