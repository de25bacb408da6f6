"""The head of labelled tokens: a class for each word, at its first token."""

import tensorflow as tf

from bert_tf.heads.classifier import DropoutDense
from bert_tf.heads.head import DenseHead, register_head
from bert_tf.heads.losses import MaskedTokenLoss
from bert_tf.heads.span import MASKED

#: Feature: 1 at the first token of each word, where its class is read, else 0; int32 `[B, S]` with
#: S at least T.
WORD_STARTS = "word_starts"


@register_head("tokens")
class Tokens(DenseHead):
    """`logits = dropout(sequence) W + b`, `[B, T, C]`.

    Args:
      config: an `EncoderConfig`.
    """

    reads_pooler = False
    output_axis = 2

    def layer(self):
        """Returns the dropout and dense layer."""
        return super().layer(DropoutDense, rate=self.config.hidden_dropout_prob)

    def logits(self, layer, encoded, features, training=None):
        """Returns float32 `[B, T, C]`."""
        logits = layer(encoded["sequence_output"], training=training)
        is_real = tf.expand_dims(tf.cast(features["input_mask"], tf.bool), axis=-1)
        return tf.where(is_real, logits, MASKED)

    @staticmethod
    def loss(num_outputs):
        """Returns the mean cross-entropy of the labelled tokens of each text."""
        return MaskedTokenLoss()

    def pad_to_max_length(self, logits):
        """Returns logits `[B, positions of the model, C]`."""
        missing = self.config.num_positions - tf.shape(logits)[1]
        return tf.pad(logits, [[0, 0], [0, missing], [0, 0]], constant_values=MASKED)

    def counted(self, features):
        """Returns `[B, S]`: the first tokens of words, or all tokens where these are not named."""
        return features.get(WORD_STARTS, features["input_mask"])

    @staticmethod
    def answers(outputs, labels, vocab):
        """Adds the likeliest class of each token as text, `labels [B, T]`, where they have names.

        A word has the one of its first token.
        """
        if labels is None:
            return outputs
        best = tf.argmax(outputs["logits"], axis=-1)
        return {**outputs, "labels": tf.gather(tf.constant(labels), best)}
