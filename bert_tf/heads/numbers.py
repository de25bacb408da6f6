"""Several numbers an example, a regression with an output for each."""

import numpy as np

from bert_tf.heads import losses
from bert_tf.heads.classifier import Classifier
from bert_tf.heads.head import register_head
from flop_tf.backend import keras


@register_head("numbers")
class Numbers(Classifier):
    """The classifier's layer, whose logits are the numbers, `[B, C]`.

    One number has the head "classifier".

    Args:
      config: an `EncoderConfig`.
    """

    layer_name = "classifier"

    @staticmethod
    def loss(num_outputs):
        """Returns mean squared error."""
        return keras.losses.MeanSquaredError()

    @staticmethod
    def distance(others, logits, temperature, weights=None, counted=None):
        """Returns the mean squared difference; numbers have no temperature."""
        distance = keras.losses.mean_squared_error(others, logits)
        return losses.weighted_mean(distance, weights)

    @staticmethod
    def solves(problem_type, num_outputs):
        """Returns whether an example has several numbers."""
        return problem_type == "regression" and num_outputs > 1

    @staticmethod
    def problem_type(num_outputs):
        """Returns that of numbers."""
        return "regression"

    @staticmethod
    def outputs(logits):
        """Returns `scores [B, C]`, the logits, which may leave the range of the training's."""
        return {"scores": logits}

    @staticmethod
    def logits_of(outputs):
        """Returns `[B, C]`."""
        return np.asarray(outputs["scores"])

    @staticmethod
    def answers(outputs, labels, vocab):
        """Returns the outputs, which say all."""
        return outputs
