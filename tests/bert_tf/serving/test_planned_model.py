"""What is exported in each format, by tables that are made up."""

import latency_tables
import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.latency import terms
from bert_tf.models.bert import BertModel
from bert_tf.serving import services
from bert_tf.serving.planned_model import PlannedModels
from bert_tf.tasks import model_task, registry
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.layers.projection import ProjectionSpec

CONFIG = EncoderConfig(
    vocab_size=22,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=16,
    initializer_range=0.3,
).with_projections({(0, "query"): ProjectionSpec(3), (0, "ffn_out"): ProjectionSpec(0)})

#: Time is multiplications, or so many products.
WORK, CALLS = (
    latency_tables.make(seconds, **where)
    for seconds, where in (({}, {"device": "a"}), ({(terms.FACTORS, 0): 1.0}, {"device": "b"}))
)


@pytest.fixture
def planned(vocab_file):
    """A model with its plans for four formats."""
    service = services.get(registry.get("SST-2"), Tokenizer(vocab_file), 16)
    broken = ValueError("It cannot be run.")
    tables = {"float": WORK, "int8": CALLS, "other": latency_tables.make(), "broken": broken}
    model = BertModel(CONFIG)
    return model, PlannedModels(model, service, tables)


@pytest.mark.parametrize(("name", "rank", "device"), [("float", 3, "a"), ("int8", None, "b")])
def test_each_format_has_the_form_of_its_own_table(planned, name, rank, device):
    model, models = planned
    about = models.describe(name)
    config = EncoderConfig.from_dict(about["config"])
    assert config.layers[0].projection("query").rank == rank
    assert {row["projection"]: row["chosen_rank"] for row in about["choices"]} == {
        f"blocks.0.{key}": config.layers[0].projection(key).rank for key in config.layers[0].names()
    }
    assert about["latencies_of"] == {"device": device} and not config.layers[0].intermediate_size
    served = models.served(name)
    assert ((32, 3) in [tuple(one.shape) for one in served.weights]) == (rank == 3)
    (features,) = model_task.random_features(CONFIG, 9, num_batches=1)
    logits = served.numbers(*features.values())["logits"]
    np.testing.assert_allclose(logits, model(features, training=False), atol=1e-5)


def test_formats_of_the_same_plan_share_a_model(planned):
    _, models = planned
    assert models.served("float") is models.served("other") is models.served("float")
    assert models.served("float") is not models.served("int8")


def test_without_a_table_there_is_a_reason(planned):
    for use in (planned[1].served, planned[1].describe):
        with pytest.raises(ValueError, match="^It cannot be run.$"):
            use("broken")
