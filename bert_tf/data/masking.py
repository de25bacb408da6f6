"""Masked words for pretraining, drawn by a seed: the same seed masks the same way.

B texts, T tokens, P masked places of a text, V words of the vocabulary. tensorflow-text and
tf-models mask too, but by TensorFlow's stateful generator, so that a run that goes on after a stop
would see other masks.
"""

import dataclasses

import tensorflow as tf

from bert_tf.heads.mlm import MASKED_IDS, MASKED_POSITIONS

#: Share of the words that are masked.
MASKED = 0.15

#: Of those: shares that become `[MASK]`, and `[MASK]` or any word; the rest stays as it is.
_AS_MASK, _CHANGED = 0.8, 0.9


@dataclasses.dataclass(frozen=True)
class Masking:
    """How words of a vocabulary are masked.

    Args:
      vocab_size: V.
      mask_id: of `[MASK]`.
      special_ids: tuple of ids that are never masked.
    """

    vocab_size: int
    mask_id: int
    special_ids: tuple

    @classmethod
    def of(cls, tokenizer):
        """Returns the rule for a tokenizer.

        Args:
          tokenizer: a `bert_tf.tokenizers.tokenizer.TextTokenizer`.

        Raises:
          ValueError: if its vocabulary has no token for masked words.
        """
        if tokenizer.mask_id is None:
            raise ValueError(
                f"The vocabulary {str(tokenizer.vocab_file)!r} must have an entry such as '[MASK]' "
                "for masked language modelling, received none; take the one of a pretrained model."
            )
        return cls(len(tokenizer.vocab), tokenizer.mask_id, tokenizer.special_ids)

    def mask(self, ids, seed):
        """Masks 15 % of the words of each text, to the nearest word, of few words one.

        A masked word becomes `[MASK]` in 80 % of the places, any word of the vocabulary in 10 %
        and stays in 10 %.

        Args:
          ids: int32 `[B, T]`, T known beforehand.
          seed: two ints, of the draw.

        Returns:
          `(ids [B, T], positions [B, P], labels [B, P])`, int32. A text with fewer words that can
          be masked than the others has labels of -1 at the end.
        """
        ids = tf.convert_to_tensor(ids, tf.int32)
        places, tosses, words = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
        special = tf.reduce_any(ids[..., tf.newaxis] == tf.constant(self.special_ids), axis=-1)
        order = tf.where(special, -1.0, tf.random.stateless_uniform(tf.shape(ids), places))
        num_words = tf.reduce_sum(tf.cast(~special, tf.float32), axis=1, keepdims=True)
        num_masked = tf.maximum(tf.round(MASKED * num_words), tf.minimum(num_words, 1.0))
        num_places = max(1, round(MASKED * (ids.shape[1] - 2)))
        _, positions = tf.math.top_k(order, num_places)
        is_masked = tf.range(num_places) < tf.cast(num_masked, tf.int32)
        labels = tf.gather(ids, positions, batch_dims=1)
        toss = tf.random.stateless_uniform(tf.shape(labels), tosses)
        word = tf.random.stateless_uniform(tf.shape(labels), words, 0, self.vocab_size, tf.int32)
        changed = tf.where(toss < _AS_MASK, self.mask_id, tf.where(toss < _CHANGED, word, labels))
        changed = tf.where(is_masked, changed, labels)
        return _put(ids, positions, changed), positions, tf.where(is_masked, labels, -1)

    def mask_anew(self, features, seed):
        """Returns `(features, labels)` of a batch with other words masked than so far.

        Args:
          features: dict with `input_word_ids`, `MASKED_POSITIONS` and `MASKED_IDS`.
          seed: two ints, of the draw.
        """
        ids = restored(features)["input_word_ids"]
        masked, positions, labels = self.mask(ids, seed)
        changed = {"input_word_ids": masked, MASKED_POSITIONS: positions, MASKED_IDS: labels}
        return {**features, **changed}, labels


def restored(features):
    """Returns the features of a batch with the original words in place of its masks.

    Args:
      features: dict of a masked batch, see `mask`.
    """
    positions, labels = features[MASKED_POSITIONS], features[MASKED_IDS]
    ids = features["input_word_ids"]
    there = tf.where(labels >= 0, labels, tf.gather(ids, positions, batch_dims=1))
    return {**features, "input_word_ids": _put(ids, positions, there)}


def _put(ids, positions, values):
    """Returns `ids [B, T]` with `values [B, P]` at `positions [B, P]`."""
    rows = tf.repeat(tf.range(tf.shape(ids)[0])[:, tf.newaxis], tf.shape(positions)[1], axis=1)
    places = tf.stack([rows, positions], axis=-1)
    return tf.tensor_scatter_nd_update(ids, places, values)
