"""BERT that predicts masked words: the head of pretraining, tied to the word embedding.

B batch, T tokens, P masked places of a text, H hidden, V words of the vocabulary.
"""

import tensorflow as tf

from bert_tf.encoders.encoder import activation, initializer
from bert_tf.encoders.layer_norm import LayerNorm
from bert_tf.heads.classifier import BertModel
from flop_tf.backend import keras

#: Feature: the masked places of each text, int32 `[B, P]`.
MASKED_POSITIONS = "masked_positions"

#: Feature beside it where texts are scored: the words there, int32 `[B, P]`, below 0 for none.
MASKED_IDS = "masked_ids"


@keras.saving.register_keras_serializable("bert_tf")
class MlmHead(keras.layers.Layer):
    """`logits = LayerNorm(act(h W + b)) E^T + c`, with E the word embedding `[V, H]`.

    E is not the head's own, and no gate is on it.

    Args:
      config: a `BertConfig`.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.dense = keras.layers.Dense(
            config.hidden_size,
            activation=activation(config.hidden_act),
            kernel_initializer=initializer(config),
        )
        self.layer_norm = LayerNorm(config.fused_layer_norm, epsilon=config.layer_norm_eps)
        self.output_bias = self.add_weight(
            name="output_bias", shape=[config.vocab_size], initializer="zeros"
        )

    def call(self, hidden, table, training=None):
        """Returns float32 logits `[..., V]` of hidden states `[..., H]` and E `[V, H]`."""
        flat = tf.reshape(hidden, [-1, self.config.hidden_size])
        transformed = self.layer_norm(self.dense(flat), training=training)
        table = tf.cast(table, transformed.dtype)
        logits = tf.matmul(transformed, table, transpose_b=True)
        logits = tf.cast(logits, tf.float32) + tf.cast(self.output_bias, tf.float32)
        return tf.reshape(logits, tf.concat([tf.shape(hidden)[:-1], [self.config.vocab_size]], 0))


@keras.saving.register_keras_serializable("bert_tf")
class BertMaskedLM(BertModel):
    """Logits of the words at masked places, `[B, T]` ids to `[B, P, V]`, or at all, `[B, T, V]`.

    Only at `MASKED_POSITIONS` are there logits, if the inputs name them. The pooler is not
    trained: nothing reads it.

    Args:
      config: a `BertConfig` with the head "mlm".
      **kwargs: of `keras.Model`.
    """

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.encoder.pooler.trainable = False
        self.make_weights()

    def make_head(self):
        """Returns the `MlmHead`."""
        return MlmHead(self.config, name=self.config.head)

    def call(self, inputs, training=None):
        """Returns float32 logits for the dict of inputs of `BertEncoder`."""
        return self.logits(self.encoder(inputs, training=training), inputs, training)

    def logits(self, encoded, inputs, training=None):
        """Returns the logits of what the encoder made of the inputs."""
        hidden = encoded["sequence_output"]
        if MASKED_POSITIONS in inputs:
            hidden = tf.gather(hidden, inputs[MASKED_POSITIONS], batch_dims=1)
        table = tf.convert_to_tensor(self.encoder.embeddings.word_embeddings)
        return self.mlm(hidden, table, training=training)

    def predict_step(self, data):
        """Returns `scores` where the masked words are given, as logits would fill the memory."""
        features, *_ = keras.utils.unpack_x_y_sample_weight(data)
        if MASKED_IDS not in features:
            return super().predict_step(data)
        logits = self(features, training=False)
        return self.beside_index(scores(logits, features[MASKED_IDS]), features)

    @staticmethod
    def head_multiplications(config, length):
        """Returns those of the head for an input of `length` tokens: it predicts at all of them."""
        return length * config.hidden_size * (config.hidden_size + config.vocab_size)


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
