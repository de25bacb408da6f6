"""Several labels an example, each of which holds or not whatever the others do."""

import tensorflow as tf

from bert_tf.heads import losses
from bert_tf.heads.classifier import Classifier
from bert_tf.heads.head import register_head
from flop_tf.backend import keras


@register_head("labels")
class Labels(Classifier):
    """The classifier's layer, whose logit c says by itself whether the label c holds, `[B, C]`.

    Labels are 0 or 1, `[B, C]`.

    Args:
      config: an `EncoderConfig`.
    """

    layer_name = "classifier"

    @staticmethod
    def loss(num_outputs):
        """Returns binary cross-entropy, the mean over labels."""
        return keras.losses.BinaryCrossentropy(from_logits=True)

    @staticmethod
    def distance(others, logits, temperature, weights=None, counted=None):
        """Returns `T^2` times the mean over labels of the divergence of two Bernoulli trials.

        See `losses.label_divergence`.
        """
        distance = losses.label_divergence(others, logits, temperature)
        return losses.weighted_mean(distance, weights)

    @staticmethod
    def solves(problem_type, num_outputs):
        """Returns whether an example has several labels."""
        return problem_type == "multi_label_classification"

    @staticmethod
    def problem_type(num_outputs):
        """Returns that of several labels."""
        return "multi_label_classification"

    @staticmethod
    def outputs(logits):
        """Returns `logits [B, C]`, and `probabilities [B, C]`, each of one label."""
        return {"logits": logits, "probabilities": tf.sigmoid(logits)}

    @staticmethod
    def answers(outputs, labels, vocab):
        """Returns the outputs; which labels hold depends on the thresholds of the task."""
        return outputs
