"""How long each way to compute a layer takes on a device: measured once, saved, looked up.

B batch, T tokens of an input, M = B T, I inputs, O outputs, R rank, H hidden, N heads.
"""

import collections
import dataclasses
import math
import sys
import typing

import msgspec
import numpy as np
import tensorflow as tf
import tqdm

from bert_tf import timing
from bert_tf.encoders.attention import Attention, EinsumAttention
from bert_tf.encoders.config import ATTENTION_INPUTS
from bert_tf.encoders.layer_norm import LayerNorm
from flop_tf import files
from flop_tf.backend import keras
from flop_tf.files import json_file
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.fused_dense import FusedProjections

#: Ranks that are a multiple of it are faster: a vector of the processor holds that many numbers.
ALIGNMENT = 16

#: The ways of one projection: a kernel, or two factors.
DENSE, FACTORS = "dense", "factors"
#: Those of query, key and value: side by side, which cores share among them, or in one layer.
SEPARATE_DENSE, SEPARATE_FACTORS = "separate_dense", "separate_factors"
FUSED_DENSE, FUSED_FACTORS = "fused_dense", "fused_factors"
#: LayerNorm of H numbers, in one operation or in several.
FUSED_NORM, PLAIN_NORM = "fused_norm", "plain_norm"
#: Attention of all heads of an unpruned block.
EINSUM_ATTENTION, TRANSPOSED_ATTENTION = "einsum_attention", "transposed_attention"

_ATTENTIONS = {EINSUM_ATTENTION: EinsumAttention, TRANSPOSED_ATTENTION: Attention}
_ONE = ((DENSE, FACTORS),)
_THREE = ((SEPARATE_DENSE, SEPARATE_FACTORS), (FUSED_DENSE, FUSED_FACTORS))
# Ranks that are measured; ranks in between are interpolated.
_RANKS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# How far below each of them a rank is measured that is no multiple of the alignment.
_ASIDE = 3
# Layers one after the other in one call, so that the call itself hardly counts.
_REPEATS = 4
# Of all rounds, the share that is faster than the reported time: other processes only slow down.
_QUANTILE = 0.25


_AtLeast0 = typing.Annotated[float, msgspec.Meta(ge=0)]


class _Form(typing.TypedDict):
    way: str
    inputs: json_file.Size
    outputs: json_file.Size
    seconds: list[tuple[_AtLeast0, _AtLeast0]]


class _Data(typing.TypedDict):
    shape: tuple[json_file.Size, json_file.Size]
    forms: list[_Form]
    environment: json_file.Object


@dataclasses.dataclass(frozen=True)
class LatencyTable:
    """Seconds of layers `[M, I] -> [M, O]`: projections with their bias, attention, LayerNorm.

    Args:
      shape: `(B, T)`.
      forms: `{(way, I, O): {R: seconds}}`; R of a dense way is 0. The seconds of query, key and
        value are of all three together, and R is their mean.
      environment: device, threads and versions, see `bert_tf.timing.environment`.
    """

    shape: tuple
    forms: dict
    environment: dict

    @property
    def num_layers(self):
        """How many were measured."""
        return sum(map(len, self.forms.values()))

    def seconds(self, way, inputs, outputs, ranks=()):
        """Returns the seconds of a way, interpolated between ranks that were measured.

        Args:
          way: `DENSE`, `FACTORS`, one of query, key and value, of LayerNorm or of attention.
          inputs: I.
          outputs: O.
          ranks: R of each projection that has factors.

        Raises:
          ValueError: if the table does not hold such layers.
        """
        rank = float(np.mean(ranks)) if ranks else 0.0
        points = self.forms.get((way, inputs, outputs), {})
        aligned = all(is_aligned(one) for one in ranks)
        if rank in points and is_aligned(rank) == aligned:
            return points[rank]
        points = sorted(point for point in points.items() if is_aligned(point[0]) == aligned)
        if len(points) < 2:
            known = sorted({f"{i}x{o}" for _, i, o in self.forms})
            raise ValueError(
                f"The latency table must hold layers of {inputs}x{outputs} ({way}), received one "
                f"for {', '.join(known)}; measure one for this model by flop-benchmark --table."
            )
        return _interpolated(points, rank)

    def save(self, path):
        """Writes the table as a JSON file.

        Args:
          path: path of the file.
        """
        rows = [
            {"way": way, "inputs": i, "outputs": o, "seconds": sorted(points.items())}
            for (way, i, o), points in sorted(self.forms.items())
        ]
        data = {"shape": list(self.shape), "forms": rows, "environment": self.environment}
        files.write_json(path, data)

    @classmethod
    def load(cls, path):
        """Returns the table in a file of `save`.

        Args:
          path: path of the file.

        Raises:
          ValueError: if there is no such file or it holds something else.
        """
        data = json_file.read(path, _Data, "latency table", "flop-benchmark --table makes one")
        forms = {
            (row["way"], row["inputs"], row["outputs"]): {
                float(rank): float(seconds) for rank, seconds in row["seconds"]
            }
            for row in data["forms"]
        }
        return cls(tuple(data["shape"]), forms, data["environment"])


def is_aligned(rank):
    """Returns whether a rank is a multiple of `ALIGNMENT`.

    Args:
      rank: int of at least 0.
    """
    return rank % ALIGNMENT == 0


