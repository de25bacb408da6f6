"""What is exported, by times that are injected."""

import numpy as np
import pytest

from bert_tf import timing
from bert_tf.data.tokenization import Tokenizer
from bert_tf.model.classifier import BertClassifier
from bert_tf.model.config import BertConfig
from bert_tf.serving import execution_plan, planned_model, services
from bert_tf.tasks import model_task, registry
from flop_tf.projection import ProjectionSpec

MERGED = BertConfig(
    vocab_size=22,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
    initializer_range=0.3,
)
FACTORS = MERGED.with_projections({(0, "query"): ProjectionSpec(3)})


@pytest.fixture
def make(vocab_file, monkeypatch):
    """Makes what is exported of a model with factors, by a plan and its time over the model's."""

    def make(plan, ratio):
        def interleaved(calls, rounds):
            for call in calls:
                call()
            return np.array([[ratio, 1.0]] * rounds)

        monkeypatch.setattr(timing, "interleaved", interleaved)
        monkeypatch.setattr(execution_plan, "choose", lambda config, table: (plan, ["choices"]))
        model = BertClassifier(FACTORS)
        service = services.get(registry.get("SST-2"), Tokenizer(vocab_file), 16)
        return model, planned_model.make(model, service, None, (2, 9))

    return make


@pytest.mark.parametrize(
    ("ratio", "exported"), [(0.5, MERGED), (1.02, MERGED), (1.04, FACTORS), (3.0, FACTORS)]
)
def test_a_plan_must_not_be_slower_than_the_model_as_it_is(make, ratio, exported):
    model, planned = make(MERGED, ratio)
    assert (planned.config, planned.ratio, planned.choices) == (exported, ratio, ["choices"])
    kernels = [tuple(weight.shape) for weight in planned.served.weights]
    assert ((8, 3) in kernels) == (exported is FACTORS)
    (features,) = model_task.random_features(FACTORS, 9, num_batches=1)
    logits = planned.served.numbers(*features.values())["logits"]
    np.testing.assert_allclose(logits, model(features, training=False), atol=1e-5)


def test_a_plan_that_changes_nothing_is_not_timed(make):
    _, planned = make(FACTORS, 3.0)
    assert planned.config == FACTORS and planned.ratio is None
