"""Heads, FFN neurons and whole sublayers: gates on them, and models without some of them.

A mask of units is a dict of arrays by path: `blocks.0.heads [N]`, `blocks.0.neurons [F]`,
`blocks.0.ffn [1]`, and for all heads or all neurons at once `blocks.0.attention [1]` and
`blocks.0.feed_forward [1]`; a unit that is 0 or False goes. D head size.
"""

import dataclasses

import numpy as np

from bert_tf.encoders.config import ATTENTION_INPUTS, GATED_UNITS, PARENTS, UNITS
from bert_tf.models import weight_paths
from flop_tf import gates


def with_gates(config, kinds, name, **arguments):
    """Returns a config with a gate on all units of some kinds.

    Args:
      config: an `EncoderConfig`.
      kinds: of `GATED_UNITS`.
      name: of the gate, see `flop_tf.gates.GATES`.
      **arguments: of the gate.

    Raises:
      ValueError: if a kind or the gate is unknown.
    """
    gate = gates.serialize(gates.get(name, axis=2, **arguments))
    layers = []
    for index, layer in enumerate(config.layers):
        own = dict(layer.gates)
        for kind in kinds:
            if kind not in GATED_UNITS or layer.num_units(kind):
                named = {**gate["config"], "name": f"block_{index}_{kind}_gate"}
                own[kind] = {**gate, "config": named}
        layers.append(dataclasses.replace(layer, gates=own))
    return dataclasses.replace(config, layers=tuple(layers))


def full_mask(config, *kinds):
    """Returns the mask that keeps all units of the kinds, `{path: bool array}`; see `UNITS`.

    Args:
      config: an `EncoderConfig`.
      *kinds: of `GATED_UNITS`; default `UNITS`.
    """
    return {
        f"blocks.{index}.{kind}": np.ones(number, bool)
        for index, kind, number in config.units(*kinds)
    }


def check_mask(config, mask):
    """Raises ValueError if a mask is not one of the units of a config.

    Args:
      config: an `EncoderConfig`.
      mask: dict of arrays by path.
    """
    expected = {path: units.shape for path, units in full_mask(config, *GATED_UNITS).items()}
    for path, units in mask.items():
        if expected.get(path) != np.shape(units):
            wanted = f"{expected[path][0]} units" if path in expected else "no such units"
            raise ValueError(
                f"The mask must fit the model, which has {wanted} at {path!r}, received a mask of "
                f"shape {np.shape(units)}; take one that was made for this model."
            )


def by_kind(importance):
    """Returns arrays by path as arrays by kind: `[L, U]` of heads and neurons, `[L]` of FFNs.

    Args:
      importance: dict of arrays by path.
    """
    found = {}
    for kind in UNITS:
        rows = [array for path, array in importance.items() if path.endswith(f".{kind}")]
        if rows:
            found[kind] = np.concatenate(rows) if kind == "ffn" else np.stack(rows)
    return found


def by_path(mask, kinds=UNITS):
    """Returns a mask by kind, as of `by_kind`, as one by path.

    Args:
      mask: dict of arrays by kind.
      kinds: of `UNITS`, those to take. Defaults to all.
    """
    return {
        f"blocks.{index}.{kind}": np.atleast_1d(row)
        for kind, rows in mask.items()
        if kind in kinds
        for index, row in enumerate(rows)
    }


def has_units(config, group):
    """Returns whether gates over a group would switch anything.

    Args:
      config: an `EncoderConfig`.
      group: "sublayers", or a key of `PARENTS`.
    """
    kinds = PARENTS.values() if group == "sublayers" else [group]
    return any(layer.num_units(kind) for layer in config.layers for kind in kinds)


def kept(model):
    """Returns which heads and neurons gates keep, boolean arrays by path; none of closed parents.

    Args:
      model: a `BertModel` with gates on its units.
    """
    gates_kept = {path: gate.keep().numpy() for path, gate in model.encoder.unit_gates()}
    found = {}
    for index, layer in enumerate(model.config.layers):
        for kind, sublayer in PARENTS.items():
            own, parent = (gates_kept.get(f"blocks.{index}.{one}") for one in (kind, sublayer))
            if own is None and parent is None:
                continue
            units = np.ones(layer.num_units(kind), bool) if own is None else own
            found[f"blocks.{index}.{kind}"] = units if parent is None else units & parent
    return found


def config_under(config, mask):
    """Returns the `EncoderConfig` of what a mask of units leaves; see `remove`.

    Args:
      config: an `EncoderConfig`.
      mask: see `remove`.
    """
    return remove(config, {}, mask)[0]


