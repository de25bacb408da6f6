import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data import masking, text_blocks
from bert_tf.data.text_blocks import TextFile, TextLines
from bert_tf.heads.mlm import MASKED_IDS, MASKED_POSITIONS
from bert_tf.tokenizers.tokenization import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{chr(97 + i)}" for i in range(20)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(SPECIAL + WORDS) + "\n", encoding="utf-8")
    return Tokenizer(str(path))


@pytest.fixture(scope="module")
def rule(tokenizer):
    return masking.Masking.of(tokenizer)


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(0)
    return TextLines("a.txt", [" ".join(rng.choice(WORDS, 9)) for _ in range(400)])


def test_unknown_words_of_wikitext_become_one_token(tokenizer):
    tokens = text_blocks._tokens(["wa <unk> wb", "<unk>"], tokenizer)
    np.testing.assert_array_equal(tokens, [5, 1, 6, 1])


def test_blocks_hold_the_text_in_order_without_padding(tokenizer):
    encoded = text_blocks.encode(TextLines("a", ["wa wb wc", "wd we wf wg"]), tokenizer, 5)
    assert encoded.lengths.tolist() == [5, 5]
    ids, labels = encoded.ids.to_tensor().numpy(), encoded.labels
    for row, positions, words in zip(ids, encoded.extra[MASKED_POSITIONS], labels, strict=True):
        row[positions[words >= 0]] = words[words >= 0]
    np.testing.assert_array_equal(ids, [[2, 5, 6, 7, 3], [2, 8, 9, 10, 3]])


def test_a_text_shorter_than_a_block_is_refused(tokenizer):
    with pytest.raises(ValueError, match="The text file 'a' must have at least one block of 3 tok"):
        text_blocks.encode(TextLines("a", ["wa wb"]), tokenizer, 5)


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff", "\u3000\n\u3000\n"])
def test_a_file_without_a_word_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="The text file '.*a.txt' is empty."):
        TextFile("a.txt").read(tmp_path)


def test_a_text_of_unknown_words_alone_is_refused(tokenizer):
    with pytest.raises(ValueError, match="'a' must have words of the vocabulary, received blocks"):
        text_blocks.encode(TextLines("a", ["<unk> foreign words"]), tokenizer, 5)


def test_of_few_words_one_is_masked(rule):
    _, _, labels = rule.mask([[2, 7, 8, 3], [2, 1, 9, 3], [2, 1, 1, 3]], [0, 0])
    assert labels.numpy()[:2].min() >= 7 and labels.numpy()[2] == [-1]


def test_a_vocabulary_without_mask_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(SPECIAL[:-1] + WORDS) + "\n")
    with pytest.raises(ValueError, match=r"must have an entry such as '\[MASK\]' for masked"):
        masking.Masking.of(Tokenizer(str(tmp_path / "vocab.txt")))


def test_shares_of_masked_words(tokenizer, text):
    encoded = text_blocks.encode(text, tokenizer, 42)
    ids, labels = encoded.ids.to_tensor().numpy(), encoded.labels
    assert labels.shape == (90, 6) and (labels >= 5).all()
    found = np.take_along_axis(ids, encoded.extra[MASKED_POSITIONS], axis=1)
    assert (found == 4).mean() == pytest.approx(0.8, abs=0.05)
    # A random word is the right one in 1 of 25.
    assert (found == labels).mean() == pytest.approx(0.1 + 0.1 / 25, abs=0.04)
    assert all(len(set(row)) == 6 for row in encoded.extra[MASKED_POSITIONS].tolist())


def test_special_tokens_are_never_masked_and_15_percent_are_of_the_others(rule):
    ids = np.tile(np.arange(22) % 22 + 3, [50, 1]).astype(np.int32)
    ids[:, 10:] = 1
    _, positions, labels = rule.mask(ids, [1, 2])
    # Of 8 words, next to [SEP], [MASK] and 12 times [UNK], one is masked.
    assert labels.shape == [50, 3] and (labels.numpy() >= 0).sum(axis=1).tolist() == [1] * 50
    assert (positions.numpy()[:, 0] >= 2).all() and (positions.numpy()[:, 0] < 10).all()


def test_masking_anew_starts_from_the_text_and_follows_from_the_seed(rule, tokenizer, text):
    encoded = text_blocks.encode(text, tokenizer, 42)
    features = {"input_word_ids": encoded.ids.to_tensor(), **encoded.extra}
    first, labels = rule.mask_anew(features, [0, 1])
    other, other_labels = rule.mask_anew(features, [0, 2])
    assert (labels.numpy() != other_labels.numpy()).mean() > 0.5
    again, same = rule.mask_anew(other, [0, 1])
    np.testing.assert_array_equal(again["input_word_ids"], first["input_word_ids"])
    np.testing.assert_array_equal(same, labels)
    np.testing.assert_array_equal(first[MASKED_IDS], labels)
    places = first[MASKED_POSITIONS]
    restored = tf.tensor_scatter_nd_update(
        first["input_word_ids"],
        tf.stack([tf.repeat(tf.range(90)[:, None], 6, axis=1), places], -1),
        labels,
    )
    assert {2, 3}.isdisjoint(restored.numpy()[:, 1:-1].ravel())
    np.testing.assert_array_equal(
        restored.numpy()[:, 1:-1].ravel(), text_blocks._tokens(text.lines, tokenizer)[:3600]
    )
