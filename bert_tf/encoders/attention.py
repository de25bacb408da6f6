"""Attention of several heads, without the projections around it.

B batch, T tokens, N heads, D head size.
"""

import math

import tensorflow as tf

from bert_tf.encoders.dropout import StepDropout
from flop_tf.backend import keras
from flop_tf.scopes import Scope

_einsums = Scope()


def by_einsums():
    """Layers that are traced inside a `with` block compute attention as `EinsumAttention` does."""
    return _einsums(True)


@keras.saving.register_keras_serializable("bert_tf")
class Attention(keras.layers.Layer):
    """`softmax(q k^T / sqrt(D) + bias) v` of each head, by transpositions and products.

    A product of heads needs their axis before the axis of the tokens. A transposition and a
    product on their own are the fastest for many tokens.

    Args:
      num_heads: N, int of at least 1.
      head_size: D of the scale, which heads made narrower keep; default the width of the queries.
      is_scaled: whether queries are divided by `sqrt(D)` already; default False.
      dropout: share of the probabilities that training drops, in [0, 1); default 0.
      seed: int or None, see `StepDropout`.
      **kwargs: of `keras.layers.Layer`.

    Reference: Attention Is All You Need, arXiv 1706.03762.
    """

    def __init__(
        self, num_heads, head_size=None, is_scaled=False, dropout=0.0, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads, self.head_size = num_heads, head_size
        self.is_scaled = is_scaled
        self.dropout = StepDropout(dropout, seed=seed)

    def call(self, query, key, value, bias, training=None):
        """Returns the contexts of all heads, `[B T, N V]`; the width V of values may differ from D.

        Args:
          query: `[B T, N D]`.
          key: `[B T, N D]`.
          value: `[B T, N V]`.
          bias: `[B, 1, 1, T]`, added to the scores: 0 or very low.
          training: whether to drop out.
        """
        head_size = self.head_size or query.shape[-1] // self.num_heads
        shape, width = tf.shape(bias), value.shape[-1]
        form = EinsumAttention if _einsums.current else type(self)
        sizes, rows = (shape[0], shape[3]), (query, key, value)
        query, key, value = (form.arrange(self, one, *sizes) for one in rows)
        if not self.is_scaled:  # After the transposition, where it takes 2 % of a batch less.
            query = query / math.sqrt(head_size)
        scores = form.scores(self, query, key)
        probabilities = self.dropout(tf.nn.softmax(scores + bias), training=training)
        return tf.reshape(form.contexts(self, probabilities, value), [-1, width])

    def arrange(self, inputs, batch, length):
        """Returns `inputs [B T, N D]` as the two products take them, `[B, N, T, D]`.

        Args:
          inputs: `[B T, N D]`.
          batch: B, int or int tensor.
          length: T, int or int tensor.
        """
        depth = inputs.shape[-1] // self.num_heads
        if self.num_heads == 1:  # tf2onnx makes a wrong reshape of a transposition by axes of 1.
            return tf.reshape(inputs, [batch, 1, length, depth])
        return _heads_first(tf.reshape(inputs, [batch, length, self.num_heads, depth]))

    def scores(self, query, key):
        """Returns `q k^T`.

        Args:
          query: arranged.
          key: arranged.

        Returns:
          Tensor `[B, N, T, T]`.
        """
        return tf.matmul(query, key, transpose_b=True)

    def contexts(self, probabilities, value):
        """Returns `p v`.

        Args:
          probabilities: `[B, N, T, T]`.
          value: arranged.

        Returns:
          Tensor `[B, T, N, D]`.
        """
        return _heads_first(tf.matmul(probabilities, value))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_size": self.head_size,
            "is_scaled": self.is_scaled,
            "dropout": self.dropout.rate,
            "seed": self.dropout.seed,
        }


@keras.saving.register_keras_serializable("bert_tf")
class EinsumAttention(Attention):
    """`Attention` by einsums, each a transposition and a product in one operation.

    For few tokens, the set-up of each operation takes longer than its work.
    """

    def arrange(self, inputs, batch, length):
        """Returns `[B, T, N, D]`: an einsum takes axes in any order."""
        depth = inputs.shape[-1] // self.num_heads
        return tf.reshape(inputs, [batch, length, self.num_heads, depth])

    def scores(self, query, key):
        """See `Attention.scores`."""
        return tf.einsum("btnd,bsnd->bnts", query, key)

    def contexts(self, probabilities, value):
        """See `Attention.contexts`."""
        return tf.einsum("bnts,bsnd->btnd", probabilities, value)


def _heads_first(inputs):
    """Returns `[B, T, N, D]` as `[B, N, T, D]`, and the other way round."""
    return tf.transpose(inputs, [0, 2, 1, 3])
