"""The embedding head: one vector for a text, whose cosine to another one says how near they are.

B batch, T tokens, H hidden.
"""

import numpy as np
import tensorflow as tf

from bert_tf.heads.head import Head, register_head
from flop_tf.backend import keras

# Of a token that is padding, below every hidden state.
_LOWEST = -1e9
# Of the directions in which embeddings are looked at.
_SEED = 5


@keras.saving.register_keras_serializable("bert_tf")
class Pooling(keras.layers.Layer):
    """One vector of the hidden states of a text: their mean, the first, or the largest of each.

    Padding does not count. The layer has no weights and computes in float32.

    Args:
      kind: one of `bert_tf.encoders.config.POOLINGS`.
      normalized: whether the vector is divided by its length.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, kind, normalized, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.normalized = kind, normalized

    def call(self, hidden, mask):
        """Returns float32 `[B, H]`.

        Args:
          hidden: float tensor `[B, T, H]`.
          mask: int32 `[B, T]`, 1 for tokens and 0 for padding.
        """
        mask = tf.expand_dims(tf.cast(mask, tf.float32), -1)
        pooled = _POOLINGS[self.kind](tf.cast(hidden, tf.float32), mask)
        return tf.math.l2_normalize(pooled, axis=-1) if self.normalized else pooled

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "kind": self.kind, "normalized": self.normalized}


def _mean(hidden, mask):
    # Of no tokens it is 0; LiteRT has no `divide_no_nan`.
    return tf.reduce_sum(hidden * mask, axis=1) / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)


def _first(hidden, mask):
    return hidden[:, 0]


def _largest(hidden, mask):
    return tf.reduce_max(hidden * mask + _LOWEST * (1 - mask), axis=1)


# By the names of `bert_tf.encoders.config.POOLINGS`.
_POOLINGS = {"mean": _mean, "cls": _first, "max": _largest}


@register_head("embedding")
class Embedding(Head):
    """`logits = pooling(sequence)`, `[B, H]`, divided by its length if the config says so.

    It has no weights of its own. Its logits are the embedding.

    Args:
      config: an `EncoderConfig`.
    """

    num_outputs = 1  # One vector.
    reads_pooler = False
    fields = (*Head.fields, "pooling", "normalized")

    @property
    def num_logits(self):
        """H."""
        return self.config.hidden_size

    def shapes(self):
        """Returns nothing."""
        return {}

    def layer(self):
        """Returns a `Pooling`."""
        return Pooling(self.config.pooling, self.config.normalized, dtype="float32", name=self.name)

    def logits(self, layer, encoded, features, training=None):
        """Returns float32 `[B, H]`."""
        return layer(encoded["sequence_output"], features["input_mask"])

    @staticmethod
    def loss(num_outputs):
        """Returns the `PairLoss` of labels `[B, 2]`."""
        return PairLoss()

    @classmethod
    def importance_loss(cls, num_outputs):
        """Returns a `RandomDirections`: texts without labels have a worth too."""
        return RandomDirections()

    @staticmethod
    def distance(others, logits, temperature, weights=None, counted=None):
        """Returns the mean of `1 - cos`, and of the squared differences of all cosines of a batch.

        The second term keeps what is near in the batch near, whatever direction it has.

        Args:
          others: `[B, H]`, of the teacher, or of a model before a change.
          logits: `[B, H]`, of the same texts.
          temperature: not used.
          weights: of the texts, `[B]`; None weighs all of them 1.
          counted: not used.
        """
        ours, theirs = (tf.math.l2_normalize(one, axis=-1) for one in (logits, others))
        turned = 1 - tf.reduce_sum(ours * theirs, axis=-1)
        cosines = (tf.matmul(one, one, transpose_b=True) for one in (ours, theirs))
        moved = tf.math.squared_difference(*cosines)
        if weights is not None:
            turned, moved = turned * weights, moved * weights * weights[:, tf.newaxis]
        return tf.reduce_mean(turned) + tf.reduce_mean(moved)

    @staticmethod
    def angles(logits, others):
        """Returns `1 - cos` of each embedding to another one, float64 `[B]`."""
        return 1 - cosines(logits, others)

    def multiplications(self, length):
        """Returns those of a mean, which reads all tokens, else one for each dimension."""
        return self.config.hidden_size * (length if self.config.pooling == "mean" else 1)

    @staticmethod
    def outputs(logits):
        """Returns `embedding [B, H]`."""
        return {"embedding": logits}

    @staticmethod
    def logits_of(outputs):
        """Returns `[B, H]`."""
        return outputs["embedding"]


@keras.saving.register_keras_serializable("bert_tf")
class PairLoss(keras.losses.Loss):
    """`(cos - score)^2` of the two texts of a pair, the loss of both of them.

    They follow each other, the first one in an even row. A label is `[2]`: the number of the pair,
    and its score in [0, 1]. Texts without a score have the number -1 and the loss 0, and so has
    one whose other text is not in the next row.
    """

    def call(self, y_true, y_pred):
        """Returns the loss `[B]`.

        Args:
          y_true: float32 `[B, 2]`.
          y_pred: float32 `[B, H]`.
        """
        number, score = y_true[:, 0], y_true[:, 1]
        row = tf.range(tf.size(number))
        # Only the next row: rows that fill a batch up repeat a text, and are not its other one.
        other = tf.minimum(tf.bitwise.bitwise_xor(row, 1), tf.size(number) - 1)
        of_pair = (number >= 0) & (number == tf.gather(number, other)) & (row != other)
        vectors = tf.math.l2_normalize(y_pred, axis=-1)
        found = tf.reduce_sum(vectors * tf.gather(vectors, other), axis=-1)
        error = tf.math.squared_difference(found, score)
        return error * tf.cast(of_pair, error.dtype)


@keras.saving.register_keras_serializable("bert_tf")
class RandomDirections(keras.losses.Loss):
    """The embedding, its length 1, times a random vector: no loss to be trained with.

    Each text of each batch has its own vector, which follows from the embeddings. The mean square
    of the gradient is that of the whole embedding's, and so measures how much the embedding
    depends on each weight.
    """

    def call(self, y_true, y_pred):
        """Returns a number for each text, `[B]`.

        Args:
          y_true: not used.
          y_pred: float32 `[B, H]`.
        """
        seed = tf.stack([_SEED, tf.bitcast(tf.reduce_sum(y_pred), tf.int32)])
        vectors = tf.random.stateless_normal(tf.shape(y_pred), tf.stop_gradient(seed))
        return tf.reduce_sum(tf.math.l2_normalize(y_pred, axis=-1) * vectors, axis=-1)


def cosines(one, two):
    """Returns the cosine of each row of one matrix to the same row of another, float64 `[B]`.

    It is 0 where a vector is 0.

    Args:
      one: NumPy array `[B, H]`.
      two: the same.
    """
    return (directions(one) * directions(two)).sum(axis=-1)


def directions(vectors):
    """Returns vectors divided by their lengths, float64; one of 0 stays as it is.

    Args:
      vectors: NumPy array `[B, H]`.
    """
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
