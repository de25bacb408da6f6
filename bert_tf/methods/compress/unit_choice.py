"""What the sublayers of a BERT keep, for a target in what the model costs.

Of a sublayer the heads or neurons of most output energy stay; heads may become narrower, and
projections factors of a rank. How much each sublayer keeps is decided for all of them together, by
what is lost on the model's outputs. That is measured where half of a sublayer's units are removed,
and where all are, and follows their energy in between; it is measured for each width of all heads
and each share of the ranks, and counts by the share of the energy that is left.
"""

import contextlib
import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from bert_tf.encoders.config import HEAD_SIZES, UNIT_PROJECTIONS
from bert_tf.latency.terms import ALIGNMENT
from bert_tf.methods.compress.unit_energy import output_projection
from bert_tf.surgery import narrow_heads, units
from bert_tf.surgery.uniform import filled_up
from flop_tf.budget.allocation import allocate
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import costs, factorization

#: What may go: whole sublayers, heads, neurons, columns of heads, ranks of projections.
GROUPS = ("sublayers", "heads", "neurons", "head_dimensions", "ranks")

#: Sublayers keep a multiple of so many neurons, and heads one of so many columns: engines like it.
NEURON_STEP, SIZE_STEP = 32, 8

#: Shares of the break-even rank that projections may keep.
DENSITIES = (0.75, 0.5, 0.25)

_KINDS = tuple(UNIT_PROJECTIONS)


@dataclasses.dataclass(frozen=True)
class Cut:
    """What a sublayer keeps.

    Args:
      number: of its units.
      key_size: width of a head's query and key; None is as it was.
      value_size: width of a head's value; None is as it was.
      density: share of the break-even rank that its projections keep, in (0, 1); None is dense.
    """

    number: int
    key_size: int | None = None
    value_size: int | None = None
    density: float | None = None

    def applied(self, config, index, kind):
        """Returns the `LayerConfig` of a block whose sublayer is cut.

        Args:
          config: the `EncoderConfig`, whose sublayer has dense projections.
          index: number of the block.
          kind: of the sublayer's units, "heads" or "neurons".
        """
        layer = config.layers[index]
        if kind == "heads":
            sizes = {name: getattr(self, name) or getattr(layer, name) for name in HEAD_SIZES}
            layer = dataclasses.replace(layer, num_heads=self.number, **sizes)
        else:
            layer = dataclasses.replace(layer, intermediate_size=self.number)
        before, after = UNIT_PROJECTIONS[kind]
        specs = {
            name: ProjectionSpec(
                _rank(self.density, *layer.shape(name, config.hidden_size, config.head_size))
            )
            for name in (*before, after)
            if self.number and self.density is not None
        }
        return dataclasses.replace(layer, projections={**layer.projections, **specs})


@dataclasses.dataclass(frozen=True)
class Sublayer:
    """The units of a sublayer in the order in which they are removed last, and its cuts.

    Args:
      path: such as `blocks.0.heads`.
      order: int `[U]`, indexes of the units, of most energy first.
      cuts: list of K `Cut`s, the last one keeps everything.
      losses: float64 `[K]`, what is lost by each of them.
    """

    path: str
    order: np.ndarray
    cuts: list
    losses: np.ndarray

    def keep(self, number):
        """Returns the mask that keeps the first units, bool `[U]`.

        Args:
          number: how many stay.
        """
        return _first(self.order, number)


def sublayers(source, energies, dataset, groups, head_moments=None, moments=None):
    """Measures what each sublayer's units, columns and ranks are worth to the outputs of a model.

    Args:
      source: the `bert_tf.checkpoints.Source` with its head.
      energies: of the model, see `unit_energy.unit_energies`.
      dataset: `tf.data.Dataset` of batches `(features, ...)`.
      groups: names of `GROUPS` that may go.
      head_moments: of `narrow_heads.head_moments`, where columns of heads may.
      moments: of `projection_statistics.second_moments`, where ranks may.

    Returns:
      List of `Sublayer`.
    """
    measured = _Measured(source, dataset)
    return [
        _sublayer(source, path, found, measured, groups, head_moments, moments)
        for path, found in energies.items()
    ]