def measure(config, shape, rounds=12, all_ranks=True):
    """Returns a table of the layers that inference of a BERT may consist of; shows progress.

    Args:
      config: an `EncoderConfig`; layers have its dense shapes and the shapes of the unpruned BERT.
      shape: `(B, T)`.
      rounds: how often each layer is timed, at least 1; default 12.
      all_ranks: whether ranks are measured up to the full rank, for any model of these shapes;
        otherwise up to the largest rank that `config` has at a shape; default True.

    Returns:
      `LatencyTable`.
    """
    forms, layers = {}, _layers(config, all_ranks)
    progress = tqdm.tqdm(
        total=sum(map(len, layers.values())),
        desc=f"layers of {math.prod(shape)} tokens",
        unit="layer",
        mininterval=1.0 if sys.stderr.isatty() else 30.0,
        dynamic_ncols=True,
    )
    with progress:
        # Only layers of one shape are compared, so that not all must be in memory at once.
        for (inputs, outputs), ways in layers.items():
            ways = sorted(ways)
            calls = [_call(config, shape, inputs, outputs, *one) for one in ways]
            rows = timing.interleaved(calls, rounds, warmup_rounds=2) / _REPEATS
            seconds = np.quantile(rows, _QUANTILE, axis=0)
            for (way, rank), value in zip(ways, seconds, strict=True):
                forms.setdefault((way, inputs, outputs), {})[float(rank)] = float(value)
            progress.update(len(ways))
    return LatencyTable(tuple(shape), forms, timing.environment())


def _layers(config, all_ranks):
    """Returns a set of `(way, R)` by `(I, O)`."""
    projections = [one for each in (config, config.dense) for one in each.projections()]
    most = collections.defaultdict(int)
    for *_, spec, shape in projections:
        most[shape] = max(most[shape], min(shape) if all_ranks else spec.rank or 0)
    layers = collections.defaultdict(set)
    layers[config.hidden_size, config.hidden_size] = {
        (way, 0) for way in (FUSED_NORM, PLAIN_NORM, EINSUM_ATTENTION, TRANSPOSED_ATTENTION)
    }
    for _, name, _, shape in projections:
        for dense, factorized in _THREE if name in ATTENTION_INPUTS else _ONE:
            layers[shape].add((dense, 0))
            layers[shape] |= {(factorized, rank) for rank in _ranks(most[shape])}
    return {shape: ways for shape, ways in layers.items() if all(shape)}


def _ranks(most):
    """Returns ranks to measure up to a largest one, two at least of each kind; none up to 0."""
    if not most:
        return []
    aligned = sorted({*(r for r in _RANKS if r < most), -(-most // ALIGNMENT) * ALIGNMENT})
    aligned = aligned if len(aligned) > 1 else [*aligned, aligned[0] + ALIGNMENT]
    return [rank - aside for rank in aligned for aside in (0, _ASIDE)]


def _call(config, shape, inputs, outputs, way, rank):
    """Returns a function that computes `_REPEATS` times, one after the other."""
    repeats = [_make(config, way, outputs, rank) for _ in range(_REPEATS)]
    for layer in tf.nest.flatten(repeats):
        layer.build([None, inputs])
    run = _in_turn(repeats, inputs).get_concrete_function()
    # Attention gets three different tensors: of one, transpositions are computed once.
    seeds = range(len(ATTENTION_INPUTS))
    xs = [tf.random.stateless_normal([math.prod(shape), inputs], [0, seed]) for seed in seeds]
    bias = tf.zeros([shape[0], 1, 1, shape[1]])
    return lambda: [result.numpy() for result in run(*xs, bias)]


def _in_turn(repeats, inputs):
    """Returns a graph that computes lists of layers, one list after the other.

    Shapes are unknown as in an export: with known ones other operations are fused.
    """
    tokens = [tf.TensorSpec([None, inputs])] * len(ATTENTION_INPUTS)

    @tf.function(input_signature=[*tokens, tf.TensorSpec([None, 1, 1, None])], autograph=False)
    def run(*features):
        results, parts = [], []
        for layers in repeats:
            with tf.control_dependencies(results):
                results = tf.nest.flatten([_applied(layer, *features) for layer in layers])
            # A part of every repetition: outputs that nothing needs would not be computed.
            parts += [result[:1, :1] for result in results]
        return parts

    return run


def _make(config, way, outputs, rank):
    """Returns the layers of a way; with another epsilon, LayerNorm would be other operations."""
    count = len(ATTENTION_INPUTS)
    if way in (FUSED_NORM, PLAIN_NORM):
        return [LayerNorm(way == FUSED_NORM, epsilon=config.layer_norm_eps)]
    if way in _ATTENTIONS:
        return [_ATTENTIONS[way](config.num_attention_heads)]
    if way in (FUSED_DENSE, FUSED_FACTORS):
        return [FusedProjections([outputs] * count, [rank or None] * count)]
    return [
        FactorizedDense(outputs, rank) if rank else keras.layers.Dense(outputs)
        for _ in range(1 if way in (DENSE, FACTORS) else count)
    ]


def _applied(layer, query, key, value, bias):
    if isinstance(layer, Attention):
        return layer(query, key, value, bias, training=False)
    return layer(query, training=False)


def _interpolated(points, rank):
    """Returns the seconds at `rank`; beyond the last point they grow as the last pair does."""
    ranks, seconds = map(np.array, zip(*points, strict=True))
    if rank <= ranks[-1]:
        return float(np.interp(rank, ranks, seconds))
    slope = (seconds[-1] - seconds[-2]) / (ranks[-1] - ranks[-2])
    return float(seconds[-1] + max(0.0, slope) * (rank - ranks[-1]))
