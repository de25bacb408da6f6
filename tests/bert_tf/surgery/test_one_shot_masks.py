"""Masks by magnitude, at random and of blocks."""

import numpy as np
import pytest

from bert_tf.checkpoints import read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.surgery import masks, one_shot_masks, units
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


def test_dropped_blocks_leave_the_bias_and_the_norm_of_their_attention():
    config = EncoderConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=6,
    )
    found = one_shot_masks.of_blocks(config, [0, 2])
    assert {path: mask.tolist() for path, mask in found.items()} == {
        **{f"blocks.{i}.heads": [i != 1] * 2 for i in range(3)},
        **{f"blocks.{i}.ffn": [i != 1] for i in range(3)},
    }
    layers = units.config_under(config, found).layers
    assert [(one.num_heads, one.has_ffn) for one in layers] == [(2, True), (0, False), (2, True)]
    with pytest.raises(ValueError, match=r"`blocks` must be indexes of the 3 blocks .* \[3\]"):
        one_shot_masks.of_blocks(config, [0, 3])
