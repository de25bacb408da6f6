"""The loss of a student."""

import pytest
import tensorflow as tf

from bert_tf.heads import losses
from bert_tf.runs.distillation import Distillation
from flop_tf.backend import keras


def test_share_of_the_teacher():
    model = keras.Sequential([keras.layers.Dense(3)])
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
