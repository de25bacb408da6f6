"""BERT's WordPiece tokenization, for all texts at once, inside TensorFlow.

The tokens equal those of Google's `FullTokenizer` with at most 100 characters
a word, the limit of Hugging Face (Google's code has 200, tf-models' copy 400),
for cased and uncased vocabularies. tensorflow-text alone does not give them:
its lower-casing folds "½", "™", "ß" and "…" into other letters and its limit
counts bytes. So this file cleans and lower-cases by Google's rules and leaves
splitting and WordPiece to `FastBertTokenizer`.
The one difference left: characters younger than the Unicode tables of Python or Hugging Face, which
their code takes for letters and TensorFlow knows as marks or punctuation.

Tokens that are looked up whole, such as "[SEP]" in a text for Hugging Face, become characters of
Unicode's private-use area, which no other rule touches, and stand in the vocabulary under those.
"""

import functools
import hashlib
import re

import tensorflow as tf
import tensorflow_text as tf_text

from bert_tf.tokenizers import portable, tokenizer_json
from bert_tf.tokenizers.tokenizer import TEXTS_PER_CALL, TextTokenizer
from flop_tf.files.text_files import read_lines

#: Name of the file with one WordPiece a line.
VOCAB_FILE = "vocab.txt"

#: Words of more characters become `[UNK]`.
MAX_CHARS_PER_WORD = 100

#: Bytes of the longest WordPiece, without "##", that tensorflow-text holds.
MAX_BYTES_PER_TOKEN = 256

#: What continues a word starts with it.
_SUFFIX = "##"

# Which tokens are no part of a text, where the vocabulary has them.
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_REMOVED = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}\p{Cf}\x{FFFD}]"
_CJK = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)
_PUNCTUATION = r"\p{P}!-/:-@\[-`{-~"
_SPACE = r"[\s\p{Z}]+"
# The same of a text in which what is removed still stands.
_KEPT_SPACE = r"[\t\n\r\p{Z}]+"

# The private-use area of the first plane, and a character for what a text has of any of them.
_PLACES = range(0xE000, 0xF900)
_PRIVATE_USE, _REMOVED_LATER = r"\p{Co}", "\0"


