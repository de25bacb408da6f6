"""Tests of bert_tf.tokenizers.tokenization against Google's tokenizer."""

import pytest
from official.nlp.tools.tokenization import FullTokenizer

from bert_tf.tokenizers.tokenization import MAX_CHARS_PER_WORD, Tokenizer

NASTY = [
    "",
    "   ",
    "Café NAÏVE Ångström ÀÉÎÕÜ",
    "ÉCOLE İstanbul ıI ß ẞ Straße",
    "日本語テスト 中文字符 ひらがな 한국어",
    "x" * 100 + " " + "x" * 101 + " end",
    "я" * 100 + " " + "я" * 101,
    "ก" * 100 + "," + "ก" * 101 + "日" + "ก" * 3,
    "é" * 101,
    "hello\x00world a\x01\x02\x7fb",
    "a\tb\nc\rd\x0be\x0cf",
    "a\u00a0b\u3000c\u2003d\u2028e\x85f",
    "zero\u200bwidth\u200djoin\ufeffx soft\u00adhyphen",
    "don't stop!! (ok) [MASK] [SEP] [UNK] ##ing",
    "$100 + 5% = ^_^ ~`|<>",
    "“quotes” — dash… ‚low‛",
    "\ufffd bad",
    "emoji 😀 👨\u200d👩",
    "e\u0301cole",
    "ﬁ ligature ½ ² ℃ Ⅷ № ™ Ǆ ẛ̣ ﷺ",
    "ΟΔΟΣ ς Σ",
    "हिन्दी שָׁלוֹם عَرَبِيّ",
    "𠀀 豈 \U0002f800",
]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "caf", "##e", "é", "##é", "x"]


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return str(path)


def reference(vocab_file, do_lower_case, texts):
    tokenizer = FullTokenizer(vocab_file, do_lower_case)
    tokenizer.wordpiece_tokenizer.max_input_chars_per_word = MAX_CHARS_PER_WORD
    return [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in texts]


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_equals_google_on_nasty_strings(shared, do_lower_case):
    vocab_file = str(shared / "data" / "uncased_vocab.txt")
    tokens = Tokenizer(vocab_file, do_lower_case).tokenize(NASTY).to_list()
    assert tokens == reference(vocab_file, do_lower_case, NASTY)


@pytest.mark.parametrize("file, column", [("SST-2/dev.tsv", 0), ("STS-B/dev.tsv", 7)])
def test_equals_google_on_real_sentences(shared, file, column):
    vocab_file = str(shared / "data" / "uncased_vocab.txt")
    lines = (shared / "data" / "glue" / file).read_text(encoding="utf-8").split("\n")[1:-1]
    texts = [line.split("\t")[column] for line in lines]
    tokens = Tokenizer(vocab_file).tokenize(texts).to_list()
    assert tokens == reference(vocab_file, True, texts)


def test_case_and_accents_follow_the_vocabulary(vocab_file):
    assert Tokenizer(vocab_file, True).tokenize(["CafÉ é"]).to_list() == [[7, 8, 1]]
    assert Tokenizer(vocab_file, False).tokenize(["café é CAF"]).to_list() == [[7, 10, 9, 1]]


def test_encode_single_text(vocab_file):
    encoded = Tokenizer(vocab_file).encode(["a b", "", "a b c a b c"], max_seq_length=6)
    assert encoded.ids.to_list() == [[2, 4, 5, 3], [2, 3], [2, 4, 5, 6, 4, 3]]
    assert encoded.segments.to_list() == [[0] * 4, [0] * 2, [0] * 6]


def google_truncation(a, b, budget):
    a, b = list(a), list(b)
    while len(a) + len(b) > budget:
        (a if len(a) > len(b) else b).pop()
    return a, b


@pytest.mark.parametrize("max_seq_length", [5, 8, 9, 30])
def test_encode_pairs_cuts_the_longer_text_first(vocab_file, max_seq_length):
    pairs = [(i, j) for i in range(9) for j in range(9)]
    encoded = Tokenizer(vocab_file).encode(
        ["a " * i for i, _ in pairs], ["b " * j for _, j in pairs], max_seq_length
    )
    ids, segments = encoded.ids.to_list(), encoded.segments.to_list()
    for row, (i, j) in enumerate(pairs):
        a, b = google_truncation([4] * i, [5] * j, max_seq_length - 3)
        assert ids[row] == [2, *a, 3, *b, 3]
        assert segments[row] == [0] * (len(a) + 2) + [1] * (len(b) + 1)


def test_many_texts_are_encoded_in_several_calls(vocab_file, monkeypatch):
    texts = ["a " * (i % 4) for i in range(10)]
    tokenizer = Tokenizer(vocab_file)
    whole = tokenizer.encode(texts, texts).ids.to_list()
    monkeypatch.setattr("bert_tf.tokenizers.tokenizer.TEXTS_PER_CALL", 3)
    assert tokenizer.encode(texts, texts).ids.to_list() == whole
    assert tokenizer.encode([]).ids.to_list() == []


