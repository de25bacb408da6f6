import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.checkpoints import Source, model_dir
from bert_tf.encoders.config import GATED_UNITS, EncoderConfig, LayerConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.surgery import compression, units
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import gates, surgery

CONFIG = EncoderConfig(
    vocab_size=13,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=10,
    max_position_embeddings=9,
    initializer_range=0.5,
)
BASE = EncoderConfig(vocab_size=30522)


def batch():
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 13, [4, 7]).astype(np.int32)
    mask = np.array([[1] * n + [0] * (7 - n) for n in (7, 3, 5, 1)], np.int32)
    arrays = (ids, mask, np.zeros_like(ids))
    return dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True))


def randomize(model):
    """Gives every weight but those of gates random values: biases start at 0."""
    generator = np.random.default_rng(1)
    for path, variable in surgery.named_variables(model).items():
        if path.endswith(".bias"):
            variable.assign(generator.normal(size=variable.shape))


def dense():
    model = BertModel(CONFIG)
    randomize(model)
    return model


def factorized():
    model = dense()
    source = Source(CONFIG, surgery.named_weights(model), None, None, "live")
    return compression.factorize(source, rank=4)[0]


def gated(model, values, name="fixed", kinds=GATED_UNITS):
    """Returns the model with gates on its units, set to `values`."""
    copy = BertModel(units.with_gates(model.config, kinds, name))
    weights = surgery.named_weights(model)
    copies = surgery.named_variables(copy)
    surgery.assign_weights(copy, weights, new=set(copies) - set(weights))
    for path, gate in copy.encoder.unit_gates():
        if path in values:
            getattr(gate, gate.variable_name).assign(values[path])
    return copy


MASKS = {
    "some": {
        "blocks.0.heads": [1, 0, 1],
        "blocks.1.heads": [0, 0, 1],
        "blocks.0.neurons": [1, 0] * 5,
        "blocks.1.ffn": [0],
    },
    "all heads of a layer": {"blocks.0.heads": [0, 0, 0]},
    "all neurons of a layer": {"blocks.1.neurons": [0] * 10},
    "neurons of an FFN that goes": {"blocks.1.neurons": [0] * 10, "blocks.1.ffn": [0]},
    "everything": {
        **{f"blocks.{i}.heads": [0, 0, 0] for i in range(2)},
        **{f"blocks.{i}.ffn": [0] for i in range(2)},
    },
    "parts": {
        "blocks.0.heads": [0.5, 0, 0.1],
        "blocks.1.neurons": np.linspace(0, 1, 10),
        "blocks.0.ffn": [0.3],
    },
    "sublayers": {"blocks.0.attention": [0], "blocks.1.feed_forward": [0]},
    "units of sublayers that stay, and of one that goes": {
        "blocks.0.heads": [1, 0, 0.5],
        "blocks.0.attention": [0.7],
        "blocks.1.neurons": [1, 0] * 5,
        "blocks.1.feed_forward": [0],
        "blocks.0.feed_forward": [0.2],
    },
    "a sublayer without any unit": {"blocks.0.heads": [0, 0, 0], "blocks.0.attention": [0.5]},
    "nothing": {},
}


@pytest.mark.parametrize("make", [dense, factorized])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_what_is_removed_is_what_was_masked(make, mask):
    model = make()
    config, weights = units.remove(model.config, surgery.named_weights(model), mask)
    compact = BertModel(config)
    surgery.assign_weights(compact, weights)
    masked = gated(model, mask)
    np.testing.assert_allclose(compact(batch()), masked(batch()), atol=1e-5)
    if mask:
        assert np.abs(compact(batch()) - model(batch())).max() > 1e-3


def test_sizes_of_what_is_left():
    config, _ = units.remove(CONFIG, surgery.named_weights(dense()), MASKS["some"])
    first, second = config.layers
    assert (first.num_heads, first.intermediate_size, first.has_ffn) == (2, 5, True)
    assert (second.num_heads, second.intermediate_size, second.has_ffn) == (1, 0, False)
    assert model_info.stage(config) == "compact"
    everything, weights = units.remove(CONFIG, surgery.named_weights(dense()), MASKS["everything"])
    left = {path for path in weights if ".blocks.0." in path}
    norms = {
        f"encoder.blocks.0.{n}.{w}"
        for n in ("attention_norm", "ffn_norm")
        for w in ("gamma", "beta")
    }
    assert left == norms | {"encoder.blocks.0.attention_output.bias"}
    assert list(everything.units()) == []


def with_layer(**changes):
    """BERT-base whose first block differs."""
    layer = dataclasses.replace(BASE.layers[0], **changes)
    return dataclasses.replace(BASE, layers=(layer, *BASE.layers[1:]))


def test_parameters_of_bert_base():
    """Vector C15 of the specification; a layer without heads keeps the bias of its output."""
    total = model_info.num_parameters(BASE)
    without_head = with_layer(num_heads=11)
    assert total - model_info.num_parameters(without_head) == 196_800
    without_ffn = with_layer(intermediate_size=0, has_ffn=False)
    assert total - model_info.num_parameters(without_ffn) == 4_722_432
    assert total - model_info.num_parameters(with_layer(num_heads=0)) == 12 * 196_800


