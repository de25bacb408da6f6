"""The word embedding as two factors: `E = A B`, of a rank.

V words, R rank, E width of the embeddings.
"""

import dataclasses

import numpy as np

from bert_tf.models.weight_paths import WORD_EMBEDDINGS, WORD_PROJECTION
from flop_tf.linalg import factorization


def factorize(config, weights, counts, rank):
    """Returns a model whose word embedding has a rank, nearest to the old one where words are many.

    The squared error of a word counts as often as the word occurs, and once more, so that words
    which the text lacks are not lost. The factors are balanced, so that int8 holds them.

    Args:
      config: an `EncoderConfig`.
      weights: its arrays by our weight paths.
      counts: `[V]` or shorter, how often words occur; rows beyond it occur 0 times.
      rank: R, an int of at least 1 and below the width of the embeddings.

    Returns:
      `(EncoderConfig, weights)`.

    Raises:
      ValueError: if the rank is out of range, or the embedding has factors or a gate already.
    """
    check(config, rank)
    occurrences = np.ones(config.vocab_size)
    occurrences[: len(counts)] += counts
    table = weights[WORD_EMBEDDINGS]
    factors = factorization.balance(*factorization.row_weighted_svd(table, occurrences, rank))
    factors = dict(zip((WORD_EMBEDDINGS, WORD_PROJECTION), factors, strict=True))
    return dataclasses.replace(config, word_embedding_rank=rank), {**weights, **factors}


def check(config, rank):
    """Raises ValueError where the word embedding of a model cannot get a rank.

    Args:
      config: an `EncoderConfig`.
      rank: see `factorize`.
    """
    if not 1 <= rank < config.embedding_width:
        raise ValueError(
            f"Argument `embedding_rank` must be at least 1 and below {config.embedding_width}, the "
            f"width of the word embedding, received {rank}."
        )
    if config.word_embedding_rank or "word_embeddings" in config.gates:
        raise ValueError(
            "Argument `embedding_rank` needs a word embedding that is one matrix without a gate, "
            "received a model with factors or a gate; take the one before that."
        )
