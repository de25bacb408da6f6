"""Masked language modelling: the head of pretraining, tied to the word embedding.

B batch, T tokens, P masked places of a text, H hidden, V words of the vocabulary.
"""

import tensorflow as tf

from bert_tf.encoders.encoder import activation, initializer
from bert_tf.encoders.layer_norm import LayerNorm
from bert_tf.heads.head import Head, register_head
from bert_tf.heads.losses import MaskedTokenLoss
from flop_tf.backend import keras

#: Feature: the masked places of each text, int32 `[B, P]`.
MASKED_POSITIONS = "masked_positions"

#: Feature next to it where texts are scored: the words there, int32 `[B, P]`, below 0 for none.
MASKED_IDS = "masked_ids"


@keras.saving.register_keras_serializable("bert_tf")
class MlmLayer(keras.layers.Layer):
    """`logits = LayerNorm(act(h W + b)) E^T + c`, with E the word embedding.

    E is not the layer's own, and no gate is on it. Of a rank it is two factors, `E = A B`, and the
    hidden states are multiplied with one after the other.

    Args:
      config: an `EncoderConfig`.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.dense = keras.layers.Dense(
            config.embedding_width,
            activation=activation(config.hidden_act),
            kernel_initializer=initializer(config),
        )
        self.layer_norm = LayerNorm(epsilon=config.layer_norm_eps)
        self.output_bias = self.add_weight(
            name="output_bias", shape=[config.vocab_size], initializer="zeros"
        )

    def call(self, hidden, factors, training=None):
        """Returns float32 logits `[..., V]` of hidden states `[..., H]` and E.

        Args:
          hidden: float tensor `[..., H]`.
          factors: tuple of float tensors whose product is E: `[V, H]`, or `[V, R]` and `[R, H]`.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        flat = tf.reshape(hidden, [-1, self.config.hidden_size])
        transformed = self.layer_norm(self.dense(flat), training=training)
        logits = transformed
        for factor in reversed(factors):
            logits = tf.matmul(logits, tf.cast(factor, logits.dtype), transpose_b=True)
        logits = tf.cast(logits, tf.float32) + tf.cast(self.output_bias, tf.float32)
        return tf.reshape(logits, tf.concat([tf.shape(hidden)[:-1], [self.config.vocab_size]], 0))


@register_head("mlm")
class Mlm(Head):
    """Logits of the words at masked places, `[B, P, V]`, or at all, `[B, T, V]`.

    Only at `MASKED_POSITIONS` are there logits, if the features name them.

    Args:
      config: an `EncoderConfig`.
    """

    num_outputs = 1  # One word at each place.
    reads_pooler = False
    is_tied = True

    def shapes(self):
        """Returns the shapes of the dense transform, its LayerNorm and the bias of the words."""
        hidden, width = self.config.hidden_size, self.config.embedding_width
        return {
            "dense.kernel": (hidden, width),
            "dense.bias": (width,),
            "layer_norm.gamma": (width,),
            "layer_norm.beta": (width,),
            "output_bias": (self.config.vocab_size,),
        }

    def layer(self):
        """Returns an `MlmLayer`."""
        return MlmLayer(self.config, name=self.name)

    def logits(self, layer, encoded, features, training=None):
        """Returns float32 `[B, P, V]` where masked places are named, else `[B, T, V]`."""
        hidden = encoded["sequence_output"]
        if MASKED_POSITIONS in features:
            hidden = tf.gather(hidden, features[MASKED_POSITIONS], batch_dims=1)
        return layer(hidden, encoded["word_embeddings"], training=training)

    @staticmethod
    def loss(num_outputs):
        """Returns the mean cross-entropy of the masked words."""
        return MaskedTokenLoss()

    def multiplications(self, length):
        """Returns the multiplications of the head, which predicts at all tokens."""
        config = self.config
        width, rank = config.embedding_width, config.word_embedding_rank
        words = rank * (width + config.vocab_size) if rank else width * config.vocab_size
        return length * (width * config.hidden_size + words)

    def restrict(self, logits, features):
        """Returns `[B, P, V]` of `[B, T, V]` where masked places are named."""
        if MASKED_POSITIONS not in features:
            return logits
        return tf.gather(logits, features[MASKED_POSITIONS], batch_dims=1)

    def predictions(self, logits, features):
        """Returns `scores` where the masked words are given: logits would fill the memory."""
        return scores(logits, features[MASKED_IDS]) if MASKED_IDS in features else logits

    @staticmethod
    def answers(outputs, labels, vocab):
        """Adds the likeliest word at each place, `words [B, T]`."""
        # The embedding may have more rows than there are words.
        best = tf.argmax(outputs["logits"][..., : len(vocab)], axis=-1)
        return {**outputs, "words": tf.gather(tf.constant(vocab), best)}

    @staticmethod
    def text_answers(answers, word_ids, vocab):
        """Adds the WordPieces of the texts, `tokens [B, T]`."""
        return {**answers, "tokens": tf.gather(tf.constant(vocab), word_ids)}


def scores(logits, ids):
    """Returns float32 `[B, P, 2]`: log-likelihood of each masked word, and 1 if it ranks first.

    Args:
      logits: `[B, P, V]`.
      ids: int32 `[B, P]`; below 0, where there is none, the scores mean nothing.
    """
    labels = tf.maximum(ids, 0)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    first = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
    return tf.stack([-entropy, tf.cast(first, tf.float32)], axis=-1)
