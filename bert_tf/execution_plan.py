"""How a device computes each projection of a finished model fastest, and the model that does it so.

A plan is a `BertConfig`: a projection keeps its factors, has their rank rounded up to one that
the processor likes, or becomes its dense kernel; query, key and value may share their first
product. The model of a plan computes what its source does.
M tokens, I inputs, O outputs, R rank.
"""

import dataclasses

import numpy as np

from bert_tf import heads
from bert_tf.config import ATTENTION_INPUTS
from bert_tf.latency_table import ALIGNMENT
from flop_tf import budget, surgery
from flop_tf.projection import ProjectionSpec

# A form that is slower by less than this may win by fewer parameters: measurements are no better.
_TIE = 0.02


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


def choose(config, table):
    """Returns the fastest plan for a model, by a table.

    Args:
      config: the `BertConfig` of a model without gates.
      table: a `LatencyTable` of the device, for the number of tokens that decides.

    Returns:
      `(BertConfig, rows)`: the plan, and for each projection a dict of what was chosen.

    Raises:
      ValueError: if the table lacks a size.
    """
    layers, rows = [], []
    for index, layer in enumerate(config.layers):
        shapes = {n: layer.shape(n, config.hidden_size, config.head_size) for n in layer.names()}
        best = {
            name: _best(_forms(layer.projection(name), *shape, table))
            for name, shape in shapes.items()
        }
        fused = _fused([best[n].specs[0] for n in ATTENTION_INPUTS if n in best], shapes, table)
        separate = [best[name] for name in ATTENTION_INPUTS if name in best]
        if fused:
            together = Form(
                sum(form.seconds for form in separate),
                sum(form.parameters for form in separate),
                tuple(form.specs[0] for form in separate),
            )
            chosen = _best([together, *fused])
            is_fused = chosen is not together
            for name, spec in zip(ATTENTION_INPUTS, chosen.specs, strict=True):
                best[name] = Form(chosen.seconds / 3, chosen.parameters // 3, (spec,))
        else:
            is_fused = False
        specs = {name: form.specs[0] for name, form in best.items()}
        layers.append(dataclasses.replace(layer, projections=specs, fused_attention=is_fused))
        rows += [
            {
                "projection": f"blocks.{index}.{name}",
                "shape": list(shapes[name]),
                "rank": layer.projection(name).rank,
                "chosen_rank": form.specs[0].rank,
                "fused": is_fused and name in ATTENTION_INPUTS,
                "microseconds": round(1e6 * form.seconds, 1),
            }
            for name, form in best.items()
        ]
    return dataclasses.replace(config, layers=tuple(layers)), rows


def apply(model, plan):
    """Returns the model of a plan, with the weights of its source.

    Args:
      model: a BERT of `bert_tf.heads` without gates.
      plan: a `BertConfig` of `choose`, or of the same architecture with other forms.
    """
    weights = surgery.named_weights(model)
    for index, name, spec, _ in plan.projections():
        _reform(weights, f"encoder.blocks.{index}.{name}", spec)
    for index, layer in enumerate(plan.layers):
        if layer.fused_attention:
            _fuse(weights, f"encoder.blocks.{index}")
    planned = heads.make(plan)
    surgery.assign_weights(planned, weights)
    return planned


def _forms(spec, inputs, outputs, table):
    """Returns the ways to compute one projection."""
    if spec.rank == 0:
        return [Form(0.0, 0, (spec,))]
    dense = Form(table.seconds(inputs, outputs), inputs * outputs, (ProjectionSpec(),))
    if spec.rank is None:
        return [dense]
    return [
        Form(
            table.seconds(inputs, rank) + table.seconds(rank, outputs),
            budget.factorized_parameters(inputs, outputs, rank),
            (ProjectionSpec(rank),),
        )
        for rank in sorted({spec.rank, -(-spec.rank // ALIGNMENT) * ALIGNMENT})
    ] + [dense]


def _fused(specs, shapes, table):
    """Returns the ways to compute query, key and value together: as they are, or all dense."""
    if not specs or any(spec.rank == 0 for spec in specs):
        return []
    inputs, outputs = shapes[ATTENTION_INPUTS[0]]
    forms = []
    for some in {tuple(specs), (ProjectionSpec(),) * len(specs)}:
        widths = [outputs if spec.rank is None else spec.rank for spec in some]
        seconds = table.seconds(inputs, sum(widths)) + table.copy * table.tokens * sum(widths)
        seconds += sum(table.seconds(s.rank, outputs) for s in some if s.rank is not None)
        parameters = sum(budget.kernel_parameters(inputs, outputs, s.rank) for s in some)
        forms.append(Form(seconds, parameters, some))
    return forms


def _best(forms):
    """Returns the fastest form; among those as fast, the one with the fewest parameters."""
    limit = (1 + _TIE) * min(form.seconds for form in forms)
    ties = [form for form in forms if form.seconds <= limit]
    return min(ties, key=lambda form: (form.parameters, form.seconds))


def _reform(weights, path, spec):
    """Gives the weights of a projection the form of a spec."""
    factor_in = weights.pop(f"{path}.factor_in", None)
    if factor_in is None:
        return
    factor_out = weights.pop(f"{path}.factor_out")
    if spec.rank is None:
        kernel = factor_in.astype(np.float64) @ factor_out.astype(np.float64)
        weights[f"{path}.kernel"] = kernel.astype(np.float32)
        return
    more = spec.rank - factor_in.shape[1]
    weights[f"{path}.factor_in"] = np.pad(factor_in, [(0, 0), (0, more)])
    weights[f"{path}.factor_out"] = np.pad(factor_out, [(0, more), (0, 0)])


def _fuse(weights, block):
    """Gives query, key and value of a block the weights of a `FusedProjections`."""
    kernels, biases = [], []
    for index, name in enumerate(ATTENTION_INPUTS):
        path = f"{block}.{name}"
        biases.append(weights.pop(f"{path}.bias"))
        if f"{path}.kernel" in weights:
            kernels.append(weights.pop(f"{path}.kernel"))
        else:
            kernels.append(weights.pop(f"{path}.factor_in"))
            out = weights.pop(f"{path}.factor_out")
            weights[f"{block}.attention_inputs.factor_out_{index}"] = out
    weights[f"{block}.attention_inputs.kernel"] = np.concatenate(kernels, axis=1)
    weights[f"{block}.attention_inputs.bias"] = np.concatenate(biases)
