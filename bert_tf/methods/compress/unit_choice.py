"""Which heads and neurons of a BERT stay, for a target in what the model costs.

Of a sublayer the units of most output energy stay. How many each sublayer keeps is decided for all
of them together: what is lost is measured on the model's outputs where half of a sublayer's units
are removed, and where all are, and follows their energy in between.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf.heads import losses
from bert_tf.methods.compress.unit_energy import output_projection
from bert_tf.surgery import units
from flop_tf.budget.allocation import allocate

#: Sublayers keep a multiple of so many neurons, which engines like.
NEURON_STEP = 32

_KINDS = ("heads", "neurons")


@dataclasses.dataclass(frozen=True)
class Sublayer:
    """The units of a sublayer in the order in which they are removed last.

    Args:
      path: such as `blocks.0.heads`.
      order: int `[U]`, indexes of the units, of most energy first.
      losses: float64 `[U + 1]`, what is lost by the number of units that stay.
    """

    path: str
    order: np.ndarray
    losses: np.ndarray

    @property
    def options(self):
        """The numbers of units that may stay, increasing ints."""
        number = len(self.order)
        step = NEURON_STEP if self.path.endswith("neurons") else 1
        return [*range(0, number, step), number]

    def keep(self, number):
        """Returns the mask that keeps the first units, bool `[U]`.

        Args:
          number: how many stay.
        """
        return _first(self.order, number)


def sublayers(source, energies, dataset):
    """Measures what each sublayer's units are worth to the outputs of a model.

    Args:
      source: the `bert_tf.checkpoints.Source` with its head.
      energies: of the model, see `unit_energy.unit_energies`.
      dataset: `tf.data.Dataset` of batches `(features, ...)`.

    Returns:
      List of `Sublayer`.
    """
    model = source.model(layers=units.with_gates(source.config, _KINDS, "fixed").layers)
    gates = dict(model.encoder.unit_gates())
    logits = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    batches = [features for features, *_ in dataset]
    whole = [logits(features) for features in batches]

    def distance(path, kept):
        """Returns how far the outputs move where a sublayer has some of its units alone."""
        layer, gate = output_projection(model, path), gates[path]
        bias, mean = layer.bias.numpy(), energies[path].mean
        closed = np.repeat(~kept, len(mean) // len(kept))
        gate.values.assign(kept.astype(np.float32))
        layer.bias.assign(bias + (mean * closed) @ layer.kernel.numpy())
        found = [
            float(losses.distillation_loss(before, logits(features), 1.0))
            for before, features in zip(whole, batches, strict=True)
        ]
        gate.values.assign(np.ones(len(kept)))
        layer.bias.assign(bias)
        return float(np.mean(found))

    return [_sublayer(path, found.energy, distance) for path, found in energies.items()]


def choose(found, config, cost, allowed):
    """Returns the mask of the units that stay, boolean arrays by path; one head at least.

    Args:
      found: list of `Sublayer`, of all sublayers that have units.
      config: the `EncoderConfig` of the model that they were measured on.
      cost: a `unit_costs.Cost`.
      allowed: number above 0, what the whole model may cost.

    Raises:
      ValueError: if the model with a single head costs more.
    """
    options = [sublayer.options for sublayer in found]
    heads = [number for number, one in enumerate(found) if one.path.endswith("heads")]
    if heads:  # Without any head no token hears of another.
        options[max(heads, key=lambda number: found[number].losses[0])].remove(0)
    prices = [
        [cost.of_sublayer(sublayer.path, number) for number in own]
        for sublayer, own in zip(found, options, strict=True)
    ]
    rest = cost.of_model(config) - sum(price[-1] for price in prices)
    losses = [sublayer.losses[own] for sublayer, own in zip(found, options, strict=True)]
    chosen = allocate(losses, prices, allowed - rest)
    return {
        sublayer.path: sublayer.keep(own[option])
        for sublayer, own, option in zip(found, options, chosen, strict=True)
    }


def _first(order, number):
    """Returns the mask of the first units of an order, bool `[U]`."""
    kept = np.zeros(len(order), bool)
    kept[order[:number]] = True
    return kept


def _sublayer(path, energy, distance):
    """Returns the `Sublayer` of some units by their energy, and by what two cuts lose."""
    order = np.argsort(-energy, kind="stable")
    # By the number of units that stay, how much energy goes.
    removed = np.append(np.cumsum(energy[order][::-1])[::-1], 0.0)
    points = [(0.0, 0.0)]
    for number in (len(order) // 2, 0):
        lost = distance(path, _first(order, number))
        points.append((removed[number], max(points[-1][1], lost)))
    return Sublayer(path, order, np.interp(removed, *map(np.array, zip(*points, strict=True))))
