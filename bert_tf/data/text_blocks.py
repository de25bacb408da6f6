"""Plain text as blocks of tokens, all of one length and without padding, for pretraining.

N blocks, T tokens of each, with `[CLS]` and `[SEP]`.
"""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from bert_tf.data import masking
from bert_tf.data.batching import EncodedExamples
from bert_tf.data.examples import DataFile
from bert_tf.heads.mlm import MASKED_IDS, MASKED_POSITIONS
from bert_tf.tokenizers.tokenizer import TEXTS_PER_CALL
from flop_tf.files.text_files import read_lines

#: What WikiText writes for rare words.
UNKNOWN = "<unk>"

# A letter of no language: a word of it alone is in no vocabulary.
_NO_WORD = "\ue000"


@dataclasses.dataclass(frozen=True)
class TextLines:
    """The lines of a text file that are not blank.

    Args:
      file: its path.
      lines: list of N strings.
    """

    file: str
    lines: list

    def __len__(self):
        return len(self.lines)

    def take(self, indices):
        """Returns the lines at `indices`, in that order.

        Args:
          indices: sequence of ints.
        """
        return TextLines(self.file, [self.lines[i] for i in indices])


class TextFile(DataFile):
    """Where a split of a text lies, see `DataFile`."""

    def read(self, data_dir):
        """Returns its `TextLines`.

        Args:
          data_dir: the folder of the file.

        Raises:
          ValueError: if it is empty or not UTF-8.
        """
        path = os.path.join(data_dir, self.file)
        lines = [line for line in read_lines(path, "text file") if line.strip()]
        if not lines:
            raise ValueError(f"The text file {path!r} is empty.")
        return TextLines(path, lines)


def encode(text, tokenizer, length):
    """Joins the tokens of all lines and cuts them into blocks; what is left at the end is dropped.

    Each block has 15 % of its words masked, the same ones at every call; training masks anew, see
    `bert_tf.data.masking`.

    Args:
      text: `TextLines`. A word `<unk>` becomes `[UNK]`.
      tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`, whose vocabulary has `[MASK]`.
      length: T, tokens of a block, `[CLS]` and `[SEP]` among them.

    Returns:
      `EncodedExamples` with the masked words as labels, int32 `[N, P]`, and their places and the
      words again as features.

    Raises:
      ValueError: if the text is shorter than one block or has no word that can be masked.
    """
    rule = masking.Masking.of(tokenizer)
    tokens = _tokens(text.lines, tokenizer)
    room = length - 2
    num_blocks = len(tokens) // room
    if not num_blocks:
        raise ValueError(
            f"The text file {text.file!r} must have at least one block of {room} tokens next to "
            f"[CLS] and [SEP], received {len(tokens)}; take more text or a smaller "
            "`max_seq_length`."
        )
    blocks = np.empty([num_blocks, length], np.int32)
    blocks[:, 0], blocks[:, -1] = tokenizer.cls_id, tokenizer.sep_id
    blocks[:, 1:-1] = tokens[: num_blocks * room].reshape(num_blocks, room)
    masked, positions, labels = (array.numpy() for array in rule.mask(blocks, [0, 0]))
    if not (labels >= 0).any():
        raise ValueError(
            f"The text file {text.file!r} must have words of the vocabulary, received blocks of "
            "'[UNK]' alone; take the vocabulary of its language and case."
        )
    return EncodedExamples(
        tf.RaggedTensor.from_tensor(masked),
        tf.RaggedTensor.from_tensor(np.zeros_like(masked)),
        labels,
        length,
        tokenizer.pad_id,
        extra={MASKED_POSITIONS: positions, MASKED_IDS: labels},
    )


def _tokens(lines, tokenizer):
    """Returns the tokens of all lines, int32 `[...]`."""
    unknown = _NO_WORD if tokenizer.in_graph else tokenizer.unknown
    lines = [line.replace(UNKNOWN, unknown) for line in lines]
    parts = [
        tokenizer.tokenize(lines[start : start + TEXTS_PER_CALL]).flat_values.numpy()
        for start in range(0, len(lines), TEXTS_PER_CALL)
    ]
    return np.concatenate(parts)
