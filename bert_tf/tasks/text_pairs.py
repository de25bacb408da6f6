"""Pairs of texts, each text encoded by itself, and scores by the cosines of their embeddings.

N texts, P pairs, H hidden. The texts of a pair follow each other.
"""

import dataclasses

import numpy as np

from bert_tf.data.batching import EncodedExamples
from bert_tf.heads.embedding import cosines, directions
from bert_tf.tasks import metrics

#: How many nearest answers are looked at.
RECALLS = (1, 5, 10)

# Queries whose cosines to all answers are held at once.
_QUERIES = 512


@dataclasses.dataclass(frozen=True)
class EncodedTexts(EncodedExamples):
    """N texts, two of each pair.

    Args:
      ids: as in `EncodedExamples`, so the rest; labels are float32 `[N, 2]`: the number of the pair
        and its score in [0, 1]; -1 and 0 of a text of no pair.
      numbers: int `[N]`, the number of the pair that each text is of, -1 of none.
      texts: int `[N]`; those of equal texts are equal.
    """

    numbers: np.ndarray | None = None
    texts: np.ndarray | None = None

    def take(self, indices):
        """Returns the texts at `indices`; a pair stays one if both of its texts do.

        Args:
          indices: sequence of ints.
        """
        indices = np.asarray(indices, np.int64)
        kept = {"numbers": self.numbers[indices], "texts": self.texts[indices]}
        return dataclasses.replace(super().take(indices), **kept)

    @property
    def pairs(self):
        """The positions of the two texts of each pair, int `[P, 2]`."""
        first = np.flatnonzero((self.numbers[:-1] == self.numbers[1:]) & (self.numbers[1:] >= 0))
        return np.stack([first, first + 1], axis=1)


def flat(examples):
    """Returns the N texts of examples, those of a pair after each other.

    Args:
      examples: `bert_tf.data.examples.Examples`, of texts or of pairs.
    """
    if examples.texts_b is None:
        return list(examples.texts_a)
    return [text for pair in zip(examples.texts_a, examples.texts_b, strict=True) for text in pair]


def encode(examples, tokenizer, max_seq_length, scores, in_pairs):
    """Tokenizes each text of examples by itself.

    Args:
      examples: `bert_tf.data.examples.Examples`, of texts or of pairs.
      tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
      max_seq_length: the most tokens of a text; longer ones are cut.
      scores: float `[P]` in [0, 1] of the pairs, or None.
      in_pairs: whether the two texts of a pair stay in one batch of training.

    Returns:
      `EncodedTexts`; its labels are None without scores.
    """
    texts = flat(examples)
    encoded = tokenizer.encode(texts, None, max_seq_length)
    is_pair = examples.texts_b is not None
    numbers = np.arange(len(texts)) // 2 if is_pair else np.full(len(texts), -1)
    labels = None
    if scores is not None:
        labels = np.stack([numbers, np.repeat(scores, 2)], axis=1).astype(np.float32)
    return EncodedTexts(
        encoded.ids,
        encoded.segments,
        labels,
        max_seq_length,
        tokenizer.pad_id,
        unit=2 if in_pairs else 1,
        numbers=numbers,
        texts=np.unique(np.array(texts, object), return_inverse=True)[1],
    )


def pair_cosines(embeddings, encoded):
    """Returns the cosine of the two texts of each pair, float64 `[P]`.

    Args:
      embeddings: `[N, H]`.
      encoded: `EncodedTexts`.

    Raises:
      ValueError: if the shapes do not fit or a number is not finite.
    """
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2 or len(embeddings) != len(encoded):
        raise ValueError(
            f"Argument `logits` must have the shape ({len(encoded)}, H), a row for each text, "
            f"received {embeddings.shape}."
        )
    metrics.check_finite(embeddings)
    return cosines(*(embeddings[encoded.pairs[:, side]] for side in (0, 1)))


def correlations(found, scores):
    """Returns `spearmanr` and `pearson` of cosines and scores; 0 where one of them is constant.

    Args:
      found: `[P]`, cosines.
      scores: `[P]`.
    """
    values = metrics.regression(found, scores)
    return {name: values[name] for name in ("spearmanr", "pearson")}


def recalls(embeddings, encoded):
    """Returns the share of queries with an answer among the nearest 1, 5 and 10, by name.

    The first text of a pair is a query, the second one its answer. All different answers are
    candidates. A query that occurs more than once has several answers, of which the nearest counts.
    Another candidate that is as near comes first.

    Args:
      embeddings: `[N, H]`.
      encoded: `EncodedTexts` with at least one pair.
    """
    rows, vectors = encoded.pairs, directions(embeddings)
    answers, first = np.unique(encoded.texts[rows[:, 1]], return_index=True)
    candidates = vectors[rows[first, 1]]
    queries, first, owner = np.unique(
        encoded.texts[rows[:, 0]], return_index=True, return_inverse=True
    )
    places = np.searchsorted(answers, encoded.texts[rows[:, 1]])
    ranks = []
    for start in range(0, len(queries), _QUERIES):
        some = range(start, min(start + _QUERIES, len(queries)))
        near = vectors[rows[first[some], 0]] @ candidates.T
        right = np.zeros(near.shape, bool)
        mine = (owner >= some.start) & (owner < some.stop)
        right[owner[mine] - start, places[mine]] = True
        best = np.where(right, near, -np.inf).max(axis=1)
        ranks.append(((near >= best[:, np.newaxis]) & ~right).sum(axis=1))
    ranks = np.concatenate(ranks)
    return {recall_name(number): float((ranks < number).mean()) for number in RECALLS}


def recall_name(number):
    """Returns the name of the share of queries with an answer among the nearest.

    Args:
      number: how many nearest answers are looked at.
    """
    return f"recall_at_{number}"
