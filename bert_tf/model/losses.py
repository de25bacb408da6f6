"""The task's loss, alone or mixed with a teacher's logits."""

import tensorflow as tf

from flop_tf.backend import keras

#: Feature that carries a teacher's logits `[B, ...]` into the loss.
TEACHER_LOGITS = "teacher_logits"


def task_loss(is_regression):
    """Returns the Keras loss of a task: cross-entropy of logits, or mean squared error."""
    if is_regression:
        return keras.losses.MeanSquaredError()
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def distillation_loss(teacher_logits, logits, temperature, weights=None):
    """Returns the distance of a student's logits to its teacher's, a mean over examples, a scalar.

    For classes `T^2 KL(softmax(teacher / T) || softmax(student / T))`, where the
    classes of a span are its tokens; for a single output, a regression, the
    squared difference.

    Args:
      teacher_logits: `[..., C]`; of a span's tokens, padding beyond the student's is left out.
      logits: `[..., C]` of the student.
      temperature: T > 0.
      weights: of the examples, `[B]`; None weighs all of them 1.

    Reference:
      Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    if logits.shape[-1] == 1:
        distance = tf.square(teacher_logits - logits)[..., 0]
    else:
        teacher_logits = teacher_logits[..., : tf.shape(logits)[-1]]
        teacher = tf.nn.log_softmax(teacher_logits / temperature)
        student = tf.nn.log_softmax(logits / temperature)
        divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)
        distance = temperature**2 * divergence
    if weights is not None:
        distance *= tf.reshape(weights, [-1] + [1] * (distance.shape.rank - 1))
    return tf.reduce_mean(distance)
