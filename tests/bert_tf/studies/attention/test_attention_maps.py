import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from bert_tf.data import batching
from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.encoders.execution import Execution
from bert_tf.models.bert import BertModel
from bert_tf.studies.attention import attention_maps
from flop_tf import gates, surgery
from flop_tf.layers.projection import ProjectionSpec

DENSE = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
    initializer_range=0.5,
)
GATE = gates.serialize(gates.get("hard_concrete", axis=0))
HEAD_GATE = gates.serialize(gates.get("hard_concrete", axis=2))
FACTORS = {name: ProjectionSpec(5) for name in ("query", "value", "attention_output")}
LAYERS = {
    "dense": (),
    "factorized": (LayerConfig(2, 12, FACTORS),) * 2,
    "gated": (
        LayerConfig(2, 12, {"attention_output": ProjectionSpec(6, GATE)}),
        LayerConfig(1, 12, {"attention_output": ProjectionSpec(0)}),
    ),
    "gates on heads": (LayerConfig(2, 12, gates={"heads": HEAD_GATE}),) * 2,
    "gates on attentions": (LayerConfig(2, 12, gates={"attention": HEAD_GATE}),) * 2,
    "compact": (LayerConfig(1, 12), LayerConfig(0, 12)),
}
LENGTHS = [7, 3, 5]


def make(stage):
    model = BertModel(dataclasses.replace(DENSE, layers=LAYERS[stage]))
    generator = np.random.default_rng(0)
    for path, variable in surgery.named_variables(model).items():
        if path.endswith(("bias", "log_alpha")):
            variable.assign(generator.normal(size=variable.shape))
    return model


@pytest.fixture
def examples():
    generator = np.random.default_rng(1)
    rows = [generator.integers(1, 50, length).tolist() for length in LENGTHS]
    ids = tf.ragged.constant(rows, tf.int32)
    return batching.EncodedExamples(ids, tf.zeros_like(ids), None, 8)


@pytest.fixture
def features(examples):
    mask = tf.sequence_mask(LENGTHS, 8, tf.int32)
    ids = examples.ids.to_tensor(shape=[3, 8])
    return dict(zip(INPUT_NAMES, (ids, mask, tf.zeros_like(ids)), strict=True))


def heads(tensor, length, number):
    """Returns `[B T, N D]` as `[B, N, T, D]` of the first texts."""
    array = np.reshape(tensor, [-1, length, number, 4])
    return array.transpose(0, 2, 1, 3)


def output_kernel(layer):
    if hasattr(layer, "kernel"):
        return layer.kernel.numpy()
    if not layer.rank:
        return np.zeros([layer.inputs, 8])
    open_ = 1.0 if layer.gate is None else layer.gate.mask(training=False).numpy()
    return layer.factor_in.numpy() * open_ @ layer.factor_out.numpy()


def test_norm_of_a_single_head():
    # Vector C18 of the specification; its output projection is stored `[out, in]`.
    stored = np.array([[1, 0, 2, 1], [0, 1, 1, -1], [3, 1, 0, 0], [1, 1, 1, 1]], np.float32)
    values = np.array([[1, 2], [0, 1]], np.float32)
    weights = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    found = attention_maps.weighted_norms(
        weights[None, None], tf.constant(values[None, None]), tf.constant(stored.T[:2])
    )
    np.testing.assert_allclose(found[0, 0], [[4.6837, 0.4330], [3.1225, 0.8660]], atol=1e-4)
    # With all four inputs, this is head 0 of two.
    both = attention_maps.weighted_norms(
        np.stack([weights] * 2)[None], tf.constant(np.stack([values] * 2)[None]), stored.T
    )
    np.testing.assert_allclose(both[0, 0], found[0, 0], rtol=1e-6)