def remove(config, weights, values):
    """Returns a model without the units whose value is 0, those left scaled by their values.

    What a block without heads adds is the bias of its attention output. A block without
    neurons keeps the bias of its FFN, one without an FFN nothing of it.

    Args:
      config: an `EncoderConfig`.
      weights: its arrays by our weight paths.
      values: a mask of units, in [0, 1]; units that it does not name stay as they are.

    Returns:
      `(EncoderConfig, weights)`; the gates of the units that `values` names are removed.

    Raises:
      ValueError: if the mask does not fit.
    """
    check_mask(config, values)
    weights = dict(weights)
    layers = []
    for index, layer in enumerate(config.layers):
        block = _Block(weights, f"encoder.blocks.{index}", layer)
        for kind in GATED_UNITS:
            if (units := values.get(f"blocks.{index}.{kind}")) is not None:
                getattr(block, f"keep_{kind}")(np.asarray(units, np.float32), config.head_size)
        layers.append(block.layer)
    return dataclasses.replace(config, layers=tuple(layers)), weights


class _Block:
    """The weights of one block, in the dict of all, and its `LayerConfig`."""

    def __init__(self, weights, path, layer):
        self.weights, self.path, self.layer = weights, path, layer

    def keep_heads(self, values, head_size):
        """Keeps the columns of heads in query, key and value, and their rows after them."""
        kept = np.flatnonzero(values > 0)
        names = *ATTENTION_INPUTS, "attention_output"
        widths = {name: self.layer.unit_width(name, head_size) for name in names}
        columns = {n: (kept[:, np.newaxis] * w + np.arange(w)).ravel() for n, w in widths.items()}
        self._replace("heads", num_heads=len(kept))
        for name in ATTENTION_INPUTS:
            self._keep_outputs(name, columns[name])
        scale = np.repeat(values[kept], widths["attention_output"])
        self._keep_inputs("attention_output", columns["attention_output"], scale)

    def keep_neurons(self, values, _):
        """Keeps the columns of neurons in the first matrix, and their rows in the second."""
        kept = np.flatnonzero(values > 0)
        self._replace("neurons", intermediate_size=len(kept))
        self._keep_outputs("ffn_in", kept)
        self._keep_inputs("ffn_out", kept, values[kept])

    def keep_ffn(self, values, _):
        """Scales the outputs of the FFN, or takes it away."""
        (value,) = values
        self._replace("ffn")
        if value > 0:
            self._scale(value, "ffn_out", "kernel", "factor_out", "bias")
            return
        self._replace("neurons", intermediate_size=0, has_ffn=False)
        for name in ("ffn_in", "ffn_out"):
            self._drop(name)

    def keep_attention(self, values, head_size):
        """Scales the contexts of all heads, or takes all of them away."""
        self._keep_all("attention", "attention_output", "heads", values, head_size)

    def keep_feed_forward(self, values, head_size):
        """Scales all activated neurons, or takes all of them away."""
        self._keep_all("feed_forward", "ffn_out", "neurons", values, head_size)

    def _keep_all(self, sublayer, name, kind, values, head_size):
        """Scales the inputs of a sublayer's last projection, or takes all its units away."""
        (value,) = values
        self._replace(sublayer)
        if value > 0:
            self._scale(value, name, "kernel", "factor_in")
        else:
            getattr(self, f"keep_{kind}")(np.zeros(self.layer.num_units(kind)), head_size)

    def _scale(self, value, name, *parts):
        for path in self._parts(name, *parts):
            if not weight_paths.is_gate_variable(path):
                self.weights[path] = self.weights[path] * value

    def _replace(self, kind, **changes):
        """Changes the layer; the gate of a kind goes, and its parent's where no unit is left."""
        gone = {kind}
        if kind in PARENTS and not any(changes.values()):
            gone.add(PARENTS[kind])
        left = {name: gate for name, gate in self.layer.gates.items() if name not in gone}
        self.layer = dataclasses.replace(self.layer, gates=left, **changes)
        for one in gone:
            self._forget(f"{one}_gate")

    def _keep_outputs(self, name, kept):
        if not len(kept):
            self._drop(name)
            return
        for path in self._parts(name, "kernel", "factor_out", "bias"):
            self.weights[path] = self.weights[path][..., kept]

    def _keep_inputs(self, name, kept, scale):
        if not len(kept):
            path = f"{self.path}.{name}.bias"
            bias = {path: self.weights[path]} if path in self.weights else {}
            self._drop(name)
            self.weights |= bias
            return
        for path in self._parts(name, "kernel", "factor_in"):
            self.weights[path] = self.weights[path][kept]
            if not weight_paths.is_gate_variable(path):
                self.weights[path] = self.weights[path] * scale[:, np.newaxis]

    def _parts(self, name, *parts):
        """Returns the paths of weights of a projection, and of the gate over its kernel."""
        owner = f"{self.path}.{name}"
        gate = [path for path in self.weights if path.startswith(f"{owner}.gate.")]
        over_kernel = [path for path in gate if self.weights[path].ndim == 2]
        return [path for part in parts if (path := f"{owner}.{part}") in self.weights] + over_kernel

    def _drop(self, name):
        self._forget(name)
        left = {other: spec for other, spec in self.layer.projections.items() if other != name}
        self.layer = dataclasses.replace(self.layer, projections=left)

    def _forget(self, name):
        prefix = f"{self.path}.{name}."
        for path in [path for path in self.weights if path.startswith(prefix)]:
            del self.weights[path]
