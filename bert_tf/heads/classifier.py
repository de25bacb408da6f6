"""The classifier: logits of classes, or one number of a regression."""

import functools

import numpy as np
import tensorflow as tf

from bert_tf.encoders.dropout import StepDropout
from bert_tf.heads.head import DenseHead, register_head

_SEED = 2


@register_head("classifier")
class Classifier(DenseHead):
    """`logits = dropout(pooled) W + b`, `[B, C]`; with one output it is a regression.

    Args:
      config: a `BertConfig`.
    """

    @functools.cached_property
    def dropout(self):
        """The dropout of the pooled output."""
        return StepDropout(self.config.hidden_dropout_prob, seed=_SEED)

    def logits(self, layer, encoded, features, training=None):
        """Returns float32 `[B, C]`."""
        return layer(self.dropout(encoded["pooled_output"], training=training))

    def multiplications(self, length):
        """Returns the multiplications of pooler and head, which read one token."""
        hidden = self.config.hidden_size
        pooler = hidden if self.config.pooler_act is not None else 0
        return hidden * (pooler + self.config.num_labels)

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
