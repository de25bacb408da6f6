"""A model as it is served: in the form of its plan, or as it is where that is faster."""

import dataclasses

from bert_tf import timing
from bert_tf.model.config import BertConfig
from bert_tf.model.encoder import INPUT_NAMES
from bert_tf.serving import constant_folding, execution_plan
from bert_tf.serving.served_model import ServedModel
from bert_tf.tasks import model_task

_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class PlannedModel:
    """What is exported, and why.

    Args:
      served: the `ServedModel`.
      config: the `BertConfig` that it computes.
      choices: of each projection by the latency table, see `execution_plan.choose`.
      ratio: the time of the plan over that of the model as it is, or None where it is the same.
    """

    served: ServedModel
    config: BertConfig
    choices: list
    ratio: float | None = None


def make(model, service, table, shape):
    """Returns the `PlannedModel` of a BERT, without what is the same for every token.

    A table knows layers, so the whole is timed after it.

    Args:
      model: a BERT of `bert_tf.model.heads` without gates.
      service: its `bert_tf.serving.services.Service`.
      table: a `LatencyTable` for as many tokens as `shape` has.
      shape: `(batch size, length)` that decides.

    Raises:
      ValueError: if the table lacks a size.
    """
    model = constant_folding.fold(model)
    plan, choices = execution_plan.choose(model.config, table)
    as_it_is = ServedModel(model, service, model.config.max_position_embeddings)
    if plan == model.config:
        return PlannedModel(as_it_is, plan, choices)
    planned = ServedModel(
        execution_plan.apply(model, plan), service, model.config.max_position_embeddings
    )
    (features,) = model_task.random_features(model.config, shape[1], 1, shape[0])
    rows = [features[name] for name in INPUT_NAMES]
    calls = [
        lambda one=one: [output.numpy() for output in one.numbers(*rows).values()]
        for one in (planned, as_it_is)
    ]
    ratio = timing.ratio(timing.interleaved(calls, _ROUNDS))
    if ratio > 1 + execution_plan.TIE:
        return PlannedModel(as_it_is, model.config, choices, ratio)
    return PlannedModel(planned, plan, choices, ratio)
