"""The budget of a BERT in seconds of an engine, by its latency table."""

from bert_tf.encoders.config import UNIT_PROJECTIONS
from bert_tf.latency import terms
from flop_tf.budget.cost_budget import CostBudget
from flop_tf.budget.part_costs import CurveCost

_TERMS = {"heads": terms.ATTENTION, "neurons": terms.FFN}


def latency_budget(model, table):
    """Returns the `CostBudget` of a model's heads, neurons and sublayers in seconds.

    Expected are `p_parent T(sum p)` of each sublayer, and what all models take. The rest, such as
    what factors save, stays as it is.

    Args:
      model: a `BertModel` with gates on some of them.
      table: a `bert_tf.latency.LatencyTable`.

    Raises:
      ValueError: if the table is of models of another width, or the model has gates over ranks.
    """
    config = model.config
    if any(spec.gate is not None for *_, spec, _ in config.projections()):
        raise ValueError(
            "Argument `latency_table` needs gates over sublayers, heads and neurons alone: in "
            "seconds ranks are chosen when a model is exported; leave ranks out of `groups`."
        )
    projections, found, groups = dict(model.encoder.projections()), [], []
    for block, kind, gate, parent in model.encoder.steered_units():
        following = projections[f"{block}.{UNIT_PROJECTIONS[kind][1]}"]
        layer = config.layers[int(block.rpartition(".")[2])]
        number, width = layer.num_units(kind), config.head_size if kind == "heads" else 1
        sizes = [*(size for size in table.sizes[_TERMS[kind]] if size < number), number]
        seconds = [table.attention(n) if kind == "heads" else table.ffn(n) for n in sizes]
        found.append(CurveCost(sizes, seconds, gate, parent))
        groups += [(gate, following, width), (parent, following, number * width)]
    fixed = table.predict(config) - sum(cost.full for cost in found)
    budget = CostBudget(found, table.predict(config.dense), fixed)
    for gate, following, width in groups:
        if gate is not None:
            budget.add_group(gate, following, width)
    return budget
