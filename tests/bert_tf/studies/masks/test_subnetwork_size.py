import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.models import model_info
from bert_tf.studies.masks import subnetwork_size
from bert_tf.surgery import units

BASE = EncoderConfig(vocab_size=30522)
LARGE = EncoderConfig(
    vocab_size=30522,
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
)
#: P of the specification: encoder and pooler.
TOTALS = {"base": (BASE, 109_482_240), "large": (LARGE, 335_141_888)}
ALL_HEADS, ALL_FFNS = np.ones([12, 12], bool), np.ones([12], bool)


def under(heads, ffn, config=BASE):
    return units.config_under(config, units.by_path({"heads": heads, "ffn": ffn}))


@pytest.mark.parametrize(
    ("name", "heads", "ffn", "percent"),
    [
        ("base", 14, 1, 93.2),
        ("base", 28, 2, 86.4),
        ("base", 43, 3, 79.3),
        ("base", 57, 4, 72.5),
        ("base", 72, 5, 65.5),
        ("base", 86, 6, 58.7),
        ("base", 100, 7, 51.9),
        ("base", 115, 8, 44.9),
        ("base", 15, 1, 93.0),
        ("large", 85, 4, 83.3),
    ],
)
def test_shares_left_as_published(name, heads, ffn, percent):
    config, total = TOTALS[name]
    hidden, inner, size = config.hidden_size, config.intermediate_size, config.head_size
    removed = heads * 4 * hidden * size + ffn * 2 * hidden * inner
    published = 1 - removed / total
    assert round(100 * published, 1) == percent
    # Biases are less than a thousandth of all.
    layers = config.num_hidden_layers
    kept = np.arange(layers * config.num_attention_heads) >= heads
    small = under(kept.reshape([layers, -1]), np.arange(layers) >= ffn, config)
    whole = model_info.num_parameters(config) - total
    exact = (subnetwork_size.sizes(small)["parameters"] - whole) / total
    assert published - 1e-3 < exact < published


def test_totals_are_the_models_without_their_task_head():
    for config, total in TOTALS.values():
        head = config.num_labels * (config.hidden_size + 1)
        assert model_info.num_parameters(config) == total + head


def test_a_removed_head_is_what_the_formula_says():
    heads = ALL_HEADS.copy()
    heads[3, :5] = False
    small = under(heads, ALL_FFNS)
    removed = model_info.num_parameters(BASE) - model_info.num_parameters(small)
    assert removed == 5 * 196_800
    left = 1 - removed / model_info.num_parameters(BASE)
    assert subnetwork_size.sizes(small)["share_of_all"] == pytest.approx(left)
    # All heads of a layer: the bias of its output stays.
    heads[3] = False
    small = under(heads, ALL_FFNS)
    assert model_info.num_parameters(BASE) - model_info.num_parameters(small) == 12 * 196_800


def test_a_removed_ffn_is_what_the_formula_says():
    small = under(ALL_HEADS, np.arange(12) != 2)
    removed = model_info.num_parameters(BASE) - model_info.num_parameters(small)
    assert removed == 4_722_432
    left = 1 - removed / model_info.num_parameters(BASE)
    assert subnetwork_size.sizes(small)["share_of_all"] == pytest.approx(left)


def test_the_two_bases():
    nothing = under(~ALL_HEADS, ~ALL_FFNS)
    sizes = subnetwork_size.sizes(nothing)
    norms_and_biases = 12 * (4 * 768 + 768)
    assert sizes["encoder_parameters"] == norms_and_biases
    blocks = 12 * (12 * 196_800 + 768 + 4_722_432 + 4 * 768)
    assert sizes["share_of_encoder"] == pytest.approx(norms_and_biases / blocks)
    assert subnetwork_size.encoder_parameters(BASE) == blocks
    # Embeddings are 21.77 % of all; next to them there are pooler, task head and what is left.
    assert sizes["share_of_all"] == pytest.approx(0.2177 + 0.0058, abs=1e-4)
    whole = subnetwork_size.sizes(BASE)
    assert whole["share_of_all"] == whole["share_of_encoder"] == 1.0


def test_the_original_need_not_be_dense():
    small = under(ALL_HEADS, np.arange(12) != 2)
    assert subnetwork_size.sizes(small, small)["share_of_all"] == 1.0
