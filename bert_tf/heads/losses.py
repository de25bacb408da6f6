"""The task's loss, alone or mixed with a teacher's logits."""

import tensorflow as tf

from flop_tf.backend import keras

#: Feature that carries a teacher's logits `[B, ...]` into the loss.
TEACHER_LOGITS = "teacher_logits"


def task_loss(is_regression):
    """Returns the Keras loss of a task: cross-entropy of logits, or mean squared error.

    Args:
      is_regression: whether labels are numbers.
    """
    if is_regression:
        return keras.losses.MeanSquaredError()
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@keras.saving.register_keras_serializable("bert_tf")
class SlicedLoss(keras.losses.Loss):
    """The loss of several tasks, each of which has a slice of the logits.

    A label is `[2]`: the index of the task, and its class or score. Of a task with classes it
    is the cross-entropy over its slice, of a regression the squared error of its logit. The
    gradient of logits of other tasks is exactly 0.

    Args:
      sizes: the number of classes of each task, None of a regression.
      name: of the loss.
      **kwargs: of `keras.losses.Loss`.
    """

    def __init__(self, sizes, name="sliced_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sizes = sizes

    def call(self, y_true, y_pred):
        """Returns the loss `[B]` of labels `[B, 2]` and logits `[B, C]`.

        Args:
          y_true: float32 `[B, 2]`, the task and its class or score.
          y_pred: float32 `[B, C]`.
        """
        widths = [size or 1 for size in self.sizes]
        starts = tf.cumsum(tf.constant(widths), exclusive=True)
        owners = tf.repeat(tf.range(len(widths)), widths)
        is_class = tf.constant([size is not None for size in self.sizes])
        task = tf.cast(y_true[:, 0], tf.int32)
        start, is_class = tf.gather(starts, task), tf.gather(is_class, task)

        first = tf.one_hot(start, sum(widths), on_value=True, off_value=False, dtype=tf.bool)
        number = tf.reduce_sum(tf.where(first, y_pred, 0.0), axis=1)
        error = tf.square(number - tf.cast(y_true[:, 1], y_pred.dtype))

        own = tf.where(task[:, tf.newaxis] == owners, y_pred, y_pred.dtype.min / 2)
        chosen = start + tf.where(is_class, tf.cast(y_true[:, 1], tf.int32), 0)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(chosen, own)
        return tf.where(is_class, entropy, error)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "sizes": self.sizes}


@keras.saving.register_keras_serializable("bert_tf")
class MaskedTokenLoss(keras.losses.Loss):
    """Mean cross-entropy at the labelled places of a text: masked words, or first tokens of words.

    Labels are classes `[B, S]`, below 0 where a place has none, logits `[B, P, V]` with P of at
    most S; labels after the last logit are of padding. It is the mean over texts of the mean over
    their labelled places, 0 for a text without any. With the weights of
    `bert_tf.data.batching.EncodedExamples` it is the mean over all places of a batch.
    """

    def call(self, y_true, y_pred):
        """Returns the loss `[B]`.

        Args:
          y_true: int32 `[B, S]`.
          y_pred: float32 `[B, P, V]`.
        """
        y_true = y_true[:, : tf.shape(y_pred)[1]]
        real = tf.cast(y_true >= 0, y_pred.dtype)
        labels = tf.maximum(tf.cast(y_true, tf.int32), 0)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y_pred)
        return tf.math.divide_no_nan(
            tf.reduce_sum(entropy * real, axis=1), tf.reduce_sum(real, axis=1)
        )


def distillation_loss(teacher_logits, logits, temperature, weights=None, counted=None):
    """Returns the distance of a student's logits to its teacher's, a mean over examples, a scalar.

    For classes `T^2 KL(softmax(teacher / T) || softmax(student / T))`, where the
    classes of a span are its tokens; for a single output, a regression, the
    squared difference.

    Args:
      teacher_logits: `[..., C]`; of tokens, padding beyond the student's is left out.
      logits: `[..., C]` of the student.
      temperature: T > 0.
      weights: of the examples, `[B]`; None weighs all of them 1.
      counted: `[B, S]` of 0 and 1, see `bert_tf.heads.head.Head.counted`: of an example with a
        class for each token it is the mean over these; None is over all.

    Reference:
      Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    if logits.shape[-1] == 1:
        distance = tf.square(teacher_logits - logits)[..., 0]
    else:
        teacher_logits = tf.slice(teacher_logits, tf.zeros_like(tf.shape(logits)), tf.shape(logits))
        teacher = tf.nn.log_softmax(teacher_logits / temperature)
        student = tf.nn.log_softmax(logits / temperature)
        divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)
        distance = temperature**2 * divergence
    if counted is not None:
        counted = tf.cast(counted[:, : tf.shape(distance)[1]], distance.dtype)
        distance = tf.math.divide_no_nan(
            tf.reduce_sum(distance * counted, axis=1), tf.reduce_sum(counted, axis=1)
        )
    return weighted_mean(distance, weights)


def weighted_mean(distance, weights):
    """Returns the mean of what each example has, times its weight, a scalar.

    Args:
      distance: `[B, ...]`.
      weights: of the examples, `[B]`; None weighs all of them 1.
    """
    if weights is not None:
        distance *= tf.reshape(weights, [-1] + [1] * (distance.shape.rank - 1))
    return tf.reduce_mean(distance)


def label_divergence(teacher_logits, logits, temperature):
    """Returns the distance of independent labels to a teacher's, `[...]`.

    `T^2 / C sum over labels of KL(sigmoid(teacher / T) || sigmoid(student / T))`, of Bernoulli
    trials. The mean and not the sum, as in the binary cross-entropy that it is mixed with.

    Args:
      teacher_logits: `[..., C]`.
      logits: `[..., C]` of the student.
      temperature: T > 0.
    """
    teacher, student = teacher_logits / temperature, logits / temperature
    divergence = sum(
        tf.sigmoid(sign * teacher)
        * (tf.math.log_sigmoid(sign * teacher) - tf.math.log_sigmoid(sign * student))
        for sign in (1, -1)
    )
    return temperature**2 * tf.reduce_mean(divergence, axis=-1)