def test_a_sublayer_that_goes_leaves_its_bias():
    mask = {"blocks.0.attention": [0], "blocks.1.feed_forward": [0]}
    config, weights = units.remove(CONFIG, surgery.named_weights(dense()), mask)
    first, second = config.layers
    assert (first.num_heads, second.intermediate_size, second.has_ffn) == (0, 0, True)
    left = {f"encoder.blocks.{path}.bias" for path in ("0.attention_output", "1.ffn_out")}
    assert left < set(weights)


def test_gates_that_a_mask_does_not_name_stay_where_they_have_units():
    source = dense()
    model = gated(source, {"blocks.0.heads": [1, 0, 1]})
    config, weights = units.remove(
        model.config,
        surgery.named_weights(model),
        {"blocks.0.attention": [0.5], "blocks.1.heads": [0, 0, 0], "blocks.1.ffn": [0]},
    )
    first, second = config.layers
    assert first.gates.keys() == {"heads", "neurons", "ffn", "feed_forward"}
    assert second.gates.keys() == set()
    left = BertModel(config)
    surgery.assign_weights(left, weights)
    expected = {"blocks.0.heads": [1, 0, 1], "blocks.0.attention": [0.5]}
    expected |= {"blocks.1.heads": [0, 0, 0], "blocks.1.ffn": [0]}
    masked = gated(source, expected)
    np.testing.assert_allclose(left(batch()), masked(batch()), atol=1e-5)


@pytest.mark.parametrize("make", [dense, factorized])
def test_remove_masks_takes_unit_gates_and_rank_gates(make):
    values = {"blocks.0.heads": [1, 0, 0.5], "blocks.1.ffn": [0], "blocks.0.neurons": [1, 0] * 5}
    model = make()
    if make is factorized:
        weights = surgery.named_weights(model)
        ranked = BertModel(compression.with_gates(model.config, "hard_concrete"))
        new = [path for path in surgery.named_variables(ranked) if path.endswith(".log_alpha")]
        surgery.assign_weights(ranked, weights, new=new)
        for gate in ranked.gates:
            gate.log_alpha.assign([4, -4, 0, 1][: gate.log_alpha.shape[0]])
        model = ranked
    masked = gated(model, values)
    assert model_info.stage(masked.config) == "gated"
    compact = compression.remove_masks(masked)
    assert not compact.config.has_gates
    np.testing.assert_allclose(compact(batch()), masked(batch()), atol=1e-5)


def test_hard_concrete_gates_on_heads_train():
    half_open = {f"blocks.{index}.heads": [0.0, 0.0, 0.0] for index in range(2)}
    model = gated(dense(), half_open, "hard_concrete", ["heads"])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch(), training=True) ** 2)
    gradients = tape.gradient(loss, model.gate_variables())
    assert len(gradients) == 2 and all(np.abs(g).max() > 0 for g in gradients)


def test_a_new_mask_needs_no_new_trace():
    model = gated(dense(), {})
    traces = []

    @tf.function
    def forward(features):
        traces.append(1)
        return model(features, training=False)

    first = forward(batch())
    for _, gate in model.encoder.unit_gates():
        gate.values.assign(np.zeros(gate.values.shape))
    assert np.abs(forward(batch()) - first).max() > 1e-3
    assert len(traces) == 1


def test_a_model_without_units_is_saved_and_loaded(tmp_path, vocab_file):
    config = dataclasses.replace(CONFIG, vocab_size=22)
    model = BertModel(config)
    randomize(model)
    config, weights = units.remove(config, surgery.named_weights(model), MASKS["some"])
    compact = BertModel(config)
    surgery.assign_weights(compact, weights)
    model_dir.save(tmp_path, compact, Tokenizer(vocab_file))
    loaded = model_dir.load(tmp_path)
    assert loaded.config == config
    np.testing.assert_array_equal(loaded(batch()), compact(batch()))


def test_the_config_of_gates_and_missing_ffns_is_plain_data():
    gated_config = units.with_gates(CONFIG, ["heads", "ffn"], "importance", reducer="example")
    assert EncoderConfig.from_dict(gated_config.to_dict()) == gated_config
    names = {gates.deserialize(layer.gates["heads"]).name for layer in gated_config.layers}
    assert names == {"block_0_heads_gate", "block_1_heads_gate"}
    without = LayerConfig(3, 0, has_ffn=False)
    config = dataclasses.replace(CONFIG, layers=(without, CONFIG.layers[1]))
    assert EncoderConfig.from_dict(config.to_dict()) == config
    assert math.prod(config.layers[0].names().count(n) for n in ("ffn_in", "ffn_out")) == 0


@pytest.mark.parametrize(
    "mask, text",
    [
        ({"blocks.2.heads": [1, 1, 1]}, "no such units at 'blocks.2.heads', received a mask of"),
        ({"blocks.0.heads": [1, 1]}, r"3 units at 'blocks.0.heads', received .* shape \(2,\)"),
        ({"blocks.0.ffn": 1.0}, r"1 units at 'blocks.0.ffn', received a mask of shape \(\)"),
    ],
)
def test_a_mask_of_another_model_is_refused(mask, text):
    with pytest.raises(ValueError, match=text):
        units.remove(CONFIG, {}, mask)


def test_refusals_of_the_config():
    with pytest.raises(ValueError, match="`gates` expects names of .*, received .'blocks'."):
        units.with_gates(CONFIG, ["blocks"], "fixed")
    with pytest.raises(
        ValueError, match="`intermediate_size` must be 0 without an FFN, received 3"
    ):
        LayerConfig(1, 3, has_ffn=False)
