"""A model as it is served: by its plan, merged back to kernels, or as it is; the fastest one."""

import dataclasses

import numpy as np

from bert_tf import timing
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.encoders.execution import Execution
from bert_tf.serving import constant_folding, execution_plan
from bert_tf.serving.execution_plan import Plan
from bert_tf.serving.served_model import ServedModel
from bert_tf.tasks import model_task
from flop_tf.linalg import costs

_ROUNDS = 10

_AS_IT_IS = "as it is"


@dataclasses.dataclass(frozen=True)
class PlannedModel:
    """The form in which a model is exported, and why.

    Args:
      served: the `ServedModel`.
      config: its `EncoderConfig`.
      execution: its `Execution`.
      choices: the choice for each projection by the latency table, see `execution_plan.choose`.
      way: name of the form: "plan", "merged" or "as it is".
      ratios: time of each other form over the time of the model as it is, a float by name.
    """

    served: ServedModel
    config: EncoderConfig
    execution: Execution
    choices: list
    way: str
    ratios: dict


def make(model, service, table, shape):
    """Returns the `PlannedModel` of a BERT, its constant sublayers folded into biases.

    A table knows layers, so the whole is timed after it: by the plan of the table, with all
    factors merged back to kernels, and as it is.

    Args:
      model: a `BertModel` without gates.
      service: its `bert_tf.serving.services.Service`.
      table: a `LatencyTable` for `shape`.
      shape: `(batch size, length)` that decides.

    Raises:
      ValueError: if the table lacks a size.
    """
    model = constant_folding.fold(model)
    ways, choices = _ways(model, table)
    served = {}
    for name, plan in ways.items():
        one = execution_plan.apply(model, plan)
        served[name] = ServedModel(one, service, plan.config.num_positions)
    if len(ways) == 1:
        (way,), ratios = ways, {}
    else:
        seconds = _seconds(list(served.values()), model.config, shape)
        ratios = dict(
            zip(ways, map(float, np.median(seconds / seconds[:, -1:], axis=0)), strict=True)
        )
        forms = [
            execution_plan.Form(ratio, _num_parameters(ways[name].config), (name,))
            for name, ratio in ratios.items()
        ]
        (way,) = execution_plan.best(forms).specs
        del ratios[_AS_IT_IS]
    plan = ways[way]
    return PlannedModel(served[way], plan.config, plan.execution, choices, way, ratios)


def _ways(model, table):
    """Returns the `Plan` of each way to compute a model by its name, the model as it is last."""
    chosen, choices = execution_plan.choose(model.config, table)
    merged, _ = execution_plan.choose(execution_plan.merged(model.config), table)
    as_it_is, ways = Plan(model.config), {}
    for name, plan in (("plan", chosen), ("merged", merged)):
        if plan != as_it_is and plan not in ways.values():
            ways[name] = plan
    return {**ways, _AS_IT_IS: as_it_is}, choices


def _seconds(served, config, shape):
    (features,) = model_task.random_features(config, shape[1], 1, shape[0])
    rows = [features[name] for name in INPUT_NAMES]
    calls = [
        lambda one=one: [output.numpy() for output in one.numbers(*rows).values()] for one in served
    ]
    return timing.interleaved(calls, _ROUNDS)


def _num_parameters(config):
    return sum(
        costs.kernel_parameters(*shape, spec.rank) for _, _, spec, shape in config.projections()
    )
