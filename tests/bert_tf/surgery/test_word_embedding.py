"""The word embedding as two factors, and the model that has them."""

import dataclasses

import numpy as np
import pytest

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import WORD_EMBEDDINGS, WORD_PROJECTION, expected_shapes
from bert_tf.surgery import masks, word_embedding
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery

CONFIG = EncoderConfig(
    vocab_size=22,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
)
COUNTS = np.arange(20)  # Two rows are of no word.


@pytest.fixture(scope="module")
def weights():
    return surgery.named_weights(BertModel(CONFIG))


def model_of(config, weights):
    model = BertModel(config)
    surgery.assign_weights(model, weights)
    return model


def features():
    ids = np.random.default_rng(0).integers(0, 22, [3, 5]).astype(np.int32)
    return dict(zip(INPUT_NAMES, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True))


@pytest.mark.parametrize("width", [None, 6])
def test_two_factors_are_their_product(width):
    """Also where the embeddings have a width of their own."""
    dense = dataclasses.replace(CONFIG, embedding_size=width)
    whole = surgery.named_weights(BertModel(dense))
    config, factors = word_embedding.factorize(dense, whole, COUNTS, 3)
    small = model_of(config, factors)
    assert expected_shapes(config) == {p: w.shape for p, w in factors.items()}
    assert factors[WORD_EMBEDDINGS].shape == (22, 3)
    product = factors[WORD_EMBEDDINGS] @ factors[WORD_PROJECTION]
    expected = model_of(dense, {**whole, WORD_EMBEDDINGS: product})
    np.testing.assert_allclose(small(features()), expected(features()), atol=1e-5)
    rebuilt = BertModel.from_config(small.get_config())
    assert rebuilt.config.word_embedding_rank == 3


def test_frequent_words_lose_least(weights):
    table = weights[WORD_EMBEDDINGS]
    errors = []
    for counts in (np.zeros(22), [0] * 21 + [10**9]):
        _, found = word_embedding.factorize(CONFIG, weights, counts, 3)
        product = found[WORD_EMBEDDINGS] @ found[WORD_PROJECTION]
        errors.append(np.sum((table - product) ** 2, axis=1))
    assert errors[1][21] < 1e-8 < errors[0][21]
    # Without counts it is the best approximation of all rows together.
    values = np.linalg.svd(table, compute_uv=False)
    assert errors[0].sum() == pytest.approx(np.sum(values[3:] ** 2), rel=1e-4)


def test_factors_are_balanced(weights):
    _, found = word_embedding.factorize(CONFIG, weights, COUNTS, 3)
    np.testing.assert_allclose(
        np.abs(found[WORD_EMBEDDINGS]).max(axis=0),
        np.abs(found[WORD_PROJECTION]).max(axis=1),
        rtol=1e-5,
    )


def test_counts_and_stage(weights):
    config, _ = word_embedding.factorize(CONFIG, weights, COUNTS, 3)
    assert model_info.stage(config) == "compact"
    counts = model_info.counts(config)
    assert counts["total_params"] == model_info.num_parameters(CONFIG)
    saved = 22 * 8 - 3 * (22 + 8)
    assert counts["pruned_total_params"] == model_info.num_parameters(CONFIG) - saved
    assert counts["dense_sparsity"] == 0
    more = [model_info.multiplications_per_token(one, 4) for one in (config, CONFIG)]
    assert more[0] - more[1] == 3 * 8


def test_a_model_directory_keeps_the_factors(weights, vocab_file, tmp_path):
    config, found = word_embedding.factorize(CONFIG, weights, COUNTS, 3)
    model_dir.save(str(tmp_path), model_of(config, found), Tokenizer(vocab_file))
    source = model_dir.read(str(tmp_path))
    assert source.config == config
    for path, array in found.items():
        np.testing.assert_array_equal(source.weights[path], array)
    with pytest.raises(ValueError, match="Masks must be dense, received one with factors"):
        masks.check_dense(source, "Masks")


@pytest.mark.parametrize(
    ("changes", "rank", "sentence"),
    [
        ({}, 0, "`embedding_rank` must be at least 1 and below 8, .* received 0"),
        ({}, 8, "`embedding_rank` must be at least 1 and below 8, .* received 8"),
        ({"word_embedding_rank": 3}, 2, "needs a word embedding that is one matrix without a gate"),
        (
            {"gates": {"word_embeddings": {"name": "fixed", "config": {"axis": None}}}},
            2,
            "received a model with factors or a gate; take the one before that",
        ),
    ],
)
def test_errors(weights, changes, rank, sentence):
    config = dataclasses.replace(CONFIG, **changes)
    with pytest.raises(ValueError, match=sentence):
        word_embedding.factorize(config, weights, COUNTS, rank)
