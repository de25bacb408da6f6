import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from bert_tf.heads import losses

STUDENT = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], np.float32)
TEACHER = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]], np.float32)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_is_the_divergence(temperature):
    teacher = scipy.special.softmax(TEACHER.astype(np.float64) / temperature, axis=1)
    student = scipy.special.softmax(STUDENT.astype(np.float64) / temperature, axis=1)
    expected = temperature**2 * scipy.special.rel_entr(teacher, student).sum(axis=1).mean()
    found = losses.distillation_loss(tf.constant(TEACHER), tf.constant(STUDENT), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_teacher_itself_has_no_loss():
    teacher = tf.constant(TEACHER)
    assert float(losses.distillation_loss(teacher, teacher, 2.0)) == pytest.approx(0, abs=1e-6)


def test_distillation_of_a_regression():
    teacher, student = tf.constant([[1.0], [2.0]]), tf.constant([[2.0], [5.0]])
    assert float(losses.distillation_loss(teacher, student, 3.0)) == 5.0


def test_a_teacher_of_wider_spans_is_cut():
    teacher = np.concatenate([TEACHER, np.full([2, 4], -1e9, np.float32)], axis=1)
    wide, narrow = (
        float(losses.distillation_loss(tf.constant(t), tf.constant(STUDENT), 2.0))
        for t in (teacher, TEACHER)
    )
    assert wide == pytest.approx(narrow, rel=1e-6)


def test_loss_of_a_classification():
    expected = -np.mean(scipy.special.log_softmax(STUDENT, axis=1)[[0, 1], [2, 0]])
    found = losses.task_loss(False)(tf.constant([2, 0]), tf.constant(STUDENT))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_loss_of_a_regression_does_not_broadcast():
    # Labels are [B], predictions [B, 1].
    found = losses.task_loss(True)(tf.constant([1.0, 2.0]), tf.constant([[2.0], [5.0]]))
    assert float(found) == 5.0
