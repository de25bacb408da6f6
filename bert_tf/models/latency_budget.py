"""The budget of a BERT in seconds of an engine, by its latency table."""

import dataclasses

from bert_tf.encoders.config import PARENTS, UNIT_PROJECTIONS
from bert_tf.latency import terms
from flop_tf.budget.cost_budget import CostBudget
from flop_tf.budget.groups import Units
from flop_tf.budget.part_costs import CurveCost, ProjectionCost
from flop_tf.layers.projection import ProjectionSpec

_TERMS = {"heads": terms.ATTENTION, "neurons": terms.FFN}


def latency_budget(model, table):
    """Returns the `CostBudget` of a model's ranks, heads, neurons and sublayers in seconds.

    The expected cost is the sum over sublayers of `p_parent T(sum p)`, plus what does not change.
    Where a projection has factors, its kernel's part of T is the seconds of what is stored, factors
    or kernel, see `ProjectionCost`.

    Args:
      model: a `BertModel` with gates on some of them.
      table: a `bert_tf.latency.LatencyTable`.

    Raises:
      ValueError: if the table is of models of another width.
    """
    config, gates = model.config, {}
    for block, kind, gate, parent in model.encoder.steered_units():
        gates[block, kind] = gate, parent
    projections = dict(model.encoder.projections())
    found, ranks, units, parents = [], [], [], []
    for index, layer in enumerate(config.layers):
        block = f"blocks.{index}"
        for kind in PARENTS:
            gate, parent = gates.get((block, kind), (None, None))
            own = {name: projections.get(f"{block}.{name}") for name in _names(kind)}
            sublayer = _Sublayer(config, layer, kind, own, gate, parent)
            if not (gate or parent or sublayer.factorized):
                continue
            found += sublayer.costs(table)
            following, width = own[_names(kind)[-1]], sublayer.width(_names(kind)[-1])
            ranks += [(one.gate, one, 1) for one in sublayer.factorized.values() if one.gate]
            units += [(gate, following, width)] if gate else []
            parents += [(parent, following, sublayer.number * width)] if parent else []
    whole = {(index, name): ProjectionSpec() for index, name, *_ in config.projections()}
    fixed = table.predict(config.with_projections(whole)) - sum(cost.most for cost in found)
    budget = CostBudget(found, table.predict(config.dense), fixed)
    for group in (*ranks, *units, *parents):
        budget.add_group(*group)
    return budget


def _names(kind):
    """Returns the projections of a sublayer by name, a list; the last one follows its units."""
    before, after = UNIT_PROJECTIONS[kind]
    return [*before, after]


class _Sublayer:
    """A sublayer, its projections and gates.

    Args:
      config: the `EncoderConfig`.
      layer: the `LayerConfig` of its block.
      kind: of its units.
      projections: layers by name.
      gate: over the units, or None.
      parent: over all of them, or None.
    """

    def __init__(self, config, layer, kind, projections, gate, parent):
        self.config, self.layer, self.kind = config, layer, kind
        self.gate, self.parent, self.number = gate, parent, layer.num_units(kind)
        self.factorized = {
            name: projections[name]
            for name in _names(kind)
            if self.number and layer.projection(name).rank is not None
        }

    def width(self, name):
        """Returns how many inputs or outputs of a projection a unit has."""
        return self.layer.unit_width(name, self.config.head_size)

    def costs(self, table):
        """Returns its `PartCost`s, of which all but the first are of factors."""
        number, pair, kernel = (
            table.total({(term, 0): 1})
            for term in (terms.FACTOR_NUMBERS, terms.FACTORS, terms.KERNEL)
        )
        sizes = [size for size in table.sizes[_TERMS[self.kind]] if size < self.number]
        sizes.append(self.number)
        # Without the kernels that have factors, which are counted by themselves.
        weights = self.config.hidden_size * sum(map(self.width, self.factorized))
        seconds = [self._seconds(table, size) - kernel * weights * size for size in sizes]
        found = [CurveCost(sizes, seconds, self.gate, self.parent)]
        for name, layer in self.factorized.items():
            units = None if self.gate is None else Units(self.gate, self.width(name))
            ends = (units, None) if name == _names(self.kind)[-1] else (None, units)
            found.append(ProjectionCost(layer, *ends, self.parent, number, pair, kernel))
        return found

    def _seconds(self, table, size):
        """Returns the seconds with so many units and dense projections."""
        seconds = table.sublayer(self.kind, size)
        if self.kind == "heads":  # Narrow ones save in proportion to their number.
            alone = dataclasses.replace(self.layer, num_heads=size)
            widths = self.config.hidden_size, self.config.head_size
            seconds += table.total(terms.of_narrow_heads(alone, *widths))
        return seconds
