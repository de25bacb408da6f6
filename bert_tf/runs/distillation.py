"""The loss of a student: its task's, mixed with the distance to a teacher."""

import tensorflow as tf

from bert_tf import ranges
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.heads import losses
from bert_tf.runs.layer_match import MATCHES
from flop_tf.training.batch_gradients import task_loss


class Distillation:
    """`(1 - a) task + a distillation`, with a = 0 for batches that lack `losses.TEACHER_LOGITS`.

    Args:
      alpha: a, a float in [0, 1].
      temperature: T of `bert_tf.heads.head.Head.distance`, a float above 0. Defaults to 1.
      loss: function that it is mixed into, as `flop_tf.training.batch_gradients.task_loss`, which
        is the default.

    Raises:
      ValueError: if an argument is out of range.
    """

    def __init__(self, alpha, temperature=1.0, loss=task_loss):
        ranges.check("Argument `distill_alpha`", alpha, float, ranges.SHARE)
        ranges.check("Argument `distill_temperature`", temperature, float, ranges.ABOVE_0)
        self.alpha = alpha
        self.temperature = temperature
        self.loss = loss

    def __call__(self, model, x, y, sample_weight):
        """Returns loss and predictions of a batch, see `task_loss`."""
        loss, logits = self.loss(model, x, y, sample_weight)
        if losses.TEACHER_LOGITS not in x:
            return loss, logits
        return (1 - self.alpha) * loss + self.of_logits(model, x, logits, sample_weight), logits

    def of_logits(self, model, x, logits, sample_weight):
        """Returns the share of the distance to the teacher's logits, a scalar.

        Args:
          model: the student, a `BertModel`.
          x: inputs of a batch, with `losses.TEACHER_LOGITS`.
          logits: `[B, ...]` of the student.
          sample_weight: `[B]`, or None.
        """
        teacher = model.head.distance(
            x[losses.TEACHER_LOGITS],
            logits,
            self.temperature,
            sample_weight,
            model.head.counted(x),
        )
        # As Keras does with the task's loss: optimizers add up what the replicas give them.
        return self.alpha * teacher / tf.distribute.get_strategy().num_replicas_in_sync


class LayerDistillation(Distillation):
    """`(1 - a - h) task + a distillation + h sum over blocks of hidden_distance`.

    Where the student lacks a sublayer its hidden states are those before it, so that this stays
    defined.

    Args:
      alpha: a, a float in [0, 1].
      temperature: see `Distillation`.
      hidden: h, a float in [0, 1 - a].
      teacher: a `BertModel` with the blocks and the width of the student.
      match: one of `bert_tf.runs.layer_match.MATCHES`, by which blocks are compared; default those
        of the same number.

    Raises:
      ValueError: if an argument is out of range.

    Reference:
      Structured Pruning Learns Compact and Accurate Models (CoFi), arXiv 2204.00408.
    """

    def __init__(self, alpha, temperature, hidden, teacher, match="same"):
        super().__init__(alpha, temperature)
        if match not in MATCHES:
            raise ValueError(
                f"Argument `match` must be one of {', '.join(MATCHES)}, received {match!r}."
            )
        self.hidden, self.teacher, self.match = hidden, teacher, match

    def __call__(self, model, x, y, sample_weight):
        """Returns loss and predictions of a batch, see `task_loss`."""
        encoded = model.encoder(x, training=True)
        logits = model.logits(encoded, x, training=True)
        loss = (1 - self.alpha - self.hidden) * model.compute_loss(x, y, logits, sample_weight)
        loss += self.of_logits(model, x, logits, sample_weight)
        taught = self.teacher.encoder({name: x[name] for name in INPUT_NAMES}, training=False)
        ours, theirs = encoded["encoder_outputs"], taught["encoder_outputs"]

        def distance(own, other):
            return hidden_distance(ours[own], theirs[other], x["input_mask"], sample_weight)

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return loss + self.hidden * MATCHES[self.match](distance, len(ours)) / replicas, logits


def hidden_distance(students, teachers, mask, weights=None):
    """Returns the mean over texts of the mean over tokens of `|h_S - h_T|^2 / |h_T|^2`, a scalar.

    Args:
      students: `[B, T, H]`.
      teachers: the same; no gradient reaches them.
      mask: `[B, T]`, 1 for tokens and 0 for padding.
      weights: of the texts, `[B]`; None weighs all of them 1.
    """
    students, teachers = (tf.cast(h, tf.float32) for h in (students, tf.stop_gradient(teachers)))
    missed = tf.reduce_sum(tf.math.squared_difference(students, teachers), axis=-1)
    relative = tf.math.divide_no_nan(missed, tf.reduce_sum(tf.square(teachers), axis=-1))
    mask = tf.cast(mask, tf.float32)
    by_text = tf.math.divide_no_nan(
        tf.reduce_sum(relative * mask, axis=1), tf.reduce_sum(mask, axis=1)
    )
    return tf.reduce_mean(by_text if weights is None else by_text * weights)
