"""How a device computes each projection of a finished model fastest, and the model that does it so.

In a `Plan` a projection keeps its factors, has their rank rounded up to one that the processor
likes, or becomes its dense kernel; query, key and value may share their first product, with the
scale of attention in the query's weights; LayerNorm is one operation or several, and attention by
einsums or not. The model of a plan has the outputs of its source.
M tokens, I inputs, O outputs, R rank.
"""

import dataclasses
import math

import numpy as np

from bert_tf.encoders.config import ATTENTION_INPUTS, EncoderConfig
from bert_tf.encoders.execution import TRAINING, Execution
from bert_tf.latency import terms
from bert_tf.models.bert import BertModel
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import costs, factorization

#: What is slower by less than this may be taken all the same: measurements are no better.
TIE = 0.03


@dataclasses.dataclass(frozen=True)
class Form:
    """A way to compute one projection, or several that are fused.

    Args:
      seconds: by the latency table.
      parameters: of its factors or kernels.
      specs: the `ProjectionSpec` of each projection.
    """

    seconds: float
    parameters: int
    specs: tuple


@dataclasses.dataclass(frozen=True)
class Plan:
    """A model in the form in which a device computes it.

    Args:
      config: the `EncoderConfig`, with the rank in which each projection is computed.
      execution: the `Execution`; default the one of training.
    """

    config: EncoderConfig
    execution: Execution = TRAINING


def choose(config, table):
    """Returns the fastest plan for a model, by a table.

    Args:
      config: the `EncoderConfig` of a model without gates.
      table: a `LatencyTable` of the engine and device, for the shape that decides.

    Returns:
      `(Plan, rows)`: the plan, and for each projection a dict of the choice.

    Raises:
      ValueError: if the table is of models of another width.
    """
    table.check_config(config)
    specs, rows, fused = {}, [], []
    for index, layer in enumerate(config.layers):
        shapes = {n: layer.shape(n, config.hidden_size, config.head_size) for n in layer.names()}
        found, is_fused = _of_block(layer, shapes, table)
        if is_fused:
            fused.append(index)
        for name, form in found.items():
            specs[index, name] = form.specs[0]
            rows.append(
                {
                    "projection": f"blocks.{index}.{name}",
                    "shape": list(shapes[name]),
                    "rank": layer.projection(name).rank,
                    "chosen_rank": form.specs[0].rank,
                    "fused": is_fused and name in ATTENTION_INPUTS,
                    "microseconds": round(1e6 * form.seconds, 1),
                }
            )
    plan = Plan(config.with_projections(specs), Execution(tuple(fused)))
    for field in ("fused_layer_norm", "einsum_attention"):
        usual = getattr(plan.execution, field)
        other = dataclasses.replace(plan.execution, **{field: not usual})
        if _is_faster(plan.config, other, plan.execution, table):
            plan = dataclasses.replace(plan, execution=other)
    return plan, rows


def merged(config):
    """Returns the config with all factors merged to kernels, but for rank 0.

    Args:
      config: an `EncoderConfig` without gates.
    """
    return config.with_projections(
        {
            (index, name): ProjectionSpec()
            for index, name, spec, _ in config.projections()
            if spec.rank != 0
        }
    )


def apply(model, plan, rank_maxima=None):
    """Returns the model of a plan, with the weights of its source, its factors balanced.

    Args:
      model: a `BertModel` without gates.
      plan: a `Plan` of `choose`, or of the same architecture with other forms.
      rank_maxima: `rank_max` of `flop_tf.linalg.factorization.balance` by the projection's path;
        default none.

    Returns:
      The BERT of the plan; `model` itself where there is nothing to do.
    """
    config = plan.config
    has_factors = any(spec.rank for *_, spec, _ in config.projections())
    if plan == Plan(model.config, model.execution) and not has_factors:
        return model
    weights = surgery.named_weights(model)
    for index, name, spec, _ in config.projections():
        rank_max = (rank_maxima or {}).get(f"blocks.{index}.{name}")
        _reform(weights, f"encoder.blocks.{index}.{name}", spec, rank_max)
    for index in plan.execution.fused_blocks:
        _fuse(weights, f"encoder.blocks.{index}", 1 / math.sqrt(config.head_size))
    planned = BertModel(config, plan.execution)
    surgery.assign_weights(planned, weights)
    return planned


def _of_block(layer, shapes, table):
    """Returns the fastest `Form` of each projection of a block, and whether three are fused."""
    found = {
        name: best(_forms(layer.projection(name), *shape, table)) for name, shape in shapes.items()
    }
    if not layer.num_heads:
        return found, False
    separate = _joined([found[name] for name in ATTENTION_INPUTS])
    chosen = best([separate, *_fused(layer, [shapes[name] for name in ATTENTION_INPUTS], table)])
    if chosen is separate:
        return found, False
    return {**found, **_parts(chosen)}, True


