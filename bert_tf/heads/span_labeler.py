"""BERT that marks a span: where an answer starts in the text, and where it ends."""

import tensorflow as tf

from bert_tf.heads.classifier import BertModel
from flop_tf.backend import keras

#: The logit of padding: no probability goes there, whatever the width of the batch.
MASKED = -1e9


@keras.saving.register_keras_serializable("bert_tf")
class BertSpanLabeler(BertModel):
    """`logits = sequence W + b`, `[B, T]` ids to `[B, 2, T]`: starts, then ends.

    As with classes, the softmax is over the last axis. The pooler is not
    trained: nothing reads it. It stays, as part of every encoder.

    Args:
      config: a `BertConfig` with the head "span".
      **kwargs: of `keras.Model`.
    """

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.encoder.pooler.trainable = False
        self.make_weights()

    def call(self, inputs, training=None):
        """Returns float32 logits `[B, 2, T]` for the dict of inputs of `BertEncoder`."""
        hidden = self.encoder(inputs, training=training)["sequence_output"]
        logits = tf.transpose(self.span(hidden), [0, 2, 1])
        return tf.where(tf.cast(inputs["input_mask"], tf.bool)[:, tf.newaxis], logits, MASKED)

    def joinable(self, logits):
        """Returns logits `[B, 2, positions of the model]`."""
        missing = self.config.max_position_embeddings - tf.shape(logits)[-1]
        return tf.pad(logits, [[0, 0], [0, 0], [0, missing]], constant_values=MASKED)

    @staticmethod
    def head_multiplications(config, length):
        """Returns those of the head for an input of `length` tokens: it reads all of them."""
        return length * config.hidden_size * config.num_labels
