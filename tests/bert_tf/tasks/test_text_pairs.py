"""Cosines, correlations and recalls of pairs by hand."""

import numpy as np
import pytest

from bert_tf.data import batching
from bert_tf.data.examples import Examples
from bert_tf.tasks import text_pairs
from bert_tf.tokenizers.tokenization import Tokenizer


@pytest.fixture
def encode(vocab_file):
    """Returns a function from the texts of pairs to `EncodedTexts`."""
    tokenizer = Tokenizer(vocab_file)

    def encode(*pairs, scores=None, in_pairs=False):
        texts = [list(side) for side in zip(*pairs, strict=True)]
        examples = Examples(*texts, None, [str(number) for number in range(len(pairs))])
        return text_pairs.encode(examples, tokenizer, 6, scores, in_pairs)

    return encode


def test_texts_of_pairs_follow_each_other(encode):
    found = encode(("good film", "the plot"), ("", "a " * 9), scores=[1.0, 0.25])
    words = ["good film", "the plot", "", "a a a a"]
    assert found.ids.row_lengths().numpy().tolist() == [2 + len(text.split()) for text in words]
    np.testing.assert_array_equal(found.segments.flat_values, 0)
    np.testing.assert_array_equal(found.labels, [[0, 1], [0, 1], [1, 0.25], [1, 0.25]])
    np.testing.assert_array_equal(found.pairs, [[0, 1], [2, 3]])
    assert len(found) == 4 and found.unit == 1


def test_half_a_pair_is_none(encode):
    found = encode(*[(f"good {word}", "film") for word in ("a", "b", "c")], scores=[0.0, 0.5, 1.0])
    some = found.take(range(5))
    np.testing.assert_array_equal(some.pairs, [[0, 1], [2, 3]])
    np.testing.assert_array_equal(found.take([0, 2, 3]).pairs, [[1, 2]])
    assert len(set(found.texts[1::2])) == 1


def test_pairs_stay_together_in_training(encode):
    pairs = [("good " * (1 + number % 4), "film") for number in range(11)]
    found = encode(*pairs, scores=np.linspace(0, 1, 11), in_pairs=True)
    assert found.num_batches(7) == 4 and found.num_batches(1) == 11
    dataset = batching.training_dataset(found, 7, seed=0)
    batches = [index.numpy() for *_, index in dataset]
    assert [len(batch) for batch in batches] == [6, 6, 6, 4]
    assert sorted(np.concatenate(batches)) == list(range(22))
    for batch in batches:
        np.testing.assert_array_equal(batch[1::2], batch[::2] + 1)
    # All texts once where they are looked at alone, in as many batches.
    batches = [index.numpy() for *_, index in batching.evaluation_dataset(found, 7)]
    assert len(batches) == 4 and sorted(np.concatenate(batches)) == list(range(22))


def test_cosines_by_hand(encode):
    found = encode(("good", "bad"), ("warm", "cold"))
    embeddings = np.array([[1, 0], [3, 4], [0, 2], [0, 0]], np.float32)
    np.testing.assert_allclose(text_pairs.pair_cosines(embeddings, found), [0.6, 0], atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "value", "sentence"),
    [
        ([3, 2], 0, r"`logits` must have the shape \(2, H\), a row for each text, received \(3, 2"),
        ([2], 0, r"received \(2,\)"),
        ([2, 2], np.nan, "`logits` must be finite, received NaN or infinity"),
    ],
)
def test_embeddings_that_do_not_fit(encode, shape, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        text_pairs.pair_cosines(np.full(shape, value), encode(("good", "bad")))


def test_correlations_by_hand():
    found = text_pairs.correlations(np.array([0.1, 0.2, 0.9]), np.array([1.0, 3.0, 2.0]))
    assert found["spearmanr"] == pytest.approx(0.5)
    assert found["pearson"] == pytest.approx(np.corrcoef([0.1, 0.2, 0.9], [1, 3, 2])[0, 1])
    nothing = {"spearmanr": 0.0, "pearson": 0.0}
    assert text_pairs.correlations(np.array([0.1]), np.array([1.0])) == nothing
    assert text_pairs.correlations(np.array([0.1, 0.1]), np.array([1.0, 2.0])) == nothing


def test_recalls_by_hand(encode):
    # Seven answers on a half circle; queries point at one of them.
    angles = np.linspace(0, np.pi, 7)
    answers = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    words = ["good", "great", "lovely", "warm", "bad", "dull", "ugly"]
    found = encode(*[(f"the {word}", word) for word in words])

    def recalls(queries):
        rows = np.stack([answers[queries], answers], axis=1).reshape(-1, 2)
        return text_pairs.recalls(rows, found)

    assert recalls(range(7)) == {f"recall_at_{number}": 1.0 for number in (1, 5, 10)}
    # The query of answer 0 points at 6: all others are nearer; that of 1 at 2: one is nearer.
    found_ones = recalls([6, 2, 2, 3, 4, 5, 6])
    assert found_ones == {"recall_at_1": 5 / 7, "recall_at_5": 6 / 7, "recall_at_10": 1.0}


def test_equal_answers_are_one_candidate_and_a_query_may_have_several(encode):
    found = encode(("a", "good"), ("the", "good"), ("a", "bad"))
    vectors = {"a": [1, 0], "the": [0, 1], "good": [0.1, 1], "bad": [1, 0.1]}
    rows = [vectors[text] for text in ("a", "good", "the", "good", "a", "bad")]
    # "a" is nearest to its second answer, "the" to its only one.
    assert text_pairs.recalls(np.array(rows), found)["recall_at_1"] == 1.0


def test_embeddings_that_are_all_the_same_find_nothing(encode):
    found = encode(*[(f"the {word}", word) for word in ("good", "great", "bad")])
    recalls = text_pairs.recalls(np.ones([6, 2]), found)
    assert recalls == {"recall_at_1": 0.0, "recall_at_5": 1.0, "recall_at_10": 1.0}