class Choice:
    """What each sublayer may keep, and at what cost; one head stays at least.

    Args:
      found: list of `Sublayer`, of all sublayers that have units.
      config: the `EncoderConfig` of the model that they were measured on.
      cost: a `unit_costs.Cost`.
    """

    def __init__(self, found, config, cost):
        self._options = {one.path: list(zip(one.cuts, one.losses, strict=True)) for one in found}
        heads = [one for one in found if one.path.endswith("heads")]
        if heads:  # Without any head no token hears of another.
            last = max(heads, key=lambda one: one.losses.max()).path
            self._options[last] = [pair for pair in self._options[last] if pair[0].number]
        self._prices = [
            cost.of_cuts(config, path, [cut for cut, _ in own])
            for path, own in self._options.items()
        ]
        self._rest = cost.of_model(config) - sum(price[-1] for price in self._prices)

    def within(self, allowed):
        """Returns what loses least, a `Cut` by path.

        Args:
          allowed: number above 0, what the whole model may cost.

        Raises:
          ValueError: if the model with the least that may stay costs more.
        """
        lost = [[loss for _, loss in own] for own in self._options.values()]
        chosen = allocate(lost, self._prices, allowed - self._rest)
        return {
            path: own[option][0]
            for (path, own), option in zip(self._options.items(), chosen, strict=True)
        }


def smallest(config, groups):
    """Returns the `EncoderConfig` of the least that `Choice` may leave of a model.

    Args:
      config: an `EncoderConfig` whose projections are dense.
      groups: names of `GROUPS` that may go.
    """
    layers = []
    # `Choice` keeps heads where they are worth most, which costs at most this.
    last = max(range(len(config.layers)), key=lambda index: config.layers[index].num_heads)
    for index, layer in enumerate(config.layers):
        one = dataclasses.replace(config, num_hidden_layers=1, layers=(layer,))
        for kind in _KINDS:
            if number := layer.num_units(kind):
                numbers = _numbers(number, kind, groups)
                least = next(one for one in numbers if one or kind != "heads" or index != last)
                narrow = kind == "heads" and "head_dimensions" in groups
                sizes = [min(_sizes(one, 0, name), default=None) for name in ("key", "value")]
                density = min(DENSITIES) if "ranks" in groups else None
                cut = Cut(least, *(sizes if narrow else ()), density=density)
                one = dataclasses.replace(one, layers=(cut.applied(one, 0, kind),))
        layers += one.layers
    return dataclasses.replace(config, layers=tuple(layers))


