"""Windows over sentences: where each word is read, and what logits say of it."""

import numpy as np
import pytest

from bert_tf.data.sentences import Sentences
from bert_tf.heads.tokens import WORD_STARTS
from bert_tf.tasks import sentence_windows
from bert_tf.tokenizers.tokenization import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    letters = "abcdefghijkl"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{one}" for one in letters)]
    path.write_text("\n".join(pieces) + "\n")
    return Tokenizer(str(path))


def encode(tokenizer, words, length, tags=None):
    lines = [[1] * len(one) for one in words]
    return sentence_windows.encode(Sentences(words, tags, lines), tokenizer, length)


def test_a_word_is_read_at_its_first_token(tokenizer):
    words, tags = [["ab", "\u200b", "c", "a,b"], [], ["?"]], [[1, 2, 0, 3], [], [1]]
    found = encode(tokenizer, words, 12, tags)
    pieces = [[tokenizer.vocab[i] for i in row] for row in found.ids.to_list()]
    assert pieces[0] == ["[CLS]", "a", "##b", "c", "a", "[UNK]", "b", "[SEP]"]
    assert pieces[1:] == [["[CLS]", "[SEP]"], ["[CLS]", "[UNK]", "[SEP]"]]
    assert found.labels.dtype == np.int32 and found.labels.shape == (3, 12)
    assert found.labels[0].tolist() == [-1, 1, -1, 0, 3] + [-1] * 7
    assert found.labels[1].max() == -1 and found.labels[2].tolist() == [-1, 1] + [-1] * 10
    np.testing.assert_array_equal(found.extra[WORD_STARTS], found.labels >= 0)
    assert found.sizes.tolist() == [3, 0, 1]
    assert found.places.tolist() == [1, -1, 3, 4, 1] and found.classes.tolist() == [1, 2, 0, 3, 1]
    assert found.split("vwxyz") == [["v", "w", "x", "y"], ["z"]]


def test_windows_overlap_and_each_word_is_read_once_where_it_has_most_context(tokenizer):
    words = [list("abcdefghijk")]
    found = encode(tokenizer, words, 6, [list(range(11))])
    texts = ["".join(tokenizer.vocab[i] for i in row[1:-1]) for row in found.ids.to_list()]
    assert texts == ["abcd", "cdef", "efgh", "ghij", "ijk"]
    read = ["".join(t[p - 1] for w, p in zip(found.windows, found.places, strict=True) if w == n)
            for n, t in enumerate(texts)]  # fmt: skip
    assert read == ["abc", "de", "fg", "hi", "jk"]
    labelled = [row[row >= 0].tolist() for row in found.labels]
    assert labelled == [[0, 1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert found.sizes.tolist() == [3, 2, 2, 2, 2]


@pytest.mark.parametrize("length", [3, 4, 5, 7, 16, 40])
def test_every_word_is_read(tokenizer, length):
    generator = np.random.default_rng(length)
    sizes = generator.integers(0, 6, 23)
    words = [["\u200b" if n == 0 else "abcdefghij"[:n] for n in sizes], ["a"]]
    found = encode(tokenizer, words, length)
    assert found.labels is None and found.lengths.max() <= length
    firsts = found.ids.to_tensor().numpy()[found.windows, found.places]
    is_read = found.places >= 0
    np.testing.assert_array_equal(is_read, [*(sizes > 0), True])
    assert {tokenizer.vocab[i] for i in firsts[is_read]} == {"a"}
    assert found.sizes.sum() == is_read.sum()


def test_classes_of_words(tokenizer):
    found = encode(tokenizer, [["ab", "\u200b", "c"]], 8, [[1, 0, 2]])
    logits = np.zeros([1, 8, 3], np.float32)
    logits[0, [1, 2, 3], [1, 0, 2]] = 5  # Of the second token nothing is read.
    assert sentence_windows.word_classes(found, logits, 0).tolist() == [1, 0, 2]
    assert sentence_windows.word_classes(found, logits, 2).tolist() == [1, 2, 2]
    with pytest.raises(
        ValueError, match=r"the shape \(1, T, C\) with T at least 5, received \(1, 4"
    ):
        sentence_windows.word_logits(found, logits[:, :4])
    with pytest.raises(ValueError, match="must be finite"):
        sentence_windows.word_logits(found, logits * np.nan)


def test_some_windows(tokenizer):
    found = encode(tokenizer, [list("abcdefghijk"), ["a"]], 6, [list(range(11)), [0]])
    some = found.take([5, 1])
    assert some.classes.tolist() == [3, 4, 0] and some.windows.tolist() == [1, 1, 0]
    assert some.split(some.classes) == [[3, 4], [0]]
    assert encode(tokenizer, [["a"]], 6).take([0]).classes is None


def test_too_short(tokenizer):
    with pytest.raises(ValueError, match="`max_seq_length` must be at least 3"):
        encode(tokenizer, [["ab", "c"]], 2)
