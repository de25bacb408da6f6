"""Tokenizers of RoBERTa, XLM-R and others, byte-level BPE or Unigram, as a whole file says them.

Hugging Face's `tokenizers` splits the texts, so that the ids are those of the model's authors.
Where their special tokens go is read off what the library makes of two words.
"""

import functools
import hashlib
import json

import numpy as np
import tensorflow as tf
import tokenizers

from bert_tf.tokenizers import tokenizer_json
from bert_tf.tokenizers.tokenizer import TextTokenizer

# Tokens that hide a word, and that stand for an unknown one, where no file names them.
_MASKS, _UNKNOWNS = ("<mask>", "[MASK]"), ("<unk>", "[UNK]")


#: Names of the arguments of `LibraryTokenizer` next to the file.
LIBRARY_RULES = ("pad_token", "mask_token")


class LibraryTokenizer(TextTokenizer):
    """A tokenizer that `tokenizers` reads; texts are tokenized outside of TensorFlow's graphs.

    Args:
      vocab_file: path of a `tokenizer.json`.
      pad_token: the token that fills up texts; None is the file's, else "<pad>" or "[PAD]".
      mask_token: the token that hides a word; None is "<mask>" or "[MASK]", if it is there.

    Raises:
      ValueError: if the file is damaged or missing, lacks one of these tokens, or puts no special
        token before and after a text, or none at all.
    """

    def __init__(self, vocab_file, pad_token=None, mask_token=None):
        self.vocab_file = str(vocab_file)
        self._subject = f"The tokenizer {self.vocab_file!r}"
        data = tokenizer_json.read_whole(vocab_file)
        padding = (data.get("padding") or {}).get("pad_token")
        self._content = {**data, "truncation": None, "padding": None}
        try:
            self._library = tokenizers.Tokenizer.from_str(json.dumps(self._content))
        except Exception as error:  # The library raises this class itself.
            raise ValueError(
                f"{self._subject} must be one that the library tokenizers reads: {error}"
            ) from error
        ids = self._library.get_vocab(with_added_tokens=True)
        numbers = range(1 + max(ids.values(), default=-1))
        self.vocab = [self._library.id_to_token(number) or "" for number in numbers]
        self.pad_token = pad_token or padding or ("<pad>" if "<pad>" in ids else "[PAD]")
        self.mask_token = mask_token or next((one for one in _MASKS if one in ids), None)
        self.unknown = next((one for one in _UNKNOWNS if one in ids), "")
        self.pad_id, self.mask_id = self._id(self.pad_token), self._id(self.mask_token)
        added = self._library.get_added_tokens_decoder()
        self.special_ids = tuple(sorted(n for n, token in added.items() if token.special))
        (first, _), (last, _) = self.template[0][0], self.template[0][-1]
        if first is None or last is None:
            raise ValueError(
                f"{self._subject} must put a special token before and after a text, received the "
                f"post_processor {(data.get('post_processor') or {}).get('type')!r}."
            )
        self.cls_id, self.sep_id = first[0], last[-1]

    @property
    def rules(self):
        """See `TextTokenizer`."""
        return {name: getattr(self, name) for name in LIBRARY_RULES}

    @property
    def digest(self):
        """The SHA-256 digest of the whole file, but for settings of padding and truncation."""
        return hashlib.sha256(json.dumps(self._content, sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def template(self):
        """See `TextTokenizer`."""
        words = (word for word in ("a", *self.vocab) if self._splits(word))
        word = next(words, None)
        found = () if word is None else tuple(self._template(*[word] * n) for n in (1, 2))
        texts = [sum(ids is None for ids, _ in parts) for parts in found]
        if texts != [1, 2]:
            raise ValueError(
                f"{self._subject} must make tokens of a text and of a pair between its special "
                "tokens, received one that does not."
            )
        return found

    def file(self):
        """Returns `(name, text)` of the whole tokenizer."""
        return tokenizer_json.FILE, json.dumps(self._content, ensure_ascii=False, indent=1)

    def foreign(self):
        """See `TextTokenizer`."""
        ends = {"cls_token": self.vocab[self.cls_id], "sep_token": self.vocab[self.sep_id]}
        return {"tokenizer_class": "PreTrainedTokenizerFast", **ends, **self.rules}

    def portable(self):
        """See `TextTokenizer`."""
        return self._content

    def tokenize(self, texts):
        """See `TextTokenizer`."""
        texts = texts.numpy() if tf.is_tensor(texts) else texts
        texts = [tf.compat.as_text(text, "utf-8") for text in texts]
        found = self._library.encode_batch_fast(texts, add_special_tokens=False)
        rows = [one.ids for one in found]
        flat = np.fromiter((i for row in rows for i in row), np.int32)
        return tf.RaggedTensor.from_row_lengths(flat, np.array(list(map(len, rows)), np.int64))

    def with_offsets(self, texts):
        """Returns the ids of each text, and the characters that each of its tokens stands for.

        Args:
          texts: list of N strings.

        Returns:
          List of N `(ids, offsets)`; an offset is `(start, end)`, without blanks at either end.
        """
        found = self._library.encode_batch(texts, add_special_tokens=False)
        return [
            (one.ids, [_without_blanks(text, *offset) for offset in one.offsets])
            for text, one in zip(texts, found, strict=True)
        ]

    def tokenize_words(self, sentences):
        """See `TextTokenizer`: a token is of the word that its last character is of."""
        texts = [" ".join(words) for words in sentences]
        flat, counts = [], []
        for words, found in zip(
            sentences, self._library.encode_batch(texts, add_special_tokens=False), strict=True
        ):
            ends = np.cumsum([len(word) + 1 for word in words]) - 1
            last = np.array([max(end - 1, start) for start, end in found.offsets], np.int64)
            # A blank is of the word after it; nothing is after the last word.
            owners = np.minimum(np.searchsorted(ends, last, side="right"), len(words) - 1)
            owners = np.maximum.accumulate(owners)
            counts.append(np.bincount(owners, minlength=len(words))[: len(words)])
            flat += found.ids
        lengths = np.concatenate([*counts, np.zeros(0, np.int64)]).astype(np.int64)
        return tf.RaggedTensor.from_row_lengths(np.array(flat, np.int32), lengths)

    def _template(self, *texts):
        """Returns the `template` of some texts."""
        found, parts = self._library.encode(*texts), []
        for number, text, segment in zip(
            found.ids, found.sequence_ids, found.type_ids, strict=True
        ):
            if text is None and parts and parts[-1][0] is not None and parts[-1][1] == segment:
                parts[-1] = ((*parts[-1][0], number), segment)
            elif text is None:
                parts.append(((number,), segment))
            elif not parts or parts[-1] != (None, segment):
                parts.append((None, segment))
        return parts

    def _splits(self, word):
        """Returns whether the library makes a token of a word that is no special one."""
        number = self._library.token_to_id(word)
        found = self._library.encode(word, add_special_tokens=False).ids
        return bool(found) and (number is None or number not in self.special_ids)

    def _id(self, token):
        """Returns the id of a token, None of None."""
        number = None if token is None else self._library.token_to_id(token)
        if token is not None and number is None:
            raise ValueError(f"{self._subject} must have the token {token!r}, received none.")
        return number


def _without_blanks(text, start, end):
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, max(start, start + len(part.strip()))
