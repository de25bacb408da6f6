import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from bert_tf.data import batching
from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.models.bert import BertModel
from bert_tf.studies.attention import attention_maps, pattern_shares

CONFIG = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=32,
    layers=(LayerConfig(2, 12), LayerConfig(1, 12)),
)
LENGTHS = [4, 9, 27, 6, 5]
#: Patterns of two seeds, two texts and three heads.
PATTERNS = [np.array([[0, 1, 2], [0, 1, 1]]), np.array([[1, 1, 1], [2, 0, 1]])]
HEADS = [np.array([True, False, True]), np.array([False, False, True])]


@dataclasses.dataclass
class Sizes:
    """Stands for a classifier: the "pattern" is the number of rows that it is shown."""

    smallest: int = 5

    def __post_init__(self):
        self.shown = []

    def classify(self, maps):
        self.shown.append(maps)
        return np.full([len(maps)], maps.shape[1])


@pytest.fixture
def encoded():
    ids = tf.ragged.constant([[1] * length for length in LENGTHS], tf.int32)
    return batching.EncodedExamples(ids, tf.zeros_like(ids), None, 27)


@pytest.mark.parametrize("kind", ["probabilities", "norms"])
def test_texts_and_crops(encoded, kind):
    model, classifier = BertModel(CONFIG), Sizes()
    found = pattern_shares.classify_heads(classifier, model, encoded, kind)
    # Not the text of 4 tokens; 20 more than the smallest map are 25.
    assert sorted(found[:, 0]) == [25, 25, 25, 27] and found.shape == (4, 3)
    features = {"input_mask": tf.ones([1, 27], tf.int32)}
    features |= {"input_word_ids": features["input_mask"]}
    features["input_type_ids"] = tf.zeros([1, 27], tf.int32)
    blocks = attention_maps.attention_maps(model)(features)
    expected = np.concatenate([getattr(block, kind)[0] for block in blocks])
    (longest,) = [maps for maps in classifier.shown if maps.shape[1] == 27]
    np.testing.assert_allclose(longest, expected, atol=1e-6)


def test_random_texts(encoded, monkeypatch):
    compiled = attention_maps.attention_maps(BertModel(CONFIG))
    monkeypatch.setattr(attention_maps, "attention_maps", lambda model: compiled)

    def longest(seed):
        found = pattern_shares.classify_heads(
            Sizes(), None, encoded, "norms", num_texts=1, seed=seed
        )
        assert found.shape == (1, 3)
        return found[0, 0]

    assert {longest(seed) for seed in range(12)} == {25, 27}


def test_cropped():
    maps = np.arange(18.0).reshape(2, 3, 3)
    np.testing.assert_array_equal(pattern_shares.cropped(maps, 2), maps[:, :2, :2])
    wider = pattern_shares.cropped(maps, 5)
    assert wider.shape == (2, 5, 5) and not wider[:, 3:].any() and not wider[:, :, 3:].any()
    np.testing.assert_array_equal(wider[:, :3, :3], maps)


def test_shares():
    labels = ("block", "diagonal", "other")
    assert pattern_shares.shares(PATTERNS, labels) == pytest.approx(
        {"block": 3 / 12, "diagonal": 7 / 12, "other": 2 / 12}
    )
    # Heads 0 and 2 of the first seed, head 2 of the second one.
    assert pattern_shares.shares(PATTERNS, labels, HEADS) == pytest.approx(
        {"block": 2 / 6, "diagonal": 3 / 6, "other": 1 / 6}
    )
    nothing = [np.zeros([3], bool)] * 2
    assert pattern_shares.shares(PATTERNS, labels, nothing) is None


def test_heads_by_layer():
    patterns = [np.array([[0, 1, 1, 1]])]
    heads = [np.array([[True, False], [False, True]])]
    assert pattern_shares.shares(patterns, ("a", "b"), heads) == {"a": 0.5, "b": 0.5}


def test_correlation_with_survival():
    found = pattern_shares.survivor_correlation(PATTERNS, 1, HEADS)
    shows = np.array([0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1])
    survives = np.array([1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1])
    expected = stats.pearsonr(shows, survives)
    assert found == pytest.approx((expected.statistic, expected.pvalue))


@pytest.mark.parametrize("heads", [np.ones([3], bool), np.zeros([3], bool)])
def test_without_variation_there_is_no_correlation(heads):
    assert pattern_shares.survivor_correlation(PATTERNS, 1, [heads] * 2) == (None, None)
    assert pattern_shares.survivor_correlation(PATTERNS, 7, HEADS) == (None, None)


@pytest.mark.parametrize("heads", [HEADS[:1], [HEADS[0], np.ones([2], bool)], PATTERNS])
def test_heads_that_do_not_fit(heads):
    message = r"`heads` must have bool masks of \[3, 3\] heads, one for each seed"
    with pytest.raises(ValueError, match=message):
        pattern_shares.shares(PATTERNS, ("a", "b", "c"), heads)
    with pytest.raises(ValueError, match=message):
        pattern_shares.survivor_correlation(PATTERNS, 1, heads)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "scores"}, r"one of \['probabilities', 'norms'\], received 'scores'"),
        ({"num_texts": 0}, "`num_texts` must be at least 1, received 0"),
        ({"classifier": Sizes(28)}, "texts of at least 28 tokens, .* received 27 at most"),
    ],
)
def test_what_cannot_be_classified(encoded, changes, message):
    arguments = {"classifier": Sizes(), "model": None, "encoded": encoded, "kind": "norms"}
    with pytest.raises(ValueError, match=message):
        pattern_shares.classify_heads(**{**arguments, **changes})
