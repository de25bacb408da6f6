"""The budget of a BERT in seconds of an engine, by its latency table."""

import dataclasses

from bert_tf.encoders.config import UNIT_PROJECTIONS
from bert_tf.latency import terms
from flop_tf.budget.cost_budget import CostBudget
from flop_tf.budget.part_costs import CurveCost

_TERMS = {"heads": terms.ATTENTION, "neurons": terms.FFN}


def latency_budget(model, table):
    """Returns the `CostBudget` of a model's heads, neurons and sublayers in seconds.

    The expected cost is the sum over sublayers of `p_parent T(sum p)`, plus what does not change.

    Args:
      model: a `BertModel` with gates on some of them.
      table: a `bert_tf.latency.LatencyTable`.

    Raises:
      ValueError: if the table is of models of another width, or the model has factors.
    """
    config = model.config
    if any(spec.rank for *_, spec, _ in config.projections()):
        raise ValueError(
            "Argument `latency_table` needs a model whose projections are dense, received one with "
            "factors; how these compute is chosen when a model is exported."
        )
    projections, found, groups = dict(model.encoder.projections()), [], []
    for block, kind, gate, parent in model.encoder.steered_units():
        after = UNIT_PROJECTIONS[kind][1]
        following, layer = projections[f"{block}.{after}"], config.layers[int(block.split(".")[1])]
        number, width = layer.num_units(kind), layer.unit_width(after, config.head_size)
        sizes = [*(size for size in table.sizes[_TERMS[kind]] if size < number), number]
        seconds = [table.sublayer(kind, size) for size in sizes]
        if kind == "heads":  # Narrow ones save in proportion to their number.
            widths = config.hidden_size, config.head_size
            alone = [dataclasses.replace(layer, num_heads=size) for size in sizes]
            saved = [table.total(terms.of_narrow_heads(one, *widths)) for one in alone]
            seconds = [one + other for one, other in zip(seconds, saved, strict=True)]
        found.append(CurveCost(sizes, seconds, gate, parent))
        groups += [(gate, following, width), (parent, following, number * width)]
    fixed = table.predict(config) - sum(cost.full for cost in found)
    budget = CostBudget(found, table.predict(config.dense), fixed)
    for gate, following, width in groups:
        if gate is not None:
            budget.add_group(gate, following, width)
    return budget
