"""The same ids by `tokenizers` and a `tokenizer.json` of ours as by our tokenizer."""

import json
import random

import pytest
import tokenizers

from bert_tf.tokenizers.portable import tokenizer_json
from bert_tf.tokenizers.tokenization import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcxyzéσςяü"
WORDS = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *"()-!?.,日本", "ab", "New"]

TEXTS = [
    "",
    " \t\r\n\x0b\x0c\x85\u2028\u3000\u00a0",
    "ab\x00\x01\x7f\u200b\ufeffc\ufffda\u00adb",
    "É e\u0301 ÉA\u0323\u0301B ü u\u0308 Ü İ ı ß ẞ ½ ™ ﬁ Ǆ ẛ̣ ﷺ",
    "ΑΣ ΣΑ ΑΣΑ Σ ΣΣ Α.Σ ΑΣ.Α aσς ab'Σ. ΑΣ\u0301 ΑΣ\u0301Α",
    "日本a日ab本 𠀀豈\U0002f800 한국어 ひらがな",
    "a" * 100 + " " + "a" * 101 + "," + "é" * 100 + "日" + "é" * 101,
    "a[SEP]b [sep] [CLS][MASK][UNK] ##a [S\ue000EP] New new NEW a_b $5 a-b",
    "\ue000a\U000f0000b\U0010fffd",
    "😀 👨\u200d👩 हिन्दी שָׁלוֹם عَرَبِيّ “a” — …",
]
RULES = [
    {},
    {"do_lower_case": False},
    {"do_lower_case": False, "strip_accents": True},
    {"strip_accents": False, "tokenize_chinese_chars": False},
    {"special_tokens": SPECIAL},
    {"special_tokens": SPECIAL[2:4], "added_tokens": ["New"], "do_lower_case": False},
    {"special_tokens": SPECIAL, "added_tokens": ["New"], "tokenize_chinese_chars": False},
]


@pytest.fixture(scope="module", params=RULES, ids=str)
def both(request, tmp_path_factory):
    """Our tokenizer, and the library's of the file."""
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
    ours = Tokenizer(str(path), **request.param)
    return ours, tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(ours)))


def assert_same(both, texts):
    ours, theirs = both
    ids = theirs.encode_batch(texts, add_special_tokens=False)
    for text, row, encoding in zip(texts, ours.tokenize(texts).to_list(), ids, strict=True):
        assert encoding.ids == row, ascii(text)


def test_odd_texts(both):
    assert_same(both, TEXTS)


def test_every_character(both):
    assigned = [*range(0xD800), *range(0xE000, 0x34000), *range(0xE0000, 0xE0200)]
    words = [f"a{chr(code)}b" for code in (*assigned, *range(0x34000, 0x110000, 97))]
    assert_same(both, [" ".join(words[i : i + 64]) for i in range(0, len(words), 64)])


def test_random_texts(both):
    rng = random.Random(0)
    pieces = [*TEXTS, *LETTERS, *LETTERS.upper(), *SPECIAL, *" \t.-'\u0301\u0308日Σ"]
    texts = ["".join(rng.choices(pieces, k=rng.randint(1, 60))) for _ in range(500)]
    assert_same(both, texts)


def test_texts_and_pairs_with_special_tokens(both):
    ours, theirs = both
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    for given, texts in ((TEXTS, [TEXTS]), (pairs, [TEXTS, TEXTS[::-1]])):
        encoded = ours.encode(*texts, max_seq_length=10_000)
        found = theirs.encode_batch(given)
        assert [one.ids for one in found] == encoded.ids.to_list()
        assert [one.type_ids for one in found] == encoded.segments.to_list()


def test_words_of_real_texts(shared):
    ours = Tokenizer(str(shared / "data/uncased_vocab.txt"))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(ours)))
    texts = (shared / "data/glue/SST-2/dev.tsv").read_text("utf-8").split("\n")
    assert_same((ours, theirs), texts)
