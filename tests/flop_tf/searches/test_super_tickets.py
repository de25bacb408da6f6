import numpy as np
import pytest

from flop_tf.importance import scoring
from flop_tf.searches import super_tickets

SEEDS = range(4)
IMPORTANCE = np.array([[0.9, 0.1, 0.4, 0.2], [0.05, 0.06, 0.02, 0.01], [3, 1, 2, 0.5]])
NORMALIZED = scoring.normalize_by_layer(IMPORTANCE)
BASE_COUNTS = [7, 14, 21, 28, 36, 43, 50, 57, 64, 72, 79, 86, 93, 100, 108, 115, 122, 129, 132]
#: Heads and blocks that the published tickets remove, in the order of training.
SHARED = {
    "base": [(0, 0), (14, 1), (14, 1), (14, 1), (43, 3), (28, 2), (0, 0), (14, 1)],
    "large": [(38, 2), (76, 4), (76, 4), (19, 1), (115, 6), (134, 7), (153, 8), (76, 4)],
}


def removed(mask):
    """The removed heads of each layer that has any."""
    return {layer: np.flatnonzero(~row).tolist() for layer, row in enumerate(mask) if not row.all()}


@pytest.mark.parametrize(
    "percents, increments",
    [([30], [3]), ([25, 50, 75, 100], [3, 3, 3, 0]), ([10, 20, 30], [1, 1, 1]), ([], [])],
)
def test_counts_of_the_specification(percents, increments):
    counts = super_tickets.head_counts(percents, 3, 4, min_heads=1)
    assert np.diff(counts, prepend=0).tolist() == increments


def test_counts_of_bert():
    assert super_tickets.head_counts(range(5, 105, 5), 12, 12) == BASE_COUNTS
    large = super_tickets.head_counts(np.arange(2.5, 100.5, 2.5), 24, 16)
    first = [9, 19, 28, 38, 48, 57, 67, 76, 86, 96, 105, 115, 124, 134, 144, 153]
    assert len(large) == 38 and large[:16] == first and large[-3:] == [345, 355, 360]


@pytest.mark.parametrize("min_heads, last", [(0, 144), (1, 132), (12, 0)])
def test_counts_stop_at_the_maximum(min_heads, last):
    assert super_tickets.head_counts([100], 12, 12, min_heads) == [last]


def test_blocks_go_with_heads_as_published():
    tens = range(10, 90, 10)
    pairs = zip(
        super_tickets.head_counts(tens, 12, 12), super_tickets.block_counts(tens, 12), strict=True
    )
    assert list(pairs) == [
        *[(14, 1), (28, 2), (43, 3), (57, 4)],
        *[(72, 5), (86, 6), (100, 7), (115, 8)],
    ]
    percents = np.arange(2.5, 42.5, 2.5)
    heads = super_tickets.head_counts(percents, 24, 16)
    blocks = super_tickets.block_counts(percents, 24)
    assert set(SHARED["large"]) <= set(zip(heads, blocks, strict=True))


@pytest.mark.parametrize("percents", [[-1], [5, 101], [10, 5], [float("nan")]])
def test_percents_that_are_refused(percents):
    message = r"`percents` must ascend within \[0, 100\], received \["
    with pytest.raises(ValueError, match=message):
        super_tickets.head_counts(percents, 3, 4)
    with pytest.raises(ValueError, match=message):
        super_tickets.block_counts(percents, 3)


@pytest.mark.parametrize("min_heads", [-1, 5])
def test_minima_that_are_refused(min_heads):
    message = rf"`min_heads` must be in \[0, 4\], the heads of a layer, received {min_heads}"
    with pytest.raises(ValueError, match=message):
        super_tickets.head_counts([10], 3, 4, min_heads)
    with pytest.raises(ValueError, match=message):
        super_tickets.winning_mask(IMPORTANCE, 1, min_heads)


