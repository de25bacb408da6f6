"""Windows of hand-made paragraphs, and against tf-models' tokenizer."""

import numpy as np
import pytest
from absl import logging
from official.nlp.data import squad_lib
from official.nlp.tools import tokenization

from bert_tf.data.batching import EncodedExamples
from bert_tf.tasks import squad_examples, squad_windows
from bert_tf.tasks.squad_examples import SquadExamples
from bert_tf.tokenizers.tokenization import Tokenizer

WORDS = "a b c d e f g who what cafe Café el ##s 1895 1943 ( ) , . - –".split()
VOCAB = ["[UNK]", "[CLS]", "[SEP]", *WORDS, "[PAD]"]
CLS, SEP, WHO, WHAT = 1, 2, VOCAB.index("who"), VOCAB.index("what")
LETTERS = "a b c d e f g"
SETTINGS = {"max_seq_length": 9, "doc_stride": 2, "max_query_length": 2}


@pytest.fixture
def vocab(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n", "utf-8")
    return str(tmp_path / "vocab.txt")


def questions(*rows):
    """Rows of `(context, question, answer, ...)`, each a paragraph of its own."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": f"q{number}",
                    "question": question,
                    "answers": [{"text": a, "answer_start": context.index(a)} for a in answers],
                }
            ],
        }
        for number, (context, question, *answers) in enumerate(rows)
    ]
    return SquadExamples([{"title": "", "paragraphs": paragraphs}])


@pytest.fixture
def encode(vocab):
    def encode(*rows, lower=True, **changes):
        settings = {**SETTINGS, **changes}
        return squad_windows.encode(questions(*rows), Tokenizer(vocab, lower), **settings)

    return encode


def words(encoded):
    return [" ".join(VOCAB[i] for i in row) for row in encoded.ids.to_list()]


def logits_of(encoded, best=(), width=16):
    """Logits 0 on tokens, very low on padding, and `{(window, 0 or 1, position): logit}`."""
    logits = np.full([len(encoded), 2, width], -1e9, np.float32)
    for window, length in enumerate(encoded.lengths):
        logits[window, :, :length] = 0
    for place, value in dict(best).items():
        logits[place] = value
    return logits


def answers(encoded, best, n_best_size=20, max_answer_length=30):
    return squad_windows.answers(encoded, logits_of(encoded, best), n_best_size, max_answer_length)


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        # At the end of the first window, inside the second, and not in the third.
        ("d", [[7, 7], [5, 5], [0, 0]]),
        # Across the border of the first window and before the third.
        ("d e", [[0, 0], [5, 6], [0, 0]]),
        # The first token of all, and the last one.
        ("a", [[4, 4], [0, 0], [0, 0]]),
        ("g", [[0, 0], [0, 0], [6, 6]]),
        # Longer than a window.
        (LETTERS, [[0, 0], [0, 0], [0, 0]]),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_windows(encode, answer, labels, training):
    encoded = encode((LETTERS, "who what", answer), training=training)
    assert words(encoded) == [
        "[CLS] who what [SEP] a b c d [SEP]",
        "[CLS] who what [SEP] c d e f [SEP]",
        "[CLS] who what [SEP] e f g [SEP]",
    ]
    assert encoded.segments.to_list() == [[0] * 4 + [1] * n for n in (5, 5, 4)]
    assert encoded.labels.tolist() == labels and encoded.labels.dtype == np.int32
    assert (encoded.pad_id, encoded.max_seq_length) == (VOCAB.index("[PAD]"), 9)
    assert (type(encoded) is EncodedExamples) == training


def test_a_short_question_leaves_more_room(encode):
    encoded = encode((LETTERS, "who", "e"))
    assert words(encoded) == ["[CLS] who [SEP] a b c d e [SEP]", "[CLS] who [SEP] c d e f g [SEP]"]


def test_a_long_question_is_cut(encode):
    (first, *_) = words(encode((LETTERS, "what who a b c", "e")))
    assert first == "[CLS] what who [SEP] a b c d [SEP]"


def test_a_stride_beyond_the_window_leaves_no_gap(encode):
    encoded = encode((LETTERS, "who what", "e"), doc_stride=100)
    assert [row[4:] for row in map(str.split, words(encoded))] == [
        ["a", "b", "c", "d", "[SEP]"],
        ["e", "f", "g", "[SEP]"],
    ]


def test_an_answer_inside_a_word(encode):
    encoded = encode(("a cafes (1895-1943).", "who", "1943"), max_seq_length=16)
    assert words(encoded) == ["[CLS] who [SEP] a cafe ##s ( 1895 - 1943 ) . [SEP]"]
    assert encoded.labels.tolist() == [[9, 9]]
    best, _ = answers(encoded, {(0, 0, 9): 1, (0, 1, 9): 1})
    assert best == {"q0": "1943"}


@pytest.mark.parametrize(("lower", "piece"), [(True, "cafe"), (False, "Café")])
def test_answers_are_spelled_as_in_the_paragraph(encode, lower, piece):
    encoded = encode(("a  b Café, d", "who", "Café"), lower=lower, max_seq_length=12)
    assert words(encoded) == [f"[CLS] who [SEP] a b {piece} , d [SEP]"]
    assert encoded.labels.tolist() == [[5, 5]]
    assert answers(encoded, {(0, 0, 5): 1, (0, 1, 5): 1})[0] == {"q0": "Café"}
    assert answers(encoded, {(0, 0, 4): 1, (0, 1, 6): 1})[0] == {"q0": "b Café,"}


def test_answers_in_no_words_are_asked_but_not_trained_on(encode, caplog):
    """tf-models splits words at usual spaces only, and answers at all of them."""
    rows = [("a b\u00a0c d", "who", "b\u00a0c"), (LETTERS, "who", "b")]
    encoded = encode(*rows)
    assert encoded.labels.tolist() == [[0, 0], [4, 4], [0, 0]]
    assert not caplog.text
    training = encode(*rows, training=True)
    assert training.labels.tolist() == [[4, 4], [0, 0]]
    assert "Left out 1 of 2 questions, whose answers are in no words" in caplog.text


def test_the_first_of_several_answers_is_learned(encode):
    (label, *_) = encode((LETTERS, "who", "c", "b")).labels
    assert label.tolist() == [5, 5]


def test_no_answers(encode):
    encoded = encode((LETTERS, "who"), (LETTERS, "what"))
    assert encoded.labels is None and len(encoded) == 4
    assert set(answers(encoded, {})[0]) == {"q0", "q1"}


def test_nothing_of_tf_models_is_logged(encode, caplog):
    before = logging.get_verbosity()
    answers(encode((LETTERS, "who", "c")), {})
    assert not caplog.text and logging.get_verbosity() == before


# From logits to answers


@pytest.fixture
def encoded(encode):
    return encode((LETTERS, "who what", "d"))


def test_the_best_of_all_windows(encoded):
    best, n_best = answers(
        encoded, {(0, 0, 5): 3, (0, 1, 6): 4, (1, 0, 5): 5, (1, 1, 6): 3, (2, 0, 5): 1}
    )
    assert best == {"q0": "d e"}
    first, second, *_ = n_best["q0"]
    assert (first["text"], first["start_logit"], first["end_logit"]) == ("d e", 5.0, 3.0)
    assert (second["text"], second["start_logit"], second["end_logit"]) == ("b c", 3.0, 4.0)
    assert first["probability"] / second["probability"] == pytest.approx(np.e)
    assert sum(entry["probability"] for entry in n_best["q0"]) == pytest.approx(1)
    assert len({entry["text"] for entry in n_best["q0"]}) == len(n_best["q0"]) <= 20


def test_a_token_counts_where_it_has_most_context(encoded):
    """No answer begins with the d at the end of the first window, but with that of the second."""
    best, _ = answers(encoded, {(0, 0, 7): 9, (1, 0, 6): 2, (1, 1, 6): 2})
    assert best == {"q0": "e"}


@pytest.mark.parametrize("position", [0, 1, 3, 8])
def test_only_the_paragraph_has_answers(encoded, position):
    best, _ = answers(encoded, {(0, 0, position): 9, (0, 1, position): 9, (0, 0, 5): 1})
    assert best["q0"].startswith("b")


def test_no_end_before_its_start_and_no_long_answers(encoded):
    logits = {(0, 0, 6): 5, (0, 1, 4): 5, (0, 1, 7): 3, (0, 0, 4): 4}
    assert answers(encoded, logits)[0] == {"q0": "a"}
    assert answers(encoded, {(0, 0, 4): 5, (0, 1, 6): 5, (0, 1, 5): 4})[0] == {"q0": "a b c"}
    shorter = answers(encoded, {(0, 0, 4): 5, (0, 1, 6): 5, (0, 1, 5): 4}, max_answer_length=2)
    assert shorter[0] == {"q0": "a b"}


def test_padding_does_not_use_up_the_best(encoded):
    """Padding is cut off: with one start and one end a window it would be an answer to nothing."""
    logits = logits_of(encoded, {(0, 0, 5): 1, (0, 1, 5): 1, (1, 0, 15): 9, (1, 1, 15): 9})
    assert squad_windows.answers(encoded, logits, 1, 30)[0] == {"q0": "b"}


def test_windows_that_are_taken_away_were_never_asked(encode):
    encoded = encode((LETTERS, "who what", "d"), (LETTERS, "who what", "e"))
    best, _ = answers(encoded.take([1, 2]), {(0, 0, 5): 9, (0, 1, 5): 9})
    assert best == {"q0": "d", "q1": "empty"}


def test_errors_of_answers(encoded):
    for shape in ((2, 2, 16), (3, 1, 16), (3, 2, 8)):
        with pytest.raises(ValueError, match=r"must have the shape \(3, 2, T\) with T at least 9"):
            squad_windows.answers(encoded, np.zeros(shape), 20, 30)
    with pytest.raises(ValueError, match="`logits` must be finite, received NaN or infinity"):
        answers(encoded, {(1, 0, 2): np.nan})


@pytest.mark.parametrize(
    ("row", "changes", "sentence"),
    [
        ((LETTERS, "who", "b"), {"max_seq_length": 5}, "`max_seq_length` must be at least 6, to"),
        (("\u200b", "who"), {}, "The 1 questions give no window; expected words in their"),
        (("b\u00a0c", "who", "b\u00a0c"), {"training": True}, "The 1 questions give no window"),
    ],
)
def test_errors_of_encode(encode, row, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        encode(row, **changes)


# tf-models, with its own tokenizer and its own padding


def assert_same_as_tf_models(path, vocab_file, examples, max_seq_length, max_query_length):
    features = []
    examples.write(path)
    squad_lib.convert_examples_to_features(
        squad_lib.read_squad_examples(str(path), True, False),
        tokenization.FullTokenizer(vocab_file),
        max_seq_length,
        128,
        max_query_length,
        True,
        features.append,
    )
    settings = {"doc_stride": 128, "max_query_length": max_query_length}
    encoded = squad_windows.encode(examples, Tokenizer(vocab_file), max_seq_length, **settings)
    assert len(encoded) == len(features)
    for theirs, ids, label in zip(features, encoded.ids.to_list(), encoded.labels, strict=True):
        assert theirs.input_ids == ids + [0] * (max_seq_length - len(ids))
        assert [theirs.start_position, theirs.end_position] == label.tolist()


def test_same_as_tf_models(vocab, tmp_path):
    rows = [
        (" a  b\tÉL (1895–1943), Cafés.\n g ", "who ?", "1895"),
        ("a" * 60 + " b\u202fc\u3000d e", "what " * 9, "d e"),
        (LETTERS, "Who's what?", "b c", "a"),
    ]
    examples = questions(*rows).with_first_answers()
    assert_same_as_tf_models(tmp_path / "squad.json", vocab, examples, 12, 3)


def test_real_windows_are_the_same_as_tf_models(shared, tmp_path):
    examples = squad_examples.read(shared / "data" / "squad" / "xquad.en.json").take(
        range(0, 400, 8)
    )
    vocab_file = str(shared / "data" / "uncased_vocab.txt")
    assert_same_as_tf_models(tmp_path / "squad.json", vocab_file, examples, 200, 10)
