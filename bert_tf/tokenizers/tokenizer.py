"""What a tokenizer is: texts to ids, and ids of texts with special tokens around them.

N texts or pairs, T tokens.
"""

import abc
import dataclasses

import tensorflow as tf

#: Texts that are tokenized in one call, so that the memory does not grow with the file.
TEXTS_PER_CALL = 16384


@dataclasses.dataclass(frozen=True)
class Encoded:
    """Tokens of N texts or pairs.

    Args:
      ids: int32 `RaggedTensor [N, (T)]`, such as `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
      segments: int32 `RaggedTensor [N, (T)]`, of BERT 1 from the first token of b on.
    """

    ids: tf.RaggedTensor
    segments: tf.RaggedTensor


class TextTokenizer(abc.ABC):
    """Splits texts into tokens of a vocabulary.

    Attributes:
      vocab_file: path of the file that it is of, for errors.
      vocab: list of the tokens by id.
      pad_id: id that fills up texts; it is masked.
      cls_id: id of the token before a text.
      sep_id: id of the token after a text.
      mask_id: id of the token that hides a word, or None.
      special_ids: tuple of ids that are no part of a text.
      unknown: the token of a word that has none, as it may stand in a text; "" without.
      in_graph: whether `tokenize` is made of operations of TensorFlow.
    """

    in_graph = False

    @property
    @abc.abstractmethod
    def rules(self):
        """The arguments next to the file, as `tokenizer_config.json` holds them."""

    @property
    @abc.abstractmethod
    def digest(self):
        """A SHA-256 digest that differs where ids of texts may, in hexadecimal digits."""

    @property
    @abc.abstractmethod
    def template(self):
        """Where special tokens go.

        For one text and for two a list of `(ids, segment)`, with None in place of the ids for the
        next text.
        """

    @abc.abstractmethod
    def file(self):
        """Returns `(name, text)` of the file that it is read from again."""

    @abc.abstractmethod
    def foreign(self):
        """Returns `tokenizer_config.json` of a folder of Hugging Face with the same file."""

    @abc.abstractmethod
    def portable(self):
        """Returns the content of a `tokenizer.json` with the same ids, plain data.

        It does not truncate: of two long texts the library cuts others than Google's code.
        """

    @abc.abstractmethod
    def tokenize(self, texts):
        """Splits texts into ids.

        Args:
          texts: list or tensor of N strings.

        Returns:
          An int32 `RaggedTensor [N, (T)]`.
        """

    @abc.abstractmethod
    def tokenize_words(self, sentences):
        """Splits words into the ids that they have in their sentence, blanks between words.

        Args:
          sentences: list of lists of strings, W words together.

        Returns:
          An int32 `RaggedTensor [W, (T)]`; a word may have no token.
        """

    def num_special(self, num_texts):
        """Returns the number of special tokens around one text, or around the two of a pair.

        Args:
          num_texts: 1 or 2.
        """
        return sum(len(ids) for ids, _ in self.template[num_texts - 1] if ids is not None)

    def encode(self, texts_a, texts_b=None, max_seq_length=128):
        """Tokenizes N texts or pairs and adds the special tokens.

        A single text is cut at its end; of a pair the longer text is cut first.

        Args:
          texts_a: list of N strings.
          texts_b: list of N strings, or None for single texts.
          max_seq_length: the most tokens kept, special ones included, and at least one of each
            text. Defaults to 128.

        Returns:
          `Encoded` with N rows.

        Raises:
          ValueError: if `max_seq_length` is too small or the lists differ in length.
        """
        segments = [texts_a] if texts_b is None else [texts_a, texts_b]
        if len(segments[-1]) != len(texts_a):
            raise ValueError(
                "Arguments `texts_a` and `texts_b` must have the same length, received "
                f"{len(texts_a)} and {len(segments[-1])}."
            )
        parts = []
        for start in range(0, max(len(texts_a), 1), TEXTS_PER_CALL):
            tokens = [self.tokenize(texts[start : start + TEXTS_PER_CALL]) for texts in segments]
            parts.append(self.pack(tokens, max_seq_length))
        return Encoded(
            tf.concat([part.ids for part in parts], axis=0),
            tf.concat([part.segments for part in parts], axis=0),
        )

    def pack(self, tokens, max_seq_length):
        """Cuts the tokens of N texts or pairs and adds the special ones; works in graphs too.

        Args:
          tokens: list of one or two int32 `RaggedTensor [N, (T)]` of `tokenize`.
          max_seq_length: as in `encode`.

        Returns:
          `Encoded` with N rows.

        Raises:
          ValueError: if `max_seq_length` is too small.
        """
        parts, special = self.template[len(tokens) - 1], self.num_special(len(tokens))
        least = special + len(tokens)
        if max_seq_length < least:
            raise ValueError(
                f"Argument `max_seq_length` must be at least {least} to hold a token of each text "
                f"next to the special ones, received {max_seq_length}."
            )
        texts = iter(_cut(tokens, max_seq_length - special))
        number, found, segments = tokens[0].nrows(), [], []
        for ids, segment in parts:
            if ids is None:
                part = next(texts)
            else:
                rows = tf.tile([tf.constant(ids, tf.int32)], [number, 1])
                part = tf.RaggedTensor.from_tensor(rows)
            found.append(part)
            segments.append(part.with_flat_values(tf.fill(tf.shape(part.flat_values), segment)))
        return Encoded(tf.concat(found, axis=1), tf.concat(segments, axis=1))


def first_tokens(tokens, counts):
    """Returns the first tokens of each row, a number for each, or all where it has fewer.

    Args:
      tokens: `RaggedTensor [N, (T)]`.
      counts: int64 `[N]`.
    """
    lengths = tokens.row_lengths()
    keep = tf.ragged.range(lengths).flat_values < tf.repeat(counts, lengths)
    return tf.ragged.boolean_mask(tokens, tokens.with_flat_values(keep))


def _cut(tokens, room):
    """Cuts one text at its end, and of a pair the longer text first, to `room` tokens together.

    tensorflow-text has an operation for this which servers with an older copy of it lack.
    """
    if len(tokens) == 1:
        return [tokens[0][:, :room]]
    lengths_a, lengths_b = (part.row_lengths() for part in tokens)
    kept_a = tf.minimum(lengths_a, tf.maximum(room - lengths_b, (room + 1) // 2))
    return [first_tokens(tokens[0], kept_a), first_tokens(tokens[1], room - kept_a)]