@pytest.mark.parametrize(
    "select, scores, min_heads, levels",
    [
        (
            super_tickets.winning_mask,
            NORMALIZED,
            1,
            {
                3: {0: [1], 1: [3], 2: [3]},
                6: {0: [1, 3], 1: [2, 3], 2: [1, 3]},
                9: {0: [1, 2, 3], 1: [0, 2, 3], 2: [1, 2, 3]},
            },
        ),
        (
            super_tickets.winning_mask,
            IMPORTANCE,
            1,
            {3: {1: [0, 2, 3]}, 6: {0: [1, 2, 3], 1: [0, 2, 3]}},
        ),
        (
            super_tickets.losing_mask,
            NORMALIZED,
            1,
            {
                3: {0: [0], 1: [1], 2: [0]},
                6: {0: [0, 2], 1: [0, 1], 2: [0, 2]},
                9: {0: [0, 2, 3], 1: [0, 1, 2], 2: [0, 1, 2]},
            },
        ),
        (super_tickets.winning_mask, IMPORTANCE, 0, {6: {0: [1, 3], 1: [0, 1, 2, 3]}}),
    ],
)
def test_heads_of_the_specification(select, scores, min_heads, levels):
    for num_removed, expected in levels.items():
        assert removed(select(scores, num_removed, min_heads)) == expected


def test_blocks_of_the_specification():
    scores = [0.3, 0.05, 0.2]
    masks = [super_tickets.winning_mask(scores, k).tolist() for k in range(4)]
    assert masks == [[True] * 3, [True, False, True], [True, False, False], [False] * 3]
    masks = [super_tickets.losing_mask(scores, k).tolist() for k in range(4)]
    assert masks == [[True] * 3, [False, True, True], [False, True, False], [False] * 3]


@pytest.mark.parametrize("select", [super_tickets.winning_mask, super_tickets.losing_mask])
def test_equal_scores_go_by_layer_then_head(select):
    assert removed(select(np.ones([3, 4]), 5)) == {0: [0, 1, 2, 3], 1: [0]}
    assert removed(select(np.ones([3, 4]), 5, min_heads=1)) == {0: [0, 1, 2], 1: [0, 1]}
    assert removed(select(np.ones([3, 4]), 3, min_heads=3)) == {0: [0], 1: [0], 2: [0]}


