"""What a server takes and gives, on hand-made texts and logits."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data.examples import Examples
from bert_tf.serving import services
from bert_tf.tasks import registry, squad_windows
from bert_tf.tasks.squad import SquadTask
from bert_tf.tasks.squad_examples import SquadExamples, read
from bert_tf.tokenizers.tokenization import Tokenizer

PAIRS = {
    "name": "tsv",
    "text_columns": "a,b",
    "label_column": "c",
    "label_type": "number",
}
LOGITS = np.array([[0.0, np.log(3)], [2.0, 2.0]], np.float32)


def tensors(texts):
    return {name: tf.constant(values) for name, values in texts.items()}


@pytest.fixture
def tokenizer(vocab_file):
    return Tokenizer(vocab_file)


def test_a_class(tokenizer):
    service = services.get(registry.get("SST-2"), tokenizer, 11)
    assert service.text_names == ("text",) and service.labels == ("0", "1")
    outputs = service.outputs(tf.constant(LOGITS))
    np.testing.assert_allclose(outputs["probabilities"], [[0.25, 0.75], [0.5, 0.5]], atol=1e-6)
    answers = service.answers(outputs)
    assert answers["label"].numpy().tolist() == [b"1", b"0"]
    np.testing.assert_array_equal(service.logits(outputs), LOGITS)
    assert service.text_answers(answers, {}, None) is answers


def test_the_class_has_the_name_of_the_task(tokenizer):
    service = services.get(registry.get("MNLI"), tokenizer, 11)
    assert service.text_names == ("text_a", "text_b")
    label = service.answers({"logits": tf.constant([[0.0, 1.0, 0.5]])})["label"]
    assert label.numpy().tolist() == [b"entailment"]


def test_a_score(tokenizer):
    service = services.get(registry.get(**PAIRS), tokenizer, 11)
    outputs = service.outputs(tf.constant([[1.5], [-2.0]]))
    assert {name: array.numpy().tolist() for name, array in outputs.items()} == {
        "score": [1.5, -2.0]
    }
    assert service.answers(outputs) is outputs and service.labels is None
    assert service.logits({"score": np.array([1.5, -2.0])}).tolist() == [[1.5], [-2.0]]


def test_texts_become_what_training_saw(tokenizer):
    """Pairs too long for 11 tokens, the longer text cut first; padding at the end."""
    service = services.get(registry.get(**PAIRS), tokenizer, 11)
    examples = Examples(["the film", "good " * 20], ["so warm", "a bad plot"], None, ["0", "1"])
    texts = service.texts(examples)
    assert list(texts) == ["text_a", "text_b"]
    features = service.features(tensors(texts))
    encoded = tokenizer.encode(*texts.values(), 11)
    assert encoded.ids.row_lengths().numpy().tolist() == [7, 11]
    for name, rows in (("input_word_ids", encoded.ids), ("input_type_ids", encoded.segments)):
        assert features[name].dtype == tf.int32
        np.testing.assert_array_equal(features[name], rows.to_tensor())
    assert features["input_mask"].numpy().tolist() == [[1] * 7 + [0] * 4, [1] * 11]


def test_a_span(tokenizer):
    service = services.get(SquadTask(max_query_length=4), tokenizer, 11)
    logits = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    outputs = service.outputs(tf.constant(logits))
    assert outputs["end_logits"].numpy().tolist() == [[3, 4, 5], [9, 10, 11]]
    np.testing.assert_array_equal(
        service.logits({k: v.numpy() for k, v in outputs.items()}), logits
    )
    answers = service.text_answers(service.answers(outputs), {}, tf.constant([[2, 4, 3]]))
    assert answers["tokens"].numpy().tolist() == [[b"[CLS]", b"good", b"[SEP]"]]


def squad(*rows):
    paragraphs = [
        {"context": context, "qas": [{"id": str(i), "question": question, "answers": []}]}
        for i, (question, context) in enumerate(rows)
    ]
    return SquadExamples([{"title": "", "paragraphs": paragraphs}])


def first_windows(examples, tokenizer, length, **settings):
    encoded = squad_windows.encode(examples, tokenizer, length, **settings)
    starts = [feature.doc_span_index == 0 for feature in encoded.features]
    return encoded.take(np.flatnonzero(starts))


def assert_texts_are_first_windows(examples, tokenizer, length, **settings):
    service = services.get(SquadTask(**settings), tokenizer, length)
    found = service.encode(tensors(service.texts(examples)))
    expected = first_windows(examples, tokenizer, length, **settings)
    assert found.ids.to_list() == expected.ids.to_list()
    assert found.segments.to_list() == expected.segments.to_list()


def test_a_question_and_its_first_window(tokenizer):
    rows = [
        ("a film", "the plot was good"),
        ("so " * 9, "bad " * 30),
        ("a", "the\u00a0end\ncast " * 5),
    ]
    settings = {"max_query_length": 4, "doc_stride": 2}
    assert_texts_are_first_windows(squad(*rows), tokenizer, 11, **settings)


def test_first_windows_of_real_questions(shared):
    tokenizer = Tokenizer(str(shared / "data" / "uncased_vocab.txt"))
    examples = read(str(shared / "data" / "squad" / "xquad.en.json"))
    settings = {"max_query_length": 12, "doc_stride": 32}
    assert_texts_are_first_windows(examples.take(range(300)), tokenizer, 100, **settings)


def test_a_window_must_hold_a_question(tokenizer):
    with pytest.raises(ValueError, match="`max_seq_length` must be at least 68, .* received 67"):
        services.get(SquadTask(), tokenizer, 67)
