"""Windows over the paragraphs of SQuAD, and the answers that logits over them give.

tf-models' `squad_lib` does the work, as Google's `run_squad.py` did: it places
answers on tokens, cuts paragraphs into overlapping windows and turns the best
spans back into text. What it leaves open is decided here:

- It takes exactly one answer in training, so each question keeps its first.
- Answers that it cannot find in the words (a span of spaces that it does not
  know) make no training example; such questions are predicted all the same.
- Windows without the answer are trained on `[CLS]`, position 0; so are all windows of a question
  of SQuAD 2.0 that has none.
- No padding: batches are padded to their own width, and windows of padding, which
  it would add to a short last batch, are not needed.

N windows, T tokens.
"""

import collections
import contextlib
import dataclasses
import itertools
import os
import tempfile

import numpy as np
from absl import logging
from official.nlp.data import squad_lib

from bert_tf.data import batching
from bert_tf.data.batching import EncodedExamples
from bert_tf.tasks import metrics, squad_tokens

#: What tf-models reads of a model's outputs for one window.
_Result = collections.namedtuple("_Result", "unique_id start_logits end_logits")

# Special tokens of a window of BERT, which tf-models counts with.
_SPECIAL = 3


@dataclasses.dataclass(frozen=True)
class EncodedWindows(EncodedExamples):
    """N windows `[CLS] question [SEP] part of the paragraph [SEP]`, or as the tokenizer has them.

    Args:
      ids: as in `EncodedExamples`, so the rest; labels are `[N, 2]`, the first and the last
        token of the answer, both 0 in a window without it.
      features: for each window tf-models' `InputFeatures`, without the padded lists.
      questions: tf-models' `SquadExample` of every question.
      articles: what the official evaluation reads, see `SquadExamples`.
      do_lower_case: of the tokenizer of WordPieces.
      texts: of another tokenizer `(context, offsets)` by the question's id, see `squad_tokens`.
    """

    features: list = ()
    questions: list = ()
    articles: list = ()
    do_lower_case: bool = True
    texts: dict = dataclasses.field(default_factory=dict)

    def take(self, indices):
        """Returns the windows at `indices`; the others have no answer.

        Args:
          indices: sequence of ints.
        """
        features = [self.features[i] for i in indices]
        return dataclasses.replace(super().take(indices), features=features)


def encode(examples, tokenizer, max_seq_length, *, doc_stride, max_query_length, training=False):
    """Cuts the paragraph of each question into windows.

    Args:
      examples: `SquadExamples`.
      tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
      max_seq_length: the most tokens of a window.
      doc_stride: tokens between the starts of two windows, at least 1; where a window
        holds fewer tokens of the paragraph, they follow each other without a gap.
      max_query_length: tokens of a question that are kept, at least 1.
      training: whether the windows are trained on, not scored: questions whose answer
        is in no words are left out, and so is what answers are made from.

    Returns:
      `EncodedWindows`, or `EncodedExamples` for training; labels are None where the
      questions have no answers.

    Raises:
      ValueError: if `max_seq_length` is too small, or no window is left.
    """
    num_special = tokenizer.num_special(2)
    check_length(max_seq_length, max_query_length, num_special)
    ids, segments, labels, features = [], [], [], []

    def collect(feature):
        pieces.frame(feature)
        length = len(feature.tokens)
        ids.append(np.array(feature.input_ids[:length], np.int32))
        segments.append(np.array(feature.segment_ids[:length], np.int32))
        labels.append((feature.start_position, feature.end_position))
        if not training:
            feature.input_ids = feature.segment_ids = None
            feature.input_mask = feature.paragraph_mask = None
            features.append(feature)

    if tokenizer.in_graph:
        questions = _kept(*_questions(examples), training)
        pieces, texts = _WordPieces(tokenizer, questions), {}
    else:
        *found, texts = squad_tokens.questions(examples, tokenizer)
        questions, pieces = _kept(*found, training), squad_tokens.Words(tokenizer)
    with _quiet():
        squad_lib.convert_examples_to_features(
            examples=questions,
            tokenizer=pieces,
            max_seq_length=max_seq_length - num_special + _SPECIAL,
            doc_stride=doc_stride,
            max_query_length=max_query_length,
            is_training=True,
            output_fn=collect,
        )
    if not ids:
        raise ValueError(
            f"The {len(examples)} questions give no window; expected words in their paragraphs, "
            "and answers among them for training."
        )
    encoded = EncodedExamples(
        ids=batching.ragged(ids),
        segments=batching.ragged(segments),
        labels=np.array(labels, np.int32) if examples.is_labelled else None,
        max_seq_length=max_seq_length,
        pad_id=tokenizer.pad_id,
    )
    if training:
        return encoded
    return EncodedWindows(
        **vars(encoded),
        features=features,
        questions=questions,
        articles=examples.articles,
        do_lower_case=tokenizer.in_graph and tokenizer.do_lower_case,
        texts=texts,
    )


