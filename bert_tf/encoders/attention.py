"""Attention of several heads, without the projections around it.

B batch, T tokens, N heads, D head size.
"""

import math

import tensorflow as tf

from bert_tf.encoders.dropout import StepDropout
from flop_tf.backend import keras


@keras.saving.register_keras_serializable("bert_tf")
class Attention(keras.layers.Layer):
    """`softmax(q k^T / sqrt(D) + bias) v` of each head.

    A product of heads wants their axis before that of the tokens. A transposition and a
    product on their own are the fastest for many tokens. For few, the set-up of each operation
    takes longer than its work, and an einsum has both in one.

    Args:
      num_heads: N.
      is_scaled: whether queries come divided by `sqrt(D)` already.
      by_einsum: whether products are einsums.
      dropout: share of the probabilities that training drops, in [0, 1).
      seed: int or None, see `StepDropout`.
      **kwargs: of `keras.layers.Layer`.

    Reference: Attention Is All You Need, arXiv 1706.03762.
    """

    def __init__(
        self, num_heads, is_scaled=False, by_einsum=False, dropout=0.0, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.is_scaled = is_scaled
        self.by_einsum = by_einsum
        self.dropout = StepDropout(dropout, seed=seed)

    def call(self, query, key, value, bias, training=None):
        """Returns the contexts of all heads, `[B T, N D]`.

        Args:
          query: `[B T, N D]`.
          key: `[B T, N D]`.
          value: `[B T, N D]`.
          bias: `[B, 1, 1, T]`, added to the scores: 0 or very low.
          training: whether to drop out.
        """
        width = query.shape[-1]
        shape = tf.shape(bias)
        heads = [shape[0], shape[3], self.num_heads, width // self.num_heads]
        query, key, value = (tf.reshape(one, heads) for one in (query, key, value))
        if not self.by_einsum:
            query, key, value = map(_heads_first, (query, key, value))
        if not self.is_scaled:  # Behind the transposition, where it takes 2 % of a batch less.
            query = query / math.sqrt(width // self.num_heads)
        if self.by_einsum:
            scores = tf.einsum("btnd,bsnd->bnts", query, key)
        else:
            scores = tf.matmul(query, key, transpose_b=True)
        probabilities = self.dropout(tf.nn.softmax(scores + bias), training=training)
        if self.by_einsum:
            context = tf.einsum("bnts,bsnd->btnd", probabilities, value)
        else:
            context = _heads_first(tf.matmul(probabilities, value))
        return tf.reshape(context, [-1, width])

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "is_scaled": self.is_scaled,
            "by_einsum": self.by_einsum,
            "dropout": self.dropout.rate,
            "seed": self.dropout.seed,
        }


def _heads_first(inputs):
    """Returns `[B, T, N, D]` as `[B, N, T, D]`, and the other way round."""
    return tf.transpose(inputs, [0, 2, 1, 3])
