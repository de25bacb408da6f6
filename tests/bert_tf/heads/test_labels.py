"""Heads that share the classifier's layer: several labels, several numbers."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from bert_tf.heads.labels import Labels
from bert_tf.heads.numbers import Numbers

STUDENT = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], np.float32)
TEACHER = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, -1.0]], np.float32)
WEIGHTS = np.array([1.0, 0.5], np.float32)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_divergence_of_independent_labels(temperature):
    teacher, student = (scipy.special.expit(x / temperature) for x in (TEACHER, STUDENT))
    by_label = scipy.special.rel_entr(teacher, student)
    by_label += scipy.special.rel_entr(1 - teacher, 1 - student)
    by_example = temperature**2 * by_label.mean(axis=1)
    found = Labels.distance(tf.constant(TEACHER), tf.constant(STUDENT), temperature)
    assert float(found) == pytest.approx(by_example.mean(), rel=1e-5)
    weighted = Labels.distance(
        tf.constant(TEACHER), tf.constant(STUDENT), temperature, tf.constant(WEIGHTS)
    )
    assert float(weighted) == pytest.approx((by_example * WEIGHTS).mean(), rel=1e-5)


def test_large_logits_have_finite_gradients():
    logits = tf.Variable([[80.0, -80.0]])
    with tf.GradientTape() as tape:
        loss = Labels.distance(tf.constant([[-90.0, 90.0]]), logits, 1.0)
    # Both labels are as wrong as can be: the gradient of each is that of its cross-entropy.
    assert float(loss) == pytest.approx(80.0)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[0.5, -0.5]], atol=1e-6)


def test_the_loss_is_the_mean_over_labels():
    labels = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    expected = (np.logaddexp(0, STUDENT) - labels * STUDENT).mean()
    assert float(Labels.loss(3)(labels, STUDENT)) == pytest.approx(expected, rel=1e-6)


def test_several_numbers():
    assert float(Numbers.loss(2)([[1.0, 2.0]], [[2.0, 5.0]])) == 5.0
    teacher, student = tf.constant([[1.0, 2.0], [0.0, 0.0]]), tf.constant([[2.0, 5.0], [0.0, 2.0]])
    assert float(Numbers.distance(teacher, student, 3.0)) == 3.5
    weights = tf.constant([1.0, 0.5])
    assert float(Numbers.distance(teacher, student, 3.0, weights)) == 3.0


@pytest.mark.parametrize(
    ("head", "problem", "outputs", "solved"),
    [
        (Labels, "multi_label_classification", 3, True),
        (Labels, None, 3, False),
        (Labels, "regression", 3, False),
        (Numbers, "regression", 2, True),
        (Numbers, "regression", 1, False),
        (Numbers, None, 2, False),
    ],
)
def test_problems_of_hugging_face(head, problem, outputs, solved):
    assert head.solves(problem, outputs) == solved
    assert head.solves(head.problem_type(3), 3)