@pytest.mark.parametrize("select", [super_tickets.winning_mask, super_tickets.losing_mask])
@pytest.mark.parametrize("min_heads", [0, 1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_masks_are_nested_of_their_size_and_keep_the_minimum(select, min_heads, seed):
    # Rounded, so that many are equal.
    scores = np.random.default_rng(seed).normal(size=[5, 6]).round(1)
    previous = np.ones([5, 6], bool)
    for num_removed in range(5 * (6 - min_heads) + 1):
        mask = select(scores, num_removed, min_heads)
        assert mask.dtype == bool and np.count_nonzero(~mask) == num_removed
        assert (mask <= previous).all() and mask.sum(axis=1).min() >= min_heads
        previous = mask


@pytest.mark.parametrize("seed", SEEDS)
def test_winning_and_losing_halves_are_opposite(seed):
    scores = np.random.default_rng(seed).permutation(24).reshape(4, 6)
    halves = super_tickets.winning_mask(scores, 12), super_tickets.losing_mask(scores, 12)
    np.testing.assert_array_equal(halves[0], ~halves[1])


@pytest.mark.parametrize("num_removed", [-1, 10])
def test_a_level_above_the_maximum(num_removed):
    message = (
        r"`num_removed` must be in \[0, 9\] for scores of shape \(3, 4\) of which each layer keeps "
        f"1, received {num_removed}"
    )
    for select in (super_tickets.winning_mask, super_tickets.losing_mask):
        with pytest.raises(ValueError, match=message):
            select(IMPORTANCE, num_removed, min_heads=1)
    with pytest.raises(ValueError, match=message):
        super_tickets.random_mask((3, 4), num_removed, np.random.default_rng(0), min_heads=1)


def test_scores_that_are_refused():
    for select in (super_tickets.winning_mask, super_tickets.losing_mask):
        with pytest.raises(ValueError, match="`scores` must be finite, received 1 NaN"):
            select([[1.0, np.nan]], 1)


def test_blocks_have_no_minimum():
    message = r"`min_heads` must be 0 for scores that are not of shape \[L, N\], received 1"
    with pytest.raises(ValueError, match=message):
        super_tickets.winning_mask([1.0, 2.0], 1, min_heads=1)


@pytest.mark.parametrize("min_heads", [0, 2])
@pytest.mark.parametrize("num_removed", [0, 1, 14, 43, 115, 120])
def test_random_tickets_have_their_size(num_removed, min_heads):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        mask = super_tickets.random_mask((12, 12), num_removed, rng, min_heads)
        assert np.count_nonzero(~mask) == num_removed and mask.sum(axis=1).min() >= min_heads
        again = super_tickets.random_mask(
            (12, 12), num_removed, np.random.default_rng(seed), min_heads
        )
        np.testing.assert_array_equal(mask, again)
    assert super_tickets.random_mask((12,), 8, np.random.default_rng(0)).sum() == 4


def test_random_tickets_remove_all_heads_alike():
    rng = np.random.default_rng(0)
    kept = sum(super_tickets.random_mask((3, 4), 5, rng).astype(int) for _ in range(4000)) / 4000
    # Five standard deviations of a share of 4000 draws.
    np.testing.assert_allclose(kept, 7 / 12, atol=5 * np.sqrt(7 / 12 * 5 / 12 / 4000))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_tickets_by_layer(seed):
    rng = np.random.default_rng(seed)
    mask = super_tickets.winning_mask(rng.normal(size=[6, 8]), 30, min_heads=1)
    drawn = [super_tickets.random_mask_by_layer(mask, rng) for _ in range(5)]
    for each in drawn:
        np.testing.assert_array_equal(each.sum(axis=1), mask.sum(axis=1))
    assert any((each != mask).any() for each in drawn)
    blocks = np.array([True, False, True, True])
    assert super_tickets.random_mask_by_layer(blocks, rng).sum() == 3


@pytest.mark.parametrize("size, expected", [("base", (15, 1)), ("large", (85, 4))])
def test_shared_tickets_of_the_specification(size, expected):
    num_layers, num_heads = {"base": (12, 12), "large": (24, 16)}[size]
    rng = np.random.default_rng(0)
    heads, blocks = {}, {}
    for task, (num_removed, num_blocks) in enumerate(SHARED[size]):
        heads[f"task{task}"] = super_tickets.random_mask((num_layers, num_heads), num_removed, rng)
        blocks[f"task{task}"] = super_tickets.random_mask((num_layers,), num_blocks, rng)
    sizes = super_tickets.mean_num_removed(heads), super_tickets.mean_num_removed(blocks)
    assert sizes == expected


def test_masks_are_stacked_in_the_order_of_training():
    empty = super_tickets.winning_mask(IMPORTANCE, 0)
    masks = {"rte": super_tickets.winning_mask(IMPORTANCE, 5), "mnli": empty, "unused": empty}
    stacked = super_tickets.stack_masks(masks, ["mnli", "rte"])
    assert stacked.dtype == bool and stacked.shape == (2, 3, 4)
    assert stacked[0].all()
    np.testing.assert_array_equal(stacked[1], masks["rte"])


@pytest.mark.parametrize("tasks", [[], ["mnli", "rte"]])
def test_tasks_without_a_mask(tasks):
    message = (
        r"`masks` must have a mask for each of at least one task, received masks of \['mnli'\] "
        r"for the tasks \["
    )
    with pytest.raises(ValueError, match=message):
        super_tickets.stack_masks({"mnli": np.ones(3, bool)}, tasks)


def test_no_tasks_at_all():
    with pytest.raises(ValueError, match=r"received masks of \[\] for the tasks \[\]"):
        super_tickets.mean_num_removed({})


def test_tasks_of_other_shapes():
    masks = {"mnli": np.ones(3, bool), "rte": np.ones([2, 3], bool)}
    with pytest.raises(ValueError, match=r"must have masks of one shape, received \[\(2, 3\), \("):
        super_tickets.mean_num_removed(masks)
