"""What is exported, by times that are injected."""

import numpy as np
import pytest

from bert_tf import timing
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.serving import execution_plan, planned_model, services
from bert_tf.serving.execution_plan import Plan
from bert_tf.tasks import model_task, registry
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.layers.projection import ProjectionSpec

MERGED = EncoderConfig(
    vocab_size=22,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
    initializer_range=0.3,
)
FACTORS = MERGED.with_projections({(0, "query"): ProjectionSpec(3)})
ROUNDED = MERGED.with_projections({(0, "query"): ProjectionSpec(4)})


@pytest.fixture
def make(vocab_file, monkeypatch):
    """Makes what is exported of a model with factors, by a plan and how long each way takes."""

    def make(plan, *seconds):
        def interleaved(calls, rounds):
            for call in calls:
                call()
            assert len(calls) == len(seconds)
            return np.array([seconds] * rounds)

        def choose(config, table):
            return (Plan(plan), ["choices"]) if config == FACTORS else (Plan(config), [])

        monkeypatch.setattr(timing, "interleaved", interleaved)
        monkeypatch.setattr(execution_plan, "choose", choose)
        model = BertModel(FACTORS)
        service = services.get(registry.get("SST-2"), Tokenizer(vocab_file), 16)
        return model, planned_model.make(model, service, None, (2, 9))

    return make


@pytest.mark.parametrize(
    ("seconds", "way", "exported"),
    [
        ((2.0, 3.0, 4.0), "plan", ROUNDED),
        ((2.0, 1.0, 4.0), "merged", MERGED),
        ((3.0, 2.0, 1.0), "as it is", FACTORS),
        ((2.02, 2.0, 2.01), "as it is", FACTORS),  # The fewest parameters.
        ((2.02, 2.0, 2.5), "merged", MERGED),  # As many parameters as rank 4 of 8 x 8.
    ],
)
def test_the_fastest_way_is_exported(make, seconds, way, exported):
    model, planned = make(ROUNDED, *seconds)
    assert (planned.config, planned.way, planned.choices) == (exported, way, ["choices"])
    expected = {"plan": seconds[0] / seconds[2], "merged": seconds[1] / seconds[2]}
    assert planned.ratios == pytest.approx(expected)
    kernels = [tuple(weight.shape) for weight in planned.served.weights]
    ranks = {3: FACTORS, 4: ROUNDED}
    assert [rank for rank in ranks if (8, rank) in kernels] == [
        rank for rank, config in ranks.items() if config is exported
    ]
    (features,) = model_task.random_features(FACTORS, 9, num_batches=1)
    logits = planned.served.numbers(*features.values())["logits"]
    np.testing.assert_allclose(logits, model(features, training=False), atol=1e-5)


def test_ways_that_are_the_same_are_timed_once(make):
    _, planned = make(MERGED, 1.0, 2.0)
    assert planned.way == "plan" and planned.ratios == {"plan": 0.5}
    _, planned = make(FACTORS, 3.0, 2.0)
    assert planned.way == "as it is" and planned.ratios == {"merged": 1.5}


def test_the_only_way_is_not_timed(make, monkeypatch):
    monkeypatch.setattr(execution_plan, "merged", lambda config: config)
    _, planned = make(FACTORS)
    assert planned.config == FACTORS and (planned.way, planned.ratios) == ("as it is", {})
