"""What every registered head must do."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.heads.head import HEADS, head_of
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import expected_shapes
from flop_tf import surgery
from flop_tf.backend import keras

VOCAB = [f"word{i}" for i in range(11)]


@pytest.fixture(scope="module", params=sorted(HEADS))
def model(request):
    keras.utils.set_random_seed(0)
    return BertModel(
        EncoderConfig(
            vocab_size=len(VOCAB),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=12,
            max_position_embeddings=9,
            initializer_range=0.5,
            num_labels=HEADS[request.param].num_outputs or 3,
            head=request.param,
        )
    )


def features(width):
    mask = (np.arange(width) < np.array([[5], [3]])).astype(np.int32)
    ids = np.arange(18, dtype=np.int32).reshape(2, 9)[:, :width] % len(VOCAB) * mask
    return dict(zip(INPUT_NAMES, map(tf.constant, (ids, mask, 0 * ids)), strict=True))


def test_weights_are_in_a_layer_of_its_name(model):
    shapes = {path: array.shape for path, array in surgery.named_weights(model).items()}
    assert shapes == expected_shapes(model.config)
    head = head_of(model.config)
    owned = {p: s for p, s in shapes.items() if p.startswith(f"{head.layer_path}.")}
    assert head.weights == owned and getattr(model, head.layer_path).name == head.layer_path
    assert set(head.output_paths) <= head.weights.keys()
    assert all(head.weights[path][-1] == model.config.num_labels for path in head.output_paths)


def test_the_pooler_learns_only_where_it_is_read(model):
    trained = {id(variable) for variable in model.trainable_variables}
    assert (id(model.encoder.pooler.kernel) in trained) == model.head.reads_pooler


def test_logits_of_batches_of_any_width(model):
    narrow, wide = (model(features(width), training=False) for width in (5, 8))
    assert narrow.dtype == tf.float32 and np.isfinite(narrow).all()
    joined = [model.head.pad_to_max_length(logits).numpy() for logits in (narrow, wide)]
    if joined[0].shape == joined[1].shape:
        np.testing.assert_allclose(*joined, atol=1e-5)
    else:  # At every token, the padding included.
        np.testing.assert_allclose(narrow[0], wide[0, :5], atol=1e-5)
    assert model.head.multiplications(8) > 0


def test_answers_restore_the_logits(model):
    @tf.function
    def answers():
        logits = model(features(5), training=False)
        outputs = model.head.outputs(logits)
        given = model.head.answers(outputs, ("a", "b", "c"), VOCAB)
        return (
            logits,
            outputs,
            given,
            model.head.text_answers(given, features(5)[INPUT_NAMES[0]], VOCAB),
        )

    logits, outputs, given, more = answers()
    arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
    np.testing.assert_allclose(model.head.logits_of(arrays), logits, atol=1e-6)
    assert outputs.keys() <= given.keys() <= more.keys()
    assert {len(tensor) for tensor in more.values()} == {2}