@pytest.mark.parametrize("stage", LAYERS)
def test_maps_follow_their_equations(stage, features):
    model = make(stage)
    maps = attention_maps.attention_maps(model)(features)
    received = model.encoder(features, training=False)["projection_inputs"]
    mask = features["input_mask"].numpy()
    assert len(maps) == 2
    for block, inputs, found in zip(model.encoder.blocks, received, maps, strict=True):
        number = block.layer.num_heads
        assert found.probabilities.shape == found.norms.shape == (3, number, 8, 8)
        if not number:
            continue
        values = heads(block.value(inputs["value"]), 8, number)
        # What the encoder handed on is the weighted sum of the values.
        real = mask[:, None, :, None]
        context = heads(inputs["attention_output"], 8, number)
        open_ = np.ones([number])
        if "heads" in block.layer.gates:
            open_ = block.heads_gate.mask(training=False).numpy()
            assert 0 < open_.min() < open_.max()
        if "attention" in block.layer.gates:
            open_ = open_ * block.attention_gate.mask(training=False).numpy()
            assert 0 < open_[0] < 1
        values = values * open_[:, np.newaxis, np.newaxis]
        np.testing.assert_allclose(
            (found.probabilities.numpy() @ values) * real, context * real, atol=1e-5
        )
        kernel = output_kernel(block.attention_output).reshape([number, 4, 8])
        for b, h, j, k in np.ndindex(*found.norms.shape):
            added = found.probabilities[b, h, j, k].numpy() * values[b, h, k] @ kernel[h]
            assert found.norms[b, h, j, k].numpy() == pytest.approx(np.linalg.norm(added), abs=1e-5)


def test_padding_is_left_out(features):
    maps = attention_maps.attention_maps(BertModel(DENSE))
    found = maps(features)
    for block in found:
        for each in block:
            for row, length in zip(each.numpy(), LENGTHS, strict=True):
                assert not row[:, length:].any() and not row[:, :, length:].any()
                assert (row[:, :length, :length] > 0).all()
    # The same graph, whatever the width and what else the features hold.
    narrow = maps({**{name: each[:2, :7] for name, each in features.items()}, "more": 1})
    np.testing.assert_allclose(narrow[1].norms, found[1].norms[:2, :, :7, :7], atol=1e-6)
    # A row that only fills up a batch has no token.
    mask = features["input_mask"] * [[1], [0], [1]]
    (first, _) = maps({**features, "input_mask": mask})
    assert not first.probabilities[1].numpy().any() and np.isfinite(first.norms).all()


def test_entropy(examples):
    model = make("compact")
    dataset = batching.evaluation_dataset(examples, 2)
    found = attention_maps.attention_entropy(model, dataset)
    assert [each.shape[0] for each in found] == [layer.num_heads for layer in model.config.layers]
    maps = attention_maps.attention_maps(model)
    total = [0.0] * 2
    for features, *_ in batching.evaluation_dataset(examples, 1):
        for index, block in enumerate(maps(features)):
            total[index] += special.entr(block.probabilities).sum(axis=(0, 2, 3))
    for entropy, expected in zip(found, total, strict=True):
        np.testing.assert_allclose(entropy, expected / sum(LENGTHS), rtol=1e-4)
        assert (entropy < np.log(7)).all()


def test_the_entropy_of_nothing(examples):
    dataset = batching.evaluation_dataset(examples, 2).take(0)
    with pytest.raises(ValueError, match="`dataset` must have at least one token"):
        attention_maps.attention_entropy(BertModel(DENSE), dataset)


def test_fused_attention(features):
    """An exported model's query, key and value are one product, with the scale in it."""
    model = BertModel(DENSE)
    fused = BertModel(DENSE, execution=Execution(fused_blocks=(0, 1)))
    for old, new in zip(model.encoder.blocks, fused.encoder.blocks, strict=True):
        kernels = [old.query.kernel / 2.0, old.key.kernel, old.value.kernel]
        new.attention_inputs.kernel.assign(tf.concat(kernels, 1))
        biases = [old.query.bias / 2.0, old.key.bias, old.value.bias]
        new.attention_inputs.bias.assign(tf.concat(biases, 0))
    for path, variable in surgery.named_variables(fused).items():
        if "attention_inputs" not in path:
            variable.assign(surgery.named_variables(model)[path])
    expected = attention_maps.attention_maps(model)(features)
    found = attention_maps.attention_maps(fused)(features)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.norms, other.norms, atol=1e-5)
