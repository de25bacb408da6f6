"""A BERT with fewer WordPieces: which of them stay, and the model without the others.

A word that was split into pieces that stay is split as before, because the longest piece that fits
is one of them. Other words are spelt by shorter ones. V pieces.
"""

import dataclasses

import numpy as np

from bert_tf.models.weight_paths import expected_shapes

#: What continues a word starts with it.
_SUFFIX = "##"
#: BERT's own tokens, which texts or programs need whether they were counted or not.
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def needed(tokenizer):
    """Returns the pieces that always stay: special and added tokens, and single characters.

    With a character alone and after `##` every word can still be spelt that could be before.

    Args:
      tokenizer: a `bert_tf.tokenizers.tokenization.Tokenizer`.

    Returns:
      bool `[V]`.

    Raises:
      ValueError: if its tokens are no WordPieces.
    """
    if not tokenizer.in_graph:
        raise ValueError(
            "Argument `cut_vocabulary` needs a vocabulary of WordPieces, received the tokenizer "
            f"{str(tokenizer.vocab_file)!r} of another kind."
        )
    whole = {*_SPECIAL, *tokenizer.special_tokens, *tokenizer.added_tokens}
    return np.array(
        [piece in whole or len(piece.removeprefix(_SUFFIX)) == 1 for piece in tokenizer.vocab]
    )


def frequent(counts, share):
    """Returns the fewest pieces that make up a share of a text.

    >>> frequent(np.array([5, 0, 1, 4]), 0.9).tolist()
    [True, False, False, True]

    Args:
      counts: `[V]`, how often the text has each piece.
      share: number in [0, 1] of its tokens; 1 takes all pieces that it has.

    Returns:
      bool `[V]`; of equal counts the first ones.
    """
    counts = np.asarray(counts, np.int64)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    found = np.zeros(len(counts), bool)
    found[order] = (before < share * counts.sum()) & (counts[order] > 0)
    return found


def cut(config, weights, kept):
    """Returns a model without some WordPieces; the others keep their order.

    Args:
      config: an `EncoderConfig`.
      weights: its arrays by our weight paths.
      kept: bool array, a value for each piece of the vocabulary; rows beyond it go.

    Returns:
      `(EncoderConfig, weights)`.

    Raises:
      ValueError: if none is kept, or there are more pieces than rows.
    """
    kept = np.asarray(kept, bool)
    if not 0 < kept.sum() or len(kept) > config.vocab_size:
        raise ValueError(
            f"Argument `kept` must keep some of at most {config.vocab_size} WordPieces, as many as "
            f"the embedding has rows, received {kept.sum()} of {len(kept)}."
        )
    ids = np.flatnonzero(kept)
    smaller = dataclasses.replace(config, vocab_size=len(ids))
    old, new = expected_shapes(config), expected_shapes(smaller)
    found = {}
    for path, array in weights.items():
        for axis, (before, after) in enumerate(zip(old[path], new[path], strict=True)):
            if before != after:  # The axis of the vocabulary, of a gate or head too.
                array = np.take(array, ids, axis)
        found[path] = array
    return smaller, found