def check_length(max_seq_length, max_query_length, num_special):
    """Raises ValueError if a window does not hold a question and a token of the paragraph.

    Args:
      max_seq_length: tokens of a window.
      max_query_length: the most tokens of a question.
      num_special: special tokens of a window.
    """
    least = max_query_length + num_special + 1
    if max_seq_length < least:
        raise ValueError(
            f"Argument `max_seq_length` must be at least {least}, to hold questions "
            f"of `max_query_length` {max_query_length} and a token of the paragraph next to the "
            f"special ones, received {max_seq_length}."
        )


def answers(encoded, logits, n_best_size, max_answer_length):
    """Returns the answer to each question, and the best answers.

    Args:
      encoded: `EncodedWindows`.
      logits: `[N, 2, T]`, of starts and ends, T at least the longest window.
      n_best_size: starts and ends of a window that are combined, and answers that are kept.
      max_answer_length: the most tokens of an answer.

    Returns:
      Two dicts by the question's id: a text, and a list of dicts with `text`,
      `probability`, `start_logit` and `end_logit`.

    Raises:
      ValueError: if the shape does not fit or a logit is not a finite number.
    """
    best, n_best, _ = _postprocessed(encoded, logits, n_best_size, max_answer_length)
    return best, n_best


def possible_answers(encoded, logits, n_best_size, max_answer_length):
    """Returns the best answer to each question that may have none, the best ones, and differences.

    Args:
      encoded: see `answers`.
      logits: see `answers`.
      n_best_size: see `answers`.
      max_answer_length: see `answers`.

    Returns:
      Three dicts by the question's id: a text, empty only where no text is possible; a list as of
      `answers`, where an empty text is no answer; and a float, the score of no answer minus that of
      the text.

    Raises:
      ValueError: as `answers`.
    """
    settings = {"version_2_with_negative": True, "null_score_diff_threshold": np.inf}
    return _postprocessed(encoded, logits, n_best_size, max_answer_length, **settings)


def _postprocessed(encoded, logits, n_best_size, max_answer_length, **settings):
    if logits.shape[:2] != (len(encoded), 2) or logits.shape[2] < encoded.lengths.max():
        raise ValueError(
            f"Argument `logits` must have the shape ({len(encoded)}, 2, T) with T at least "
            f"{encoded.lengths.max()}, received {logits.shape}."
        )
    metrics.check_finite(logits)
    results = [
        _Result(feature.unique_id, *window[:, : len(feature.tokens)].tolist())
        for feature, window in zip(encoded.features, logits, strict=True)
    ]
    with _quiet():
        best, n_best, differences = squad_lib.postprocess_output(
            all_examples=encoded.questions,
            all_features=encoded.features,
            all_results=results,
            n_best_size=n_best_size,
            max_answer_length=max_answer_length,
            do_lower_case=encoded.do_lower_case,
            **settings,
        )
    for name, text in encoded.texts.items():
        best[name] = squad_tokens.spelled(best[name], *text)
        for one in n_best[name]:
            one["text"] = squad_tokens.spelled(one["text"], *text)
    return best, n_best, differences


class _WordPieces:
    """Our tokenizer as tf-models calls one, text by text; all are split before, at once."""

    def __init__(self, tokenizer, questions):
        rows = [(q.question_text, q.orig_answer_text or "", *q.doc_tokens) for q in questions]
        texts = sorted({text for row in rows for text in row})
        ids = tokenizer.tokenize(texts)
        pieces = [tokenizer.vocab[i] for i in ids.flat_values.numpy()]
        ends = ids.row_splits.numpy().tolist()
        self._pieces = {
            text: pieces[start:end]
            for text, (start, end) in zip(texts, itertools.pairwise(ends), strict=True)
        }
        self._ids = {piece: i for i, piece in enumerate(tokenizer.vocab)}

    def tokenize(self, text):
        return self._pieces[text]

    def convert_tokens_to_ids(self, tokens):
        return [self._ids[token] for token in tokens]

    def frame(self, feature):
        """Leaves the special tokens as they are, see `squad_tokens.Words`."""


def _kept(questions, placed, training):
    """Returns the questions of tf-models; for training none whose answer is in no words."""
    if not training:
        return questions
    kept = [question for question in questions if question.qas_id in placed]
    if len(kept) < len(questions):
        logging.warning(
            "Left out %d of %d questions, whose answers are in no words of their paragraphs.",
            len(questions) - len(kept),
            len(questions),
        )
    return kept


def _questions(examples):
    """Returns tf-models' `SquadExample` of every question, and the ids of those that it can place.

    The others are impossible, as those of SQuAD 2.0 that have no answer.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = os.path.join(folder, "squad.json")  # It reads files alone.
        examples.with_first_answers().write(path)
        questions = squad_lib.read_squad_examples(path, False, False)
        placed = []
        if examples.is_labelled:
            placed = squad_lib.read_squad_examples(path, True, examples.may_be_impossible)
    placed = {question.qas_id: question for question in placed}
    for question in questions:
        question.is_impossible = True
    return [placed.get(question.qas_id, question) for question in questions], placed.keys()


@contextlib.contextmanager
def _quiet():
    """Silences tf-models, which logs its first 20 examples in full."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
