"""How far the hidden states of a student are from its teacher's.

B batch, T tokens, N heads, H hidden. All are means over layers and the tokens that a mask has.

Reference:
  Learning to Win Lottery Tickets in BERT Transfer via Task-agnostic Mask Training, NAACL 2022;
  attention and relations after TinyBERT, arXiv 1909.10351.
"""

import math

import tensorflow as tf

#: Distances of hidden states by name.
HIDDEN = ("cosine", "mse")

#: What relations are between: the tokens of a text, or the first tokens of the texts of a batch.
RELATIONS = ("tokens", "samples")


def layer_map(num_layers, num_teacher_layers):
    """Returns for each layer of the student the teacher's, `i L_T / L_S` with i from 1; from 0.

    Args:
      num_layers: L, layers of the student.
      num_teacher_layers: L_T, layers of the teacher.

    Raises:
      ValueError: if the teacher's layers are no multiple of the student's.
    """
    if num_teacher_layers % num_layers:
        raise ValueError(
            f"The teacher must have a multiple of the student's {num_layers} layers, received "
            f"{num_teacher_layers}; take another teacher."
        )
    every = num_teacher_layers // num_layers
    return [index * every - 1 for index in range(1, num_layers + 1)]


def hidden_distance(students, teachers, mask, kind="cosine"):
    """Returns the mean over tokens of `1 - cos(h_S, h_T)`, or of `mean (h_S - h_T)^2`.

    Args:
      students: list of `[B, T, H]`, one for each layer.
      teachers: list of the same.
      mask: `[B, T]`, 1 for tokens that count and 0 for padding.
      kind: "cosine" or "mse".
    """
    pairs = zip(students, teachers, strict=True)
    if kind == "mse":
        distances = [tf.reduce_mean(tf.math.squared_difference(*pair), axis=-1) for pair in pairs]
    else:
        distances = [1.0 - tf.reduce_sum(_unit(s) * _unit(t), axis=-1) for s, t in pairs]
    return _mean(distances, mask)


def attention_distance(students, teachers, mask):
    """Returns the mean squared difference of raw attention scores.

    Args:
      students: list of `[B, N, T, T]`, one for each layer.
      teachers: list of the same.
      mask: `[B, T]`; where it has padding too, scores of it must be 0 in both.
    """
    distances = [
        tf.reduce_mean(tf.math.squared_difference(s, t), axis=1)
        for s, t in zip(students, teachers, strict=True)
    ]
    return _mean(distances, _pairs(mask))


def relation_distance(students, teachers, mask, kind="tokens"):
    """Returns the mean squared difference of `H H^T / sqrt(H)`; the widths may differ.

    Args:
      students: list of `[B, T, H]`, one for each layer.
      teachers: list of the same.
      mask: `[B, T]`.
      kind: "tokens", or "samples" for the first token of each text against those of the others.
    """
    if kind == "samples":
        students, teachers = ([h[tf.newaxis, :, 0] for h in each] for each in (students, teachers))
        mask = mask[tf.newaxis, :, 0]
    distances = [
        tf.math.squared_difference(_relations(s), _relations(t))
        for s, t in zip(students, teachers, strict=True)
    ]
    return _mean(distances, _pairs(mask))


def attention_scores(block, received, mask):
    """Returns the raw scores `q k^T / sqrt(D)` of a block, `[B, N, T, T]`, 0 at padded keys.

    Args:
      block: a `bert_tf.encoders.encoder.TransformerBlock`.
      received: what its projections received, see `Encoder.call`.
      mask: `[B, T]`.
    """
    shape = [tf.shape(mask)[0], tf.shape(mask)[1], block.layer.num_heads, -1]
    query, key = (
        tf.transpose(tf.reshape(getattr(block, name)(received[name]), shape), [0, 2, 1, 3])
        for name in ("query", "key")
    )
    scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(block.config.head_size)
    return scores * tf.cast(mask, scores.dtype)[:, tf.newaxis, tf.newaxis]


def _unit(vectors):
    return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-24)


def _relations(hidden):
    return tf.matmul(hidden, hidden, transpose_b=True) / math.sqrt(hidden.shape[-1])


def _pairs(mask):
    """Returns 1 where both tokens count, `[B, T, T]`."""
    return mask[:, :, tf.newaxis] * mask[:, tf.newaxis]


def _mean(distances, mask):
    """Returns the mean of a list of arrays of one shape, where the mask is 1."""
    mean = tf.add_n(distances) / len(distances)
    mask = tf.cast(mask, mean.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(mean * mask), tf.reduce_sum(mask))