def _is_faster(config, execution, usual, table):
    """Returns whether a model is faster by an execution than by the usual one."""
    return (1 + TIE) * table.predict(config, execution) < table.predict(config, usual)


def _forms(spec, inputs, outputs, table):
    """Returns the ways to compute one projection."""
    if spec.rank == 0:
        return [Form(0.0, 0, (spec,))]
    ranks = {spec.rank, _rounded(spec.rank)} if spec.rank else ()
    return [
        Form(
            # A fit may say of few ranks that they save more than the kernel takes.
            max(0.0, table.product(inputs, outputs, rank)),
            costs.kernel_parameters(inputs, outputs, rank),
            (ProjectionSpec(rank),),
        )
        for rank in (None, *sorted(ranks))
    ]


def _fused(layer, shapes, table):
    """Returns the ways to compute query, key and value together: dense, and by their factors."""
    ranks = [layer.projection(name).rank for name in ATTENTION_INPUTS]
    if 0 in ranks:
        return []
    forms = [(None,) * len(ranks)]
    if None not in ranks:
        forms += {tuple(ranks), tuple(map(_rounded, ranks))}
    return [
        Form(
            max(
                0.0,
                sum(table.product(*shape, rank) for shape, rank in zip(shapes, some, strict=True))
                + table.total(terms.of_fused(layer.num_heads, some)),
            ),
            sum(
                costs.kernel_parameters(*shape, rank)
                for shape, rank in zip(shapes, some, strict=True)
            ),
            tuple(map(ProjectionSpec, some)),
        )
        for some in forms
    ]


def _rounded(rank):
    """Returns the next rank that is aligned."""
    return -(-rank // terms.ALIGNMENT) * terms.ALIGNMENT


def _joined(forms):
    """Returns several projections in their own forms as one."""
    return Form(
        sum(form.seconds for form in forms),
        sum(form.parameters for form in forms),
        tuple(form.specs[0] for form in forms),
    )


def _parts(form):
    """Returns the shares of query, key and value in a form of all three."""
    count = len(form.specs)
    parts = [Form(form.seconds / count, form.parameters // count, (spec,)) for spec in form.specs]
    return dict(zip(ATTENTION_INPUTS, parts, strict=True))


def best(forms):
    """Returns the fastest form; within `TIE`, the one with the least seconds times parameters.

    Lost time counts as much as parameters, so that nothing becomes slower for a few of them.

    Args:
      forms: list of `Form`, at least one.
    """
    limit = (1 + TIE) * min(form.seconds for form in forms)
    ties = [form for form in forms if form.seconds <= limit]
    return min(ties, key=lambda form: (form.seconds * form.parameters, form.seconds))


def _reform(weights, path, spec, rank_max):
    """Gives the weights of a projection the form of a spec."""
    factor_in = weights.pop(f"{path}.factor_in", None)
    if factor_in is None:
        return
    factor_out = weights.pop(f"{path}.factor_out")
    if spec.rank is None:
        weights[f"{path}.kernel"] = factorization.merge(factor_in, factor_out)
        return
    # Models that other versions compacted may have ranks of any scale.
    factor_in, factor_out = factorization.balance(factor_in, factor_out, rank_max)
    more = spec.rank - factor_in.shape[1]
    weights[f"{path}.factor_in"] = np.pad(factor_in, [(0, 0), (0, more)])
    weights[f"{path}.factor_out"] = np.pad(factor_out, [(0, more), (0, 0)])


def _fuse(weights, block, scale):
    """Gives query, key and value of a block the weights of a `FusedProjections`.

    Scaling the query's weights is scaling the scores.
    """
    kernels, biases = [], []
    for index, name in enumerate(ATTENTION_INPUTS):
        path = f"{block}.{name}"
        factor = np.float32(scale if name == "query" else 1)
        biases.append(factor * weights.pop(f"{path}.bias"))
        if f"{path}.kernel" in weights:
            kernels.append(factor * weights.pop(f"{path}.kernel"))
        else:
            kernels.append(weights.pop(f"{path}.factor_in"))
            out = factor * weights.pop(f"{path}.factor_out")
            weights[f"{block}.attention_inputs.factor_out_{index}"] = out
    weights[f"{block}.attention_inputs.kernel"] = np.concatenate(kernels, axis=1)
    weights[f"{block}.attention_inputs.bias"] = np.concatenate(biases)
