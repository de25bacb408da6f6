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


def distillation_loss(teacher_logits, logits, temperature):
    """Returns the mean distance of a student's logits to its teacher's, a scalar.

    For classes `T^2 KL(softmax(teacher / T) || softmax(student / T))`, where the
    classes of a span are its tokens; for a single output, a regression, the
    squared difference.

    Args:
      teacher_logits: `[..., C]`; of a span's tokens, padding beyond the student's is left out.
      logits: `[..., C]` of the student.
      temperature: T > 0.

    Reference:
      Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    if logits.shape[-1] == 1:
        return tf.reduce_mean(tf.square(teacher_logits - logits))
    teacher_logits = teacher_logits[..., : tf.shape(logits)[-1]]
    teacher = tf.nn.log_softmax(teacher_logits / temperature)
    student = tf.nn.log_softmax(logits / temperature)
    divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * tf.reduce_mean(divergence)
