"""Masks by magnitude and at random."""

import numpy as np
import pytest

from bert_tf.checkpoints import read_source
from bert_tf.surgery import masks, one_shot_masks
from flop_tf.training import mask_rules


@pytest.mark.parametrize("kind", ["magnitude", "random"])
def test_one_shot_masks(bert_dir, kind):
    found = one_shot_masks.one_shot(read_source(bert_dir), kind, 0.7, seed=1)
    for mask in found.values():
        assert mask.size - mask.sum() == mask_rules.num_pruned(mask.size, 0.7)
    other = one_shot_masks.one_shot(read_source(bert_dir), kind, 0.7, seed=2)
    same = all(np.array_equal(found[path], other[path]) for path in found)
    assert same == (kind == "magnitude")
    with pytest.raises(ValueError, match=r"`sparsity` must be in \[0, 1\), received 1"):
        one_shot_masks.one_shot(read_source(bert_dir), kind, 1)
    gated = masks.apply(read_source(bert_dir), found)
    with pytest.raises(ValueError, match="to mask must be dense, received one with factors, gate"):
        one_shot_masks.one_shot(gated, kind, 0.5)
