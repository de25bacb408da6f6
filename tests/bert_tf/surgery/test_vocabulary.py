"""A smaller vocabulary: which WordPieces stay, and the model without the others."""

import dataclasses

import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models.bert import BertModel
from bert_tf.surgery import vocabulary
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery

PIECES = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "film", "##s", "f", "##ilm", "日", "<x>"]
CONFIG = EncoderConfig(
    vocab_size=13,  # With two rows that no piece has.
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
)


def tokenizer_of(path, pieces, **rules):
    path.write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
    return Tokenizer(str(path), **rules)


def test_special_tokens_and_characters_are_needed(tmp_path):
    tokenizer = tokenizer_of(tmp_path / "vocab.txt", PIECES, added_tokens=["<x>"])
    kept = vocabulary.needed(tokenizer)
    assert [piece for piece, stays in zip(PIECES, kept, strict=True) if not stays] == [
        *("[unused0]", "film", "##ilm"),
    ]


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (0.0, [0, 0, 0, 0, 0]),
        (0.5, [1, 0, 0, 0, 0]),
        (0.6, [1, 1, 0, 0, 0]),
        (0.9, [1, 1, 0, 0, 0]),
        (0.95, [1, 1, 1, 0, 0]),
        (1.0, [1, 1, 1, 1, 0]),
    ],
)
def test_the_fewest_pieces_of_a_share(share, kept):
    """Of 20 tokens 10, 8, 1 and 1; of equal counts the first one comes first."""
    assert vocabulary.frequent([10, 8, 1, 1, 0], share).tolist() == [bool(k) for k in kept]


@pytest.mark.parametrize("text", ["films film", "Films!", "日f ffs", "fs [SEP]", "filmf"])
def test_a_text_of_kept_pieces_is_split_as_before_and_answered_equally(tmp_path, text):
    whole = tokenizer_of(tmp_path / "whole.txt", [*PIECES, "##f", "xyz"])
    kept = np.array([piece not in ("[unused0]", "##ilm", "xyz") for piece in whole.vocab])
    small = tokenizer_of(tmp_path / "small.txt", np.array(whole.vocab)[kept])
    model = BertModel(CONFIG)
    config, weights = vocabulary.cut(CONFIG, surgery.named_weights(model), kept)
    assert config == dataclasses.replace(CONFIG, vocab_size=10)
    smaller = BertModel(config)
    surgery.assign_weights(smaller, weights)
    ids = [one.encode([text]).ids.to_tensor() for one in (whole, small)]
    words = [[one.vocab[i] for i in row[0]] for one, row in zip((whole, small), ids, strict=True)]
    assert words[0] == words[1]
    answers = [
        one(dict(zip(INPUT_NAMES, (row, np.ones_like(row), np.zeros_like(row)), strict=True)))
        for one, row in zip((model, smaller), ids, strict=True)
    ]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (np.zeros(13), "must keep some of at most 13 WordPieces, .* received 0 of 13"),
        (np.ones(14), "must keep some of at most 13 WordPieces, .* received 14 of 14"),
    ],
)
def test_errors(kept, sentence):
    with pytest.raises(ValueError, match=f"`kept` {sentence}"):
        vocabulary.cut(CONFIG, {}, kept)
