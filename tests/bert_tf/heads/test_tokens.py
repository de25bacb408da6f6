"""The head of labelled tokens: logits, loss, distillation and padding."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.heads import losses
from bert_tf.heads.span import MASKED
from bert_tf.heads.tokens import WORD_STARTS, Tokens
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import POOLER
from bert_tf.runs.distillation import Distillation
from flop_tf import randomness, surgery

CONFIG = EncoderConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
    num_labels=3,
    head="tokens",
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
LABELS = np.array([[-1, 2, -1, 0, -1, -1], [-1, 1, -1, -1, -1, -1], [-1] * 6], np.int32)


def features(width=5):
    mask = (np.arange(width) < np.array([[5], [3], [2]])).astype(np.int32)
    ids = np.arange(27, dtype=np.int32).reshape(3, 9)[:, :width] % 13 * mask
    return dict(zip(INPUT_NAMES, map(tf.constant, (ids, mask, 0 * ids)), strict=True))


def test_logits_are_of_tokens_and_padding_has_none():
    model = BertModel(CONFIG)
    logits = model(features(7), training=False)
    hidden = model.encoder(features(7), training=False)["sequence_output"]
    expected = (hidden @ model.tokens.kernel + model.tokens.bias).numpy()
    np.testing.assert_allclose(logits[0, :5], expected[0, :5], atol=1e-6)
    np.testing.assert_array_equal(logits[1, 3:], MASKED)
    padded = model.head.pad_to_max_length(logits)
    assert padded.shape == (3, 9, 3) and (padded[:, 7:].numpy() == MASKED).all()
    assert model.head.multiplications(5) == 5 * 8 * 3
    array = logits.numpy()
    np.testing.assert_array_equal(Tokens.of_outputs(array, [2, 0]), array[..., [2, 0]])
    np.testing.assert_array_equal(Tokens.of_outputs(logits, slice(1, 3)), array[..., 1:])


def test_dropout_is_on_in_training_alone():
    model = BertModel(dataclasses.replace(CONFIG, hidden_dropout_prob=0.5))
    calm = [model(features(), training=False).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    layer = model.tokens
    with randomness.step_scope(0, 1):
        dropped = layer(tf.ones([40, 5, 8]), training=True) - layer(tf.ones([40, 5, 8]))
    assert (np.abs(dropped) > 1e-3).any()


def test_the_loss_is_the_mean_over_labelled_tokens():
    logits = np.random.default_rng(0).normal(size=[3, 5, 3]).astype(np.float32)
    logits[1, 3:] = MASKED
    entropy = -tf.nn.log_softmax(logits).numpy()
    loss = Tokens.loss(3)
    by_text = loss.call(tf.constant(LABELS), tf.constant(logits)).numpy()
    first, second = (entropy[0, 1, 2], entropy[0, 3, 0]), entropy[1, 1, 1]
    np.testing.assert_allclose(by_text, [np.mean(first), second, 0], rtol=1e-5)
    sizes = (LABELS >= 0).sum(axis=1)
    weights = sizes * np.float32(3 / sizes.sum())
    found = loss(LABELS, tf.constant(logits), sample_weight=weights)
    assert float(found) == pytest.approx((sum(first) + second) / 3, rel=1e-5)


def test_unlabelled_texts_give_no_gradient():
    model = BertModel(CONFIG)
    with tf.GradientTape() as tape:
        loss = model.head.loss(3)(np.full([3, 9], -1), model(features()))
    gradients = tape.gradient(loss, model.tokens.trainable_variables)
    assert float(loss) == 0 and all((np.asarray(one) == 0).all() for one in gradients)


def test_distillation_counts_the_first_tokens_of_words():
    rng = np.random.default_rng(0)
    teacher, student = (rng.normal(size=[3, w, 3]).astype(np.float32) for w in (9, 5))
    counted = (LABELS >= 0).astype(np.int32)
    log_t, log_s = (tf.nn.log_softmax(x / 2).numpy() for x in (teacher[:, :5], student))
    distance = 4 * (np.exp(log_t) * (log_t - log_s)).sum(axis=-1)
    expected = [distance[0, [1, 3]].mean(), distance[1, 1], 0]
    found = losses.distillation_loss(teacher, student, 2.0, counted=counted)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)
    weights = np.array([2.0, 1.0, 0.0], np.float32)
    found = losses.distillation_loss(teacher, student, 2.0, weights, counted)
    assert float(found) == pytest.approx(np.mean(weights * expected), rel=1e-5)


@pytest.mark.parametrize("named", [True, False])
def test_what_a_teacher_says_of_padding_changes_nothing(named):
    model = BertModel(CONFIG)
    model.compile("sgd", loss=model.head.loss(3))
    starts = {WORD_STARTS: tf.constant((LABELS >= 0).astype(np.int32))} if named else {}
    teacher = np.random.default_rng(0).normal(size=[3, 9, 3]).astype(np.float32)
    counted = np.zeros([3, 9], bool)
    counted[:, :5] = features()["input_mask"]
    if named:
        counted[:, :6] = LABELS >= 0
    found = []
    for noise in (0, 7):
        changed = np.where(counted[..., np.newaxis], teacher, teacher[..., ::-1] * noise)
        x = {**features(), **starts, losses.TEACHER_LOGITS: tf.constant(changed, tf.float32)}
        found.append(float(Distillation(0.5, 2.0)(model, x, tf.constant(LABELS), None)[0]))
    assert found[0] == pytest.approx(found[1], rel=1e-6) and found[0] > 0


def test_the_pooler_rests_and_labels_have_names():
    model = BertModel(CONFIG)
    trained = {id(variable) for variable in model.trainable_variables}
    variables = surgery.named_variables(model)
    assert not trained & {id(variables[path]) for path in POOLER}
    outputs = model.head.outputs(tf.constant([[[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]]]))
    answers = model.head.answers(outputs, ("O", "B-a", "I-a"), [])
    assert answers["labels"].numpy().tolist() == [[b"B-a", b"O"]]
    assert model.head.answers(outputs, None, []) is outputs
