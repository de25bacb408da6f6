import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.studies.masks import kept_units
from bert_tf.surgery import masks

CONFIG = EncoderConfig(
    vocab_size=9,
    hidden_size=4,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=6,
    max_position_embeddings=8,
)


def saved(tmp_path, mask):
    path = str(tmp_path / "mask.safetensors")
    masks.save(path, CONFIG, mask, "magnitude: good")
    return path


def test_the_shares_of_heads_and_ffns(tmp_path):
    query = np.ones([4, 4], bool)
    query[:, 2:] = False  # Of head 1 nothing.
    output = np.zeros([4, 4], bool)
    output[0] = True  # Of head 0 half, the first of its two rows.
    mask = {
        "blocks.0.query.kernel": query,
        "blocks.0.attention_output.kernel": output,
        "blocks.1.ffn_in.kernel": np.arange(24).reshape(4, 6) < 6,
        "blocks.1.ffn_out.kernel": np.arange(24).reshape(6, 4) < 12,
    }
    found = kept_units.weight_shares(saved(tmp_path, mask), CONFIG)
    # Key and value are not named and whole.
    np.testing.assert_allclose(found["heads"], [[3.5 / 4, 2 / 4], [1, 1]])
    np.testing.assert_allclose(found["ffn"], [1, 0.75 / 2])


def test_a_mask_of_units_is_refused(tmp_path):
    path = saved(tmp_path, {"blocks.0.heads": np.array([True, False])})
    with pytest.raises(ValueError, match="must be one of weights of the blocks, received one of b"):
        kept_units.weight_shares(path, CONFIG)
