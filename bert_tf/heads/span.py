"""The span head: where an answer starts in the text, and where it ends."""

import numpy as np
import tensorflow as tf

from bert_tf.heads.head import DenseHead, register_head

#: The logit of padding: no probability goes there, at any width of the batch.
MASKED = -1e9


@register_head("span")
class Span(DenseHead):
    """`logits = sequence W + b`, `[B, 2, T]`: starts, then ends.

    As with classes, the softmax is over the last axis.

    Args:
      config: an `EncoderConfig`.
    """

    num_outputs = 2
    reads_pooler = False

    def logits(self, layer, encoded, features, training=None):
        """Returns float32 `[B, 2, T]`."""
        logits = tf.transpose(layer(encoded["sequence_output"]), [0, 2, 1])
        return tf.where(tf.cast(features["input_mask"], tf.bool)[:, tf.newaxis], logits, MASKED)

    def pad_to_max_length(self, logits):
        """Returns logits `[B, 2, positions of the model]`."""
        missing = self.config.num_positions - tf.shape(logits)[-1]
        return tf.pad(logits, [[0, 0], [0, 0], [0, missing]], constant_values=MASKED)

    @staticmethod
    def outputs(logits):
        """Returns `start_logits` and `end_logits`, both `[B, T]`."""
        return {"start_logits": logits[:, 0], "end_logits": logits[:, 1]}

    @staticmethod
    def logits_of(outputs):
        """Returns `[B, 2, T]`."""
        return np.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)

    @staticmethod
    def text_answers(answers, word_ids, vocab):
        """Adds the WordPieces that the logits are of, `tokens [B, T]`."""
        return {**answers, "tokens": tf.gather(tf.constant(vocab), word_ids)}