class Tokenizer(TextTokenizer):
    """Splits texts into WordPieces of a vocabulary.

    Args:
      vocab_file: path of a text file with one WordPiece a line.
      do_lower_case: whether the vocabulary is uncased. Defaults to True.
      strip_accents: whether accents are removed; None is as `do_lower_case`.
      tokenize_chinese_chars: whether each CJK character is a word of its own. Defaults to True.
      special_tokens: tokens that a text may contain, looked up as they stand there. With any,
        texts are read as Hugging Face's library does where it differs from Google's code:
        private-use characters are removed and each capital sigma becomes σ.
      added_tokens: the same, looked up after lower-casing, as other added tokens are.
      extra_words: entries of the vocabulary after those of the file.

    Raises:
      ValueError: if the file is missing, empty, not UTF-8, has a line that is empty, double or
        too long, or lacks `[UNK]`, `[CLS]` or `[SEP]`.
    """

    in_graph = True
    unknown = "[UNK]"
    #: Words of more characters become `[UNK]`.
    max_chars_per_word = MAX_CHARS_PER_WORD

    def __init__(
        self,
        vocab_file,
        do_lower_case=True,
        *,
        strip_accents=None,
        tokenize_chinese_chars=True,
        special_tokens=(),
        added_tokens=(),
        extra_words=(),
    ):
        self.vocab_file = vocab_file
        self.do_lower_case = do_lower_case
        self.strip_accents = strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.special_tokens, self.added_tokens = tuple(special_tokens), tuple(added_tokens)
        whole = dict.fromkeys((*self.special_tokens, *self.added_tokens))
        self.vocab = [*read_vocab(vocab_file), *extra_words]
        if lacking := [token for token in whole if token not in self.vocab]:
            raise ValueError(
                f"The vocabulary {str(vocab_file)!r} must have an entry for each added token, "
                f"received none for {', '.join(lacking)}."
            )
        ids = {token: self.vocab.index(token) for token in _SPECIAL if token in self.vocab}
        self.special_ids, self.mask_id = tuple(ids.values()), ids.get("[MASK]")
        self.cls_id, self.sep_id = ids["[CLS]"], ids["[SEP]"]
        # Padding is masked, so a vocabulary without `[PAD]` can use any id.
        self.pad_id = ids.get("[PAD]", 0)
        if len(whole) > len(_PLACES):
            raise ValueError(
                f"The vocabulary {str(vocab_file)!r} must have at most {len(_PLACES)} added "
                f"tokens, received {len(whole)}."
            )
        self._places = dict(zip(whole, map(chr, _PLACES), strict=False))
        # Of every word of `_split`: the vocabulary, and after it the places.
        self._ids = [*range(len(self.vocab)), *map(self.vocab.index, whole)]
        self._normalized_added = [
            text.decode()
            for text in self._normalize(tf.constant(self.added_tokens, tf.string)).numpy()
        ]
        word_of_its_own = f"[{_PUNCTUATION}{_CJK if tokenize_chinese_chars else ''}]"
        self._word_delimiters = (f"{_SPACE}|{word_of_its_own}", word_of_its_own)
        # Of a text as it is, where tokens that are looked up whole still stand.
        any_case = "(?i:{})" if do_lower_case else "{}"
        tokens = {token: re.escape(token) for token in self.special_tokens}
        tokens |= {token: any_case.format(re.escape(token)) for token in self.added_tokens}
        longest_first = [tokens[token] for token in sorted(tokens, key=len, reverse=True)]
        kept = "|".join([*longest_first, word_of_its_own])
        self._text_delimiters = (f"{kept}|{_KEPT_SPACE}", kept)
        self._wordpiece = _wordpiece(
            [*self.vocab, *self._places.values()], tokenize_chinese_chars, vocab_file
        )

    @property
    def rules(self):
        """See `TextTokenizer`."""
        return {
            "do_lower_case": self.do_lower_case,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.tokenize_chinese_chars,
            "special_tokens": list(self.special_tokens),
            "added_tokens": list(self.added_tokens),
        }

    @property
    def digest(self):
        """The SHA-256 digest of the vocabulary."""
        return hashlib.sha256("\n".join(self.vocab).encode()).hexdigest()

    @property
    def template(self):
        """See `TextTokenizer`."""
        single = [((self.cls_id,), 0), (None, 0), ((self.sep_id,), 0)]
        return single, [*single, (None, 1), ((self.sep_id,), 1)]

    def file(self):
        """Returns `(name, text)` of the vocabulary, a WordPiece a line."""
        return VOCAB_FILE, "".join(f"{token}\n" for token in self.vocab)

    def foreign(self):
        """See `TextTokenizer`."""
        switches = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
        found = {"tokenizer_class": "BertTokenizer", **{n: getattr(self, n) for n in switches}}
        added = [one for one in portable.added_tokens(self) if one["content"] not in _SPECIAL]
        if added:
            found["added_tokens_decoder"] = {str(one.pop("id")): one for one in added}
        return found

    def portable(self):
        """See `TextTokenizer`."""
        return portable.tokenizer_json(self)

    def tokenize(self, texts):
        """See `TextTokenizer`."""
        texts = tf.convert_to_tensor(texts, tf.string)
        if self._places:
            texts = tf.strings.regex_replace(texts, _PRIVATE_USE, _REMOVED_LATER)
            texts = self._put_places(texts, self.special_tokens, self.special_tokens)
        texts = self._put_places(self._normalize(texts), self._normalized_added, self.added_tokens)
        texts = self._drop_long_words(texts)
        if not self.tokenize_chinese_chars:
            # tensorflow-text's own splitting takes each CJK character for a word.
            texts = tf_text.regex_split(texts, *self._word_delimiters)
        ids = self._wordpiece.tokenize(texts)
        if not self.tokenize_chinese_chars:
            ids = ids.merge_dims(1, 2)
        return ids.with_flat_values(tf.gather(self._ids, ids.flat_values)) if self._places else ids

    def tokenize_words(self, sentences):
        """See `TextTokenizer`: a word has the same tokens in every sentence."""
        words = [word for sentence in sentences for word in sentence]
        parts = [words[i : i + TEXTS_PER_CALL] for i in range(0, len(words), TEXTS_PER_CALL)]
        return tf.concat([self.tokenize(part) for part in parts or [[]]], axis=0)

    def split(self, texts):
        """Splits texts into words, between blanks and around punctuation; it works in graphs.

        The tokens of a text are those of its words, one after the other. A word is a part of the
        text as it stands there.

        Args:
          texts: string tensor `[B]`.

        Returns:
          `(words, starts, ends)`: a string and two int32 `RaggedTensor [B, (W)]`, where a word
          begins and ends in characters of Unicode, as Python counts them.
        """
        words, starts, ends = tf_text.regex_split_with_offsets(texts, *self._text_delimiters)
        rows = tf.gather(texts, words.value_rowids())

        def characters(offsets):
            lengths = tf.cast(offsets.flat_values, tf.int32)
            before = tf.strings.substr(rows, tf.zeros_like(lengths), lengths)
            return offsets.with_flat_values(tf.strings.length(before, "UTF8_CHAR"))

        return words, characters(starts), characters(ends)

    def _normalize(self, texts):
        """Removes control characters of texts `[N]`, and lower-cases as the vocabulary is."""
        texts = tf.strings.regex_replace(texts, _REMOVED, "")
        if self.do_lower_case:
            if self.special_tokens:
                # TensorFlow and Python know the letter's form at the end of a word.
                texts = tf.strings.regex_replace(texts, "Σ", "σ")
            texts = tf.strings.lower(texts, encoding="utf-8")
        if self.do_lower_case if self.strip_accents is None else self.strip_accents:
            texts = tf_text.normalize_utf8(texts, "NFD")
            texts = tf.strings.regex_replace(texts, r"\p{Mn}", "")
        return texts

    def _put_places(self, texts, written, tokens):
        """Puts the places of tokens, as words of their own, where texts `[N]` have them written."""
        longest_first = sorted(zip(written, tokens, strict=True), key=lambda pair: -len(pair[0]))
        for text, token in longest_first:
            texts = tf.strings.regex_replace(texts, re.escape(text), f" {self._places[token]} ")
        return texts

    def _drop_long_words(self, texts):
        """Puts U+FFFD, which is in no vocabulary, for words over the limit in texts `[N]`."""
        # Splitting costs more than WordPiece: only texts with a long run without spaces are split.
        run = rf"(?s).*\S{{{MAX_CHARS_PER_WORD + 1}}}.*"
        suspects = tf.where(tf.strings.regex_full_match(texts, run))
        words = tf_text.regex_split(tf.gather(texts, suspects[:, 0]), *self._word_delimiters)
        is_long = tf.strings.length(words.flat_values, unit="UTF8_CHAR") > MAX_CHARS_PER_WORD
        words = words.with_flat_values(tf.where(is_long, "\ufffd", words.flat_values))
        joined = tf.strings.reduce_join(words, axis=-1, separator=" ")
        return tf.tensor_scatter_nd_update(texts, suspects, joined)


