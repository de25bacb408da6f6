import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.checkpoints import Source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models.bert import BertModel
from bert_tf.surgery import compression, masks, units
from flop_tf import BertAdam, surgery
from flop_tf.backend import keras

CONFIG = EncoderConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
)


@pytest.fixture
def source():
    return Source(CONFIG, surgery.named_weights(BertModel(CONFIG)), None, None, "live")


def batch():
    ids = np.random.default_rng(0).integers(0, 13, [4, 7]).astype(np.int32)
    arrays = (ids, np.ones_like(ids), np.zeros_like(ids))
    return dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True))


def half(source):
    """A mask of every second weight of all kernels."""
    return {
        path: np.arange(kernel.size).reshape(kernel.shape) % 2 == 0
        for path, kernel in masks.kernels(source).items()
    }


def removed(source, unit_mask):
    config, weights = units.remove(source.config, source.weights, unit_mask)
    return dataclasses.replace(source, config=config, weights=weights).model()


def test_units_are_removed_and_weights_are_masked(source):
    unit_mask = {
        "blocks.0.heads": np.array([True, False]),
        "blocks.0.neurons": np.arange(12) < 5,
        "blocks.1.ffn": np.array([False]),
    }
    found = masks.apply(source, {**half(source), **unit_mask})
    model = found.model()
    weights = {
        path: array * half(source).get(path.removeprefix("encoder."), 1)
        for path, array in source.weights.items()
    }
    expected = removed(dataclasses.replace(source, weights=weights), unit_mask)
    np.testing.assert_allclose(model(batch()), expected(batch()), atol=1e-6)
    kept = np.concatenate([g.values.numpy().ravel() for g in model.gates])
    total = sum(i * o for *_, (i, o) in CONFIG.projections())
    assert float(model.budget().stored_sparsity()) == pytest.approx(1 - kept.sum() / total)
    compact = compression.remove_masks(model)
    np.testing.assert_allclose(compact(batch()), model(batch()), atol=1e-5)


def test_masked_weights_stay_zero_in_training(source):
    model = masks.apply(source, half(source)).model()
    optimizer = BertAdam(1e-2, weight_decay=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss)
    before = surgery.named_weights(model)
    labels = np.array([0, 1, 1, 0])
    model.fit(batch(), labels, epochs=3, batch_size=4, verbose=0)
    for path, kept in half(source).items():
        kernel = surgery.named_weights(model)[f"encoder.{path}"]
        assert not kernel[~kept].any()
        assert (kernel != before[f"encoder.{path}"])[kept].mean() > 0.9


def test_the_file_of_a_mask(source, tmp_path):
    path = str(tmp_path / "mask.safetensors")
    masks.save(path, CONFIG, half(source), "magnitude", seed=3)
    saved = masks.load(path, dataclasses.replace(CONFIG, num_labels=5))
    assert (saved.method, saved.provenance) == ("magnitude", {"seed": 3})
    for name, kept in half(source).items():
        np.testing.assert_array_equal(saved.masks[name], kept)


@pytest.mark.parametrize("change", [{"num_attention_heads": 4}, {"intermediate_size": 16}])
def test_the_mask_of_another_architecture_is_refused(source, tmp_path, change):
    path = str(tmp_path / "mask.safetensors")
    masks.save(path, CONFIG, half(source), "magnitude")
    with pytest.raises(ValueError, match="has masks of another model"):
        masks.load(path, dataclasses.replace(CONFIG, **change))


def test_a_mask_leaves_something(source):
    nothing = {path: ~kept for path, kept in units.full_mask(CONFIG, "heads", "ffn").items()}
    with pytest.raises(ValueError, match="must leave a head or an FFN of the model, received one"):
        masks.apply(source, nothing)
    left = masks.apply(source, {**nothing, "blocks.1.ffn": np.array([True])})
    assert [layer.intermediate_size for layer in left.config.layers] == [0, 12]


def test_weights_of_factors_cannot_be_masked(source):
    mask = half(source)
    model, _ = compression.factorize(source, rank=4)
    factorized = dataclasses.replace(
        source, config=model.config, weights=surgery.named_weights(model)
    )
    with pytest.raises(ValueError, match="has no dense kernel at 'blocks.0.query.kernel', receiv"):
        masks.apply(factorized, mask)
    with pytest.raises(ValueError, match=r"has \(8, 8\) at 'blocks.0.query.kernel', received .*2"):
        masks.apply(source, {"blocks.0.query.kernel": np.ones([8, 2], bool)})