class _Measured:
    """A model with gates that are open, and what its outputs lose where weights change."""

    def __init__(self, source, dataset):
        self.source = source
        self.model = source.model(layers=units.with_gates(source.config, _KINDS, "fixed").layers)
        self.gates = dict(self.model.encoder.unit_gates())
        self._logits = tf.function(lambda x: self.model(x, training=False), reduce_retracing=True)
        self._batches = [features for features, *_ in dataset]
        self._whole = [self._logits(features) for features in self._batches]

    def distance(self, changes):
        """Returns how far the outputs move where variables have other values, a float.

        Args:
          changes: list of `(variable, array)`.
        """
        with _changed(changes):
            found = [
                self._moved(before, features)
                for before, features in zip(self._whole, self._batches, strict=True)
            ]
        return float(np.mean(found))

    def _moved(self, before, features):
        head = self.model.head
        counted = head.counted(features)
        return float(head.distance(before, self._logits(features), 1.0, counted=counted))

    def without_units(self, path, kept, mean):
        """Returns `distance` where some units alone are left, their mean outputs paid back.

        Args:
          path: of the units.
          kept: bool `[U]`.
          mean: `[U W]`, see `unit_energy.UnitEnergy`.
        """
        layer, gate = output_projection(self.model, path), self.gates[path]
        closed = np.repeat(~kept, len(mean) // len(kept))
        bias = layer.bias.numpy() + (mean * closed) @ layer.kernel.numpy()
        return self.distance([(gate.values, kept.astype(np.float32)), (layer.bias, bias)])

    def with_narrow_heads(self, index, moments, sizes):
        """Returns `distance` where the heads of a block are narrower, their other columns 0.

        Args:
          index: number of the block.
          moments: of `narrow_heads.head_moments`.
          sizes: see `narrow_heads.narrow`.
        """
        config, old = self.source.config, self.source.weights
        narrowed, weights = narrow_heads.narrow(config, old, moments, {index: sizes})
        layer, changes = narrowed.layers[index], []
        for name in (*UNIT_PROJECTIONS["heads"][0], UNIT_PROJECTIONS["heads"][1]):
            width = layer.unit_width(name, config.head_size)
            for part in ("kernel", "bias"):
                path = f"encoder.blocks.{index}.{name}.{part}"
                array, wanted = weights[path], old[path].shape
                axis = 0 if name == "attention_output" else -1
                if array.shape != wanted:
                    array = filled_up(array, axis, width, layer.num_heads, wanted[axis])
                changes.append((getattr(self._layer(index, name), part), array))
        return self.distance(changes)

    def with_ranks(self, index, kind, moments, density):
        """Returns `distance` where the projections of a sublayer have a share of their ranks.

        Args:
          index: number of the block.
          kind: "heads" or "neurons".
          moments: of `projection_statistics.second_moments`.
          density: see `Cut`.
        """
        changes, (before, after) = [], UNIT_PROJECTIONS[kind]
        for name in (*before, after):
            kernel = self._layer(index, name).kernel
            rank = _rank(density, *kernel.shape)
            if rank is not None:
                moment = moments[f"blocks.{index}.{name}"]
                factors = factorization.whitened_svd(kernel.numpy(), moment, rank)
                changes.append((kernel, factorization.merge(*factors)))
        return self.distance(changes)

    def _layer(self, index, name):
        return getattr(self.model.encoder.blocks[index], name)


@contextlib.contextmanager
def _changed(changes):
    """Gives variables other values for the time of a `with` block."""
    before = [(variable, variable.numpy()) for variable, _ in changes]
    for variable, array in changes:
        variable.assign(array)
    try:
        yield
    finally:
        for variable, array in before:
            variable.assign(array)


def _sublayer(source, path, found, measured, groups, head_moments, moments):
    """Returns the `Sublayer` of some units by their energy, and by what its cuts lose."""
    _, index, kind = path.split(".")
    index, config, energy = int(index), source.config, found.energy
    order, number = np.argsort(-energy, kind="stable"), len(energy)
    # By the number of units that stay, how much energy goes.
    removed = np.append(np.cumsum(energy[order][::-1])[::-1], 0.0)
    points = [(0.0, 0.0)]
    for half in (number // 2, 0):
        lost = measured.without_units(path, _first(order, half), found.mean)
        points.append((removed[half], max(points[-1][1], lost)))
    of_number = np.interp(removed, *map(np.array, zip(*points, strict=True)))

    keys, values, densities = {None: 0.0}, {None: 0.0}, {None: 0.0}
    if kind == "heads" and "head_dimensions" in groups:
        for size in _sizes(config, index, "key"):
            keys[size] = measured.with_narrow_heads(index, head_moments, (size, None))
        for size in _sizes(config, index, "value"):
            values[size] = measured.with_narrow_heads(index, head_moments, (None, size))
    if "ranks" in groups:
        for density in DENSITIES:
            densities[density] = measured.with_ranks(index, kind, moments, density)

    cuts, lost = [], []
    for left in _numbers(number, kind, groups):
        share = 1 - removed[left] / removed[0] if removed[0] else 0.0
        # The one that keeps everything comes last.
        for key, value, density in itertools.product(*map(reversed, (keys, values, densities))):
            if not left and (key, value, density) != (None, None, None):
                continue
            cuts.append(Cut(left, key, value, density))
            more = keys[key] + values[value] + densities[density]
            lost.append(of_number[left] + share * more)
    return Sublayer(path, order, cuts, np.array(lost))


def _numbers(number, kind, groups):
    """Returns the numbers of units that a sublayer may keep, increasing ints."""
    step = NEURON_STEP if kind == "neurons" else 1
    some = range(step, number, step) if kind in groups else ()
    return [*([0] if "sublayers" in groups else []), *some, number]


def _sizes(config, index, name):
    """Returns the widths that the heads of a block may get, at quarters of their own."""
    width = config.layers[index].unit_width(name, config.head_size)
    quarters = {width * share // 4 // SIZE_STEP * SIZE_STEP for share in (1, 2, 3)}
    return sorted(size for size in quarters if 0 < size < width)


def _rank(density, inputs, outputs):
    """Returns the rank of a share of the break-even rank, aligned; None where it is no smaller."""
    rank = int(density * costs.break_even_rank(inputs, outputs))
    rank = rank // ALIGNMENT * ALIGNMENT or max(1, rank)
    return None if costs.stored_densely(inputs, outputs, rank) else rank


def _first(order, number):
    """Returns the mask of the first units of an order, bool `[U]`."""
    kept = np.zeros(len(order), bool)
    kept[order[:number]] = True
    return kept