def read_vocab(path):
    """Reads a vocabulary: a list of WordPieces by id.

    Args:
      path: a text file with one a line, or Hugging Face's `tokenizer.json`.

    Returns:
      The list.

    Raises:
      ValueError: as `Tokenizer` does.
    """
    if tokenizer_json.is_json(path):
        tokens = tokenizer_json.read(path).vocab
    else:
        tokens = [line.strip(" \t") for line in read_lines(path, "vocabulary")]
    first = {}
    for number, token in enumerate(tokens, start=1):
        if not token:
            raise ValueError(
                f"The vocabulary {path!r} must not have empty lines, see line {number}."
            )
        if token != token.strip(" \t").removesuffix("\r") or "\n" in token:
            raise ValueError(
                f"The vocabulary {path!r} must not have line breaks, or blanks at its ends, "
                f"in an entry, which vocab.txt cannot hold, received {token!r}."
            )
        if token in first:
            raise ValueError(
                f"The vocabulary {path!r} must not have double entries, received {token!r} in the "
                f"lines {first[token]} and {number}."
            )
        if len(token.removeprefix(_SUFFIX).encode()) > MAX_BYTES_PER_TOKEN:
            raise ValueError(
                f"The vocabulary {path!r} must not have entries of more than {MAX_BYTES_PER_TOKEN} "
                f"bytes, received {len(token.encode())} in line {number}."
            )
        first[token] = number
    for token in ("[UNK]", "[CLS]", "[SEP]"):
        if token not in first:
            raise ValueError(f"The vocabulary {path!r} must have the entry {token!r}.")
    return tokens


def _wordpiece(vocab, tokenize_chinese_chars, vocab_file):
    """Returns the tokenizer of tensorflow-text; raises ValueError if it cannot hold the words."""
    kind = (
        tf_text.FastBertTokenizer
        if tokenize_chinese_chars
        else functools.partial(tf_text.FastWordpieceTokenizer, no_pretokenization=True)
    )
    try:
        return kind(vocab=vocab, token_out_type=tf.int32, max_bytes_per_word=4 * MAX_CHARS_PER_WORD)
    except RuntimeError as error:
        raise ValueError(
            f"The vocabulary {str(vocab_file)!r} must be one that tensorflow-text can hold: {error}"
        ) from error
