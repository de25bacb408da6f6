"""Inference of random models as exports compute it, against tf-models' own encoder."""

import dataclasses
from collections.abc import Callable

from bert_tf import ranges
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.serving import execution_plan
from bert_tf.studies.speed import benchmark_steps, model_directory
from flop_tf import ProjectionSpec
from flop_tf.linalg import costs


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A way to compute a BERT.

    Args:
      name: by which it is known in tables.
      config: the `EncoderConfig` that is computed.
      stage: of the model, in any form that its plan gives it.
      forward: function of features `{name: array [B, T]}`.
    """

    name: str
    config: EncoderConfig
    stage: str
    forward: Callable


def build(config, densities, table):
    """Returns candidates: tf-models' encoder, and models as they are, by the plan, and merged.

    Args:
      config: a dense `EncoderConfig`.
      densities: kernel parameters of the factors over those of the kernels, floats above 0.
      table: a `LatencyTable`.

    Raises:
      ValueError: if a density is not above 0.
    """
    configs = {density: _factorized(config, density) for density in densities}
    encoder = benchmark_steps.tf_models_encoder(config)
    candidates = [
        Candidate(
            "tf_models",
            config,
            "dense",
            model_directory.compiled(lambda features, training: encoder(features)["pooled_output"]),
        )
    ]
    models = {"dense": BertModel(config)}
    for density, factorized in configs.items():
        models[f"density {density:g}"] = BertModel(factorized)
    for name, model in models.items():
        stage = model_info.stage(model.config)
        candidates.append(Candidate(name, model.config, stage, model_directory.compiled(model)))
        configs = {"plan": model.config}
        if name != "dense":
            configs["merged"] = execution_plan.merged(model.config)
        for way, config in configs.items():
            plan, _ = execution_plan.choose(config, table)
            forward = model_directory.compiled(execution_plan.apply(model, plan))
            candidates.append(Candidate(f"{name}, {way}", plan.config, stage, forward))
    return candidates


def _factorized(config, density):
    ranges.check("Argument `densities`", density, float, ranges.ABOVE_0)
    return config.with_projections(
        {
            (index, name): ProjectionSpec(max(1, round(density * costs.break_even_rank(*shape))))
            for index, name, _, shape in config.projections()
        }
    )
