"""Windows over sentences of words, and the class of each word that logits over them give.

A word is read at its first token. A sentence that is too long is cut into windows that overlap by
half; each word is trained on and scored in one of them, where it has the most tokens on both sides.
N windows, T tokens, W words, C classes.
"""

import dataclasses

import numpy as np

from bert_tf.data import batching
from bert_tf.data.batching import EncodedExamples
from bert_tf.heads.tokens import WORD_STARTS
from bert_tf.tasks import metrics


@dataclasses.dataclass(frozen=True)
class SentenceWindows(EncodedExamples):
    """N windows over sentences, and the place of each word in them.

    Args:
      ids: as in `EncodedExamples`, so the rest; labels are int32 `[N, max_seq_length]`, the class
        at the first token of each word and else -1.
      sentences: int `[W]`, the number of each word's sentence.
      windows: int `[W]`, the window that each word is read in.
      places: int `[W]`, its first token there; -1 of a word without tokens.
      classes: int32 `[W]`, or None.
    """

    sentences: np.ndarray | None = None
    windows: np.ndarray | None = None
    places: np.ndarray | None = None
    classes: np.ndarray | None = None

    def take(self, indices):
        """Returns the windows at `indices`, and the words that are read in them.

        Args:
          indices: sequence of ints, each once.
        """
        numbers = np.full(len(self), -1)
        numbers[np.asarray(indices, np.int64)] = np.arange(len(indices))
        windows = numbers[self.windows]
        kept = windows >= 0
        return dataclasses.replace(
            super().take(indices),
            sentences=self.sentences[kept],
            windows=windows[kept],
            places=self.places[kept],
            classes=None if self.classes is None else self.classes[kept],
        )

    def split(self, values):
        """Returns the values of words by sentence, a list of lists.

        Args:
          values: sequence of W.
        """
        starts = np.flatnonzero(np.diff(self.sentences)) + 1
        bounds = [0, *starts.tolist(), len(self.sentences)]
        return [list(values[a:b]) for a, b in zip(bounds, bounds[1:], strict=False) if a < b]


def encode(examples, tokenizer, max_seq_length):
    """Cuts sentences into windows of tokens.

    Args:
      examples: `bert_tf.data.sentences.Sentences`, their tags as classes or None.
      tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
      max_seq_length: the most tokens of a window, special ones included.

    Returns:
      `SentenceWindows`; each sentence has at least one window.

    Raises:
      ValueError: if `max_seq_length` is too small.
    """
    first = len(tokenizer.template[0][0][0])  # Special tokens before a text.
    # Too few are refused where windows are packed.
    room = max(1, max_seq_length - tokenizer.num_special(1))
    tokens = tokenizer.tokenize_words(examples.words)
    counts = np.minimum(tokens.row_lengths().numpy(), room)
    starts, flat = tokens.row_starts().numpy(), tokens.flat_values.numpy()
    ids, windows, places, sentences = [], [], [], []
    word = 0
    for number, words in enumerate(examples.words):
        own = slice(word, word + len(words))
        pieces = [flat[a : a + n] for a, n in zip(starts[own], counts[own], strict=True)]
        word += len(words)
        spans = _spans(counts[own], room)
        window, place = _read_in(counts[own], spans)
        windows += (len(ids) + window).tolist()
        places += np.where(place < 0, -1, place + first).tolist()
        sentences += [number] * len(words)
        ids += [np.concatenate([np.zeros(0, np.int32), *pieces[a:b]]) for a, b in spans]
    packed = tokenizer.pack([batching.ragged(ids)], max_seq_length)
    windows, places = np.array(windows, np.int64), np.array(places, np.int64)
    is_read = places >= 0
    here = windows[is_read], places[is_read]
    word_starts = np.zeros([len(ids), max_seq_length], np.int32)
    word_starts[here] = 1
    classes = labels = None
    if examples.tags is not None:
        classes = np.array([tag for tags in examples.tags for tag in tags], np.int32)
        labels = np.full(word_starts.shape, -1, np.int32)
        labels[here] = classes[is_read]
    return SentenceWindows(
        ids=packed.ids,
        segments=packed.segments,
        labels=labels,
        max_seq_length=max_seq_length,
        pad_id=tokenizer.pad_id,
        extra={WORD_STARTS: word_starts},
        sizes=word_starts.sum(axis=1),
        sentences=np.array(sentences, np.int64),
        windows=windows,
        places=places,
        classes=classes,
    )


def word_logits(encoded, logits):
    """Returns the logits of the words that have tokens, `[words, C]`.

    Args:
      encoded: `SentenceWindows`.
      logits: `[N, S, C]`, S at least the longest window.

    Raises:
      ValueError: if the shape does not fit or a logit is not a finite number.
    """
    longest = encoded.lengths.max(initial=0)
    if logits.ndim != 3 or len(logits) != len(encoded) or logits.shape[1] < longest:
        raise ValueError(
            f"Argument `logits` must have the shape ({len(encoded)}, T, C) with T at least "
            f"{longest}, received {logits.shape}."
        )
    is_read = encoded.places >= 0
    found = logits[encoded.windows[is_read], encoded.places[is_read]]
    metrics.check_finite(found)
    return found


def word_classes(encoded, logits, otherwise):
    """Returns the likeliest class of each word, int `[W]`.

    Args:
      encoded: see `word_logits`; so `logits`.
      logits: see above.
      otherwise: class of words that the tokenizer makes no token of.
    """
    found = np.full(len(encoded.places), otherwise)
    found[encoded.places >= 0] = word_logits(encoded, logits).argmax(axis=1)
    return found


def _spans(counts, room):
    """Returns the first word of each window and the one after its last, a list of pairs."""
    ends = np.cumsum(counts)
    if not len(counts) or ends[-1] <= room:
        return [(0, len(counts))]
    spans, start = [], 0
    while True:
        before = ends[start] - counts[start]
        stop = int(np.searchsorted(ends, before + room, side="right"))
        spans.append((start, stop))
        if stop == len(counts):
            return spans
        half = int(np.searchsorted(ends - counts, before + room // 2))
        start = min(max(half, start + 1), stop)


def _read_in(counts, spans):
    """Returns the window of each word, and its first token there or -1; ints `[words]`."""
    ends = np.cumsum(counts)
    begins = ends - counts
    window, places, best = (np.full(len(counts), -1) for _ in range(3))
    for number, (start, stop) in enumerate(spans if len(counts) else ()):
        own = slice(start, stop)
        left, right = begins[own] - begins[start], ends[stop - 1] - ends[own]
        # At the ends of a sentence there is nothing that a window could lack.
        context = np.minimum(left if start else ends[-1], right if stop < len(counts) else ends[-1])
        better = context > best[own]
        for values, new in ((window, number), (places, left), (best, context)):
            values[own] = np.where(better, new, values[own])
    return window, np.where(counts > 0, places, -1)
