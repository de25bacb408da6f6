"""The classifier: logits of classes, or one number of a regression."""

import numpy as np
import tensorflow as tf

from bert_tf.encoders.dropout import StepDropout
from bert_tf.heads.head import DenseHead, register_head
from flop_tf.backend import keras

_SEED = 2


class DropoutDense(keras.layers.Dense):
    """Dropout, then a dense layer.

    Args:
      units: number of outputs.
      rate: share of the inputs that training drops, in [0, 1).
      **kwargs: of `keras.layers.Dense`.
    """

    def __init__(self, units, rate, **kwargs):
        super().__init__(units, **kwargs)
        self.rate = rate
        self.dropout = StepDropout(rate, seed=_SEED)

    def call(self, inputs, training=None):
        """Returns the outputs `[..., units]` of inputs `[..., I]`.

        Args:
          inputs: float tensor `[..., I]`.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        return super().call(self.dropout(inputs, training=training))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate}


@register_head("classifier")
class Classifier(DenseHead):
    """`logits = dropout(pooled) W + b`, `[B, C]`; with one output it is a regression.

    Args:
      config: an `EncoderConfig`.
    """

    def layer(self):
        """Returns the dropout and dense layer."""
        return super().layer(DropoutDense, rate=self.config.hidden_dropout_prob)

    def logits(self, layer, encoded, features, training=None):
        """Returns float32 `[B, C]`."""
        return layer(encoded["pooled_output"], training=training)

    def multiplications(self, length):
        """Returns the multiplications of pooler and head, which read one token."""
        hidden = self.config.hidden_size
        pooler = hidden if self.config.pooler_act is not None else 0
        return hidden * (pooler + self.config.num_labels)

    @staticmethod
    def solves(problem_type, num_outputs):
        """Returns whether an example has one class, or one score."""
        if problem_type == "regression":
            return num_outputs == 1
        return problem_type in (None, "single_label_classification")

    @staticmethod
    def problem_type(num_outputs):
        """Returns that of one number; classes need none."""
        return "regression" if num_outputs == 1 else None

    @staticmethod
    def outputs(logits):
        """Returns `logits [B, C]` and `probabilities [B, C]`, of a regression `score [B]`.

        A score is the logit, which may leave the range of the training's scores.
        """
        if logits.shape[-1] == 1:
            return {"score": logits[:, 0]}
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    @staticmethod
    def logits_of(outputs):
        """Returns `[B, C]`."""
        if "score" in outputs:
            return outputs["score"][:, np.newaxis]
        return outputs["logits"]

    @staticmethod
    def answers(outputs, labels, vocab):
        """Adds the class of the highest probability as text, `label [B]`, where they have names."""
        if "score" in outputs or labels is None:
            return outputs
        best = tf.argmax(outputs["logits"], axis=-1)
        return {**outputs, "label": tf.gather(tf.constant(labels), best)}
