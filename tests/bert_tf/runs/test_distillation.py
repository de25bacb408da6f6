"""The loss of a student."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.checkpoints import read_source
from bert_tf.heads import losses
from bert_tf.heads.classifier import Classifier
from bert_tf.runs import finetuning, layer_match
from bert_tf.runs.distillation import Distillation, LayerDistillation, hidden_distance
from flop_tf.backend import keras


def test_share_of_the_teacher():
    model = keras.Sequential([keras.layers.Dense(3)])
    model.head = Classifier(None)
    model.compile("sgd", loss=losses.task_loss(False))
    logits, labels = tf.constant([[1.0, 2.0, 0.5]]), tf.constant([1])
    taught = {losses.TEACHER_LOGITS: tf.constant([[0.0, 1.0, 3.0]])}

    def loss(x, alpha):
        found, predicted = Distillation(alpha, 2.0, task_loss)(model, x, labels, None)
        assert predicted is logits
        return float(found)

    def task_loss(model, x, y, sample_weight):
        return model.compute_loss(x, y, logits, sample_weight), logits

    task, teacher = loss({}, 0.9), loss(taught, 1.0)
    assert loss(taught, 0.25) == pytest.approx(0.75 * task + 0.25 * teacher, abs=1e-6)
    expected = losses.distillation_loss(taught[losses.TEACHER_LOGITS], logits, 2.0)
    assert teacher == pytest.approx(float(expected))


def test_an_unknown_match():
    with pytest.raises(ValueError, match="`match` must be one of same, moving, received 'near'"):
        LayerDistillation(0.3, 2.0, 0.6, None, "near")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"alpha": 1.5}, r"`distill_alpha` must be in \[0, 1\], received 1.5"),
        ({"alpha": 0.5, "temperature": 0}, "`distill_temperature` must be above 0, received 0"),
    ],
)
def test_errors_of_distillation(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Distillation(**arguments)


def test_distance_of_hidden_states():
    teachers = tf.constant([[[3.0, 4.0], [1.0, 0.0]], [[0.0, 2.0], [9.0, 9.0]]])
    students = tf.constant([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 3.0], [0.0, 0.0]]])
    mask = tf.constant([[1, 1], [1, 0]])
    # Tokens of the first text miss 0 and 1 of what they are, the one of the second 1 / 4.
    assert float(hidden_distance(students, teachers, mask)) == pytest.approx((0.5 + 0.25) / 2)
    weights = tf.constant([0.0, 2.0])
    assert float(hidden_distance(students, teachers, mask, weights)) == pytest.approx(0.25)


def test_matches_by_hand():
    """Teacher blocks 0, 2, 3 and 5 of six; the cheapest increasing map leaves 1 and 4 out."""
    costs = 10.0 + np.arange(36.0).reshape([6, 6])
    for own, theirs, cost in ((0, 0, 1.0), (2, 2, 2.0), (3, 3, 3.0), (5, 5, 4.0), (0, 5, 0.0)):
        costs[own, theirs] = cost
    calls = []

    def distance(own, theirs):
        calls.append((own, theirs))
        return tf.constant(costs[own, theirs], tf.float32)

    assert float(layer_match.moving(distance, 6)) == pytest.approx((1 + 2 + 3 + 4) * 6 / 4)
    assert {theirs for _, theirs in calls} == {0, 2, 3, 5} and len(calls) == 24
    assert float(layer_match.same(distance, 6)) == pytest.approx(np.trace(costs))
    assert float(layer_match.moving(distance, 1)) == pytest.approx(1.0)


def test_shares_of_task_logits_and_hidden_states(bert_dir):
    source = read_source(bert_dir)
    student, teacher = (
        source.model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0) for _ in range(2)
    )
    kernel = student.encoder.blocks[0].ffn_out.kernel
    kernel.assign(0.5 * kernel)
    student.compile("sgd", loss=losses.task_loss(False))
    ids, mask = tf.constant([[2, 5, 6, 3], [2, 7, 3, 0]]), tf.constant([[1, 1, 1, 1], [1, 1, 1, 0]])
    x = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": 0 * ids}
    x[losses.TEACHER_LOGITS] = teacher(x)
    labels = tf.constant([1, 0])
    loss, logits = LayerDistillation(0.25, 2.0, 0.5, teacher)(student, x, labels, None)
    (ours,), (theirs,) = (m.encoder(x)["encoder_outputs"] for m in (student, teacher))
    expected = 0.25 * student.compute_loss(x, labels, student(x), None)
    expected += 0.25 * losses.distillation_loss(x[losses.TEACHER_LOGITS], student(x), 2.0)
    expected += 0.5 * hidden_distance(ours, theirs, mask)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_a_run_that_learns_hidden_states(options, tmp_path):
    dense = str(tmp_path / "dense")
    finetuning.finetune(options(output_dir=dense, num_train_epochs=2.0))
    taught = {"teacher": dense, "distill_alpha": 0.3, "distill_layers": 0.6}
    scores = {
        parts: finetuning.finetune(
            options(
                output_dir=str(tmp_path / f"taught{parts}"),
                num_train_epochs=1.0,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                gradient_accumulation_steps=parts,
                **taught,
            )
        )
        for parts in (1, 2)
    }
    losses_found = [scores[parts]["dev"]["eval_loss"] for parts in (1, 2)]
    assert losses_found[0] == pytest.approx(losses_found[1], rel=1e-3)


def test_errors_of_hidden_shares(options, bert_dir, tmp_path):
    with pytest.raises(ValueError, match="`distill_alpha` and `distill_layers` must add up to at"):
        options(teacher="dense", distill_layers=0.6)
    with pytest.raises(ValueError, match="`distill_layers` must be left out without a `teacher`"):
        options(distill_layers=0.1)
    with pytest.raises(ValueError, match="`distill_match` must be left out without a `distill_l"):
        options(teacher="dense", distill_match="moving")
