import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.serving import constant_folding
from bert_tf.tasks import model_task
from flop_tf.layers.projection import ProjectionSpec

CONFIG = EncoderConfig(
    vocab_size=31,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=16,
    hidden_act="gelu_tanh",
    initializer_range=0.3,
)


def model_of(ranks):
    """A model whose second block has projections of some ranks, and whose biases are not 0."""
    specs = {(1, name): ProjectionSpec(rank) for name, rank in ranks.items()}
    model, generator = BertModel(CONFIG.with_projections(specs)), np.random.default_rng(0)
    for variable in model.variables:
        if variable.shape.rank == 1:
            variable.assign_add(generator.normal(size=variable.shape))
    return model


@pytest.mark.parametrize(
    ("ranks", "num_heads", "intermediate_size"),
    [
        ({"value": 0, "query": 5}, 0, 48),
        ({"value": 0, "attention_output": 5, "ffn_out": 5}, 0, 48),
        ({"attention_output": 0, "value": 5}, 0, 48),
        ({"ffn_in": 0}, 2, 0),
        ({"ffn_in": 0, "ffn_out": 5}, 2, 0),
        ({"ffn_out": 0, "ffn_in": 5}, 2, 0),
        (dict.fromkeys(["value", "attention_output", "ffn_in", "ffn_out"], 0), 0, 0),
    ],
    ids=str,
)
def test_what_is_the_same_for_every_token_is_a_bias(ranks, num_heads, intermediate_size):
    model = model_of(ranks)
    folded = constant_folding.fold(model)
    first, second = folded.config.layers
    assert first == model.config.layers[0]
    assert (second.num_heads, second.intermediate_size) == (num_heads, intermediate_size)
    assert second.has_ffn and folded.config.dense == CONFIG
    for features in model_task.random_features(CONFIG, 13, num_batches=2):
        has_tokens = np.array([[0]] + 7 * [[1]], np.int32)
        features["input_mask"] *= has_tokens
        np.testing.assert_allclose(
            folded(features, training=False), model(features, training=False), atol=1e-5
        )


@pytest.mark.parametrize("ranks", [{}, {"query": 0, "key": 0, "ffn_in": 3}], ids=str)
def test_what_depends_on_the_tokens_stays(ranks):
    model = model_of(ranks)
    assert constant_folding.fold(model) is model