def test_padding_id_without_the_entry(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[UNK]\r\n[CLS]\r\n[SEP]\r\na\r\n", encoding="utf-8")
    tokenizer = Tokenizer(str(path))
    assert tokenizer.pad_id == 0
    assert len(tokenizer.vocab) == 4
    assert tokenizer.encode(["a"]).ids.to_list() == [[1, 3, 2]]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"[UNK]\n[CLS]\n\n[SEP]\n", "must not have empty lines, see line 3"),
        (b"[UNK]\na\n[CLS]\na\n", "double entries, received 'a' in the lines 2 and 4"),
        (b"[UNK]\n[CLS]\na\n", r"must have the entry '\[SEP\]'"),
        (b"[UNK]\n" + b"x" * 257 + b"\n", "of more than 256 bytes, received 257 in line 2"),
        (b"[UNK]\n##" + b"x" * 257, "of more than 256 bytes, received 259 in line 2"),
        (b"[UNK]\n[CLS]\n[SEP]\n", "must be one that tensorflow-text can hold: No valid vocab"),
        (b"[UNK]\n\xff\n", "must be UTF-8, received the byte 0xFF in line 2"),
    ],
)
def test_bad_vocabulary(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Tokenizer(str(path))


def test_missing_vocabulary():
    with pytest.raises(ValueError, match="'nowhere.txt' does not exist"):
        Tokenizer("nowhere.txt")


def test_bad_arguments(vocab_file):
    tokenizer = Tokenizer(vocab_file)
    with pytest.raises(ValueError, match="`max_seq_length` must be at least 3 .* received 2"):
        tokenizer.encode(["a"], max_seq_length=2)
    with pytest.raises(ValueError, match="`max_seq_length` must be at least 5 .* received 4"):
        tokenizer.encode(["a"], ["b"], max_seq_length=4)
    with pytest.raises(ValueError, match="the same length, received 1 and 2"):
        tokenizer.encode(["a"], ["a", "b"])


def test_the_longest_entries_that_there_may_be(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*WORDS, "é" * 128, "##" + "é" * 128]) + "\n", encoding="utf-8")
    words = ["a" + "é" * 99, "é" * 128]
    assert Tokenizer(str(path), False).tokenize(words).to_list() == [[4, *[10] * 99], [1]]


def test_a_byte_order_mark_and_other_ends_of_lines(tmp_path, vocab_file):
    path = tmp_path / "other.txt"
    path.write_bytes("\ufeff".encode() + "\r\n".join(WORDS).encode())
    assert Tokenizer(str(path)).vocab == Tokenizer(vocab_file).vocab == WORDS


def test_line_separators_are_blanks(vocab_file):
    texts = ["a\u2028b\u2029c", "a\x85b"]
    for whole in (True, False):
        tokenizer = Tokenizer(vocab_file, tokenize_chinese_chars=whole)
        assert tokenizer.tokenize(texts).to_list() == [[4, 5, 6], [1]]


def test_special_tokens_of_a_text(vocab_file):
    text = ["a[SEP]b [sep] \ue000c [S\ue000EP]"]
    google = Tokenizer(vocab_file).tokenize(text).to_list()
    assert google == [[4, 1, 1, 1, 5, 1, 1, 1, 1, 1, 1, 1]]
    theirs = Tokenizer(vocab_file, special_tokens=["[SEP]"]).tokenize(text).to_list()
    assert theirs == [[4, 3, 5, 1, 1, 1, 6, 1, 1, 1]]


def test_tokens_that_the_vocabulary_lacks(vocab_file):
    with pytest.raises(ValueError, match="an entry for each added token, received none for xx, yy"):
        Tokenizer(vocab_file, added_tokens=["a", "xx", "yy"])


def test_words_of_a_text_have_the_tokens_of_the_text(tmp_path):
    words = ["[UNK]", "[CLS]", "[SEP]", "[ent]", "a", "b", "ab", "[", "]", "ent"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = Tokenizer(str(tmp_path / "vocab.txt"), added_tokens=["[ent]"])
    # A form feed is removed, a tab is a blank; added tokens are looked up after lower-casing.
    text = "a\x0cb [ENT] a\tb x[Ent]b"
    parts, starts, ends = (one.to_list()[0] for one in tokenizer.split([text]))
    assert [part.decode() for part in parts] == ["a\x0cb", "[ENT]", "a", "b", "x", "[Ent]", "b"]
    assert [text[a:b].encode() for a, b in zip(starts, ends, strict=True)] == parts
    alone = [one for row in tokenizer.tokenize(parts).to_list() for one in row]
    assert alone == tokenizer.tokenize([text]).to_list()[0]
