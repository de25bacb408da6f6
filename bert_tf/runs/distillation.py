"""The loss of a student: its task's, mixed with the distance to a teacher."""

import tensorflow as tf

from bert_tf import ranges
from bert_tf.heads import losses
from flop_tf.training.batch_gradients import task_loss


class Distillation:
    """`(1 - a) task + a distillation`, with a = 0 for batches that lack `losses.TEACHER_LOGITS`.

    Args:
      alpha: a, a float in [0, 1].
      temperature: T of `losses.distillation_loss`, a float above 0. Defaults to 1.
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
        teacher = losses.distillation_loss(
            x[losses.TEACHER_LOGITS], logits, self.temperature, sample_weight
        )
        # As Keras does with the task's loss: optimizers add up what the replicas give them.
        teacher /= tf.distribute.get_strategy().num_replicas_in_sync
        return (1 - self.alpha) * loss + self.alpha * teacher, logits
