"""How long products of matrices take on a device: measured once, kept in a file, looked up.

M tokens, K inputs, N outputs, D one of a model's own sizes, R rank.
"""

import dataclasses
import json
import os

import numpy as np
import tensorflow as tf

from bert_tf import files, timing

#: Sizes that are a multiple of it are faster: a vector of the processor holds that many numbers.
ALIGNMENT = 16

# Ranks that are measured beside a model's own sizes; those between are interpolated.
_RANKS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1152, 1536, 2304, 3072)
# How far beside them ranks are measured that are no multiple of the alignment.
_ASIDE = 3
# Products one after the other in one call, so that the call itself hardly counts.
_REPEATS = 4


@dataclasses.dataclass(frozen=True)
class LatencyTable:
    """Seconds of `x [M, K] · W [K, N] + b`.

    Args:
      tokens: M.
      products: seconds by `(K, N)`.
      copy: seconds for one of the numbers that are copied where a result is split.
      environment: device, threads and versions, see `bert_tf.timing.environment`.
    """

    tokens: int
    products: dict
    copy: float
    environment: dict

    def seconds(self, inputs, outputs):
        """Returns the seconds of a product, interpolated between ranks that were measured.

        Args:
          inputs: K.
          outputs: N; at least one of the two must be a size that was measured with many others.

        Raises:
          ValueError: if the table does not hold such sizes.
        """
        found = self.products.get((inputs, outputs))
        if found is not None:
            return found
        for size, other, place in ((inputs, outputs, 1), (outputs, inputs, 0)):
            points = sorted(
                (pair[place], seconds)
                for pair, seconds in self.products.items()
                if pair[1 - place] == size and is_aligned(pair[place]) == is_aligned(other)
            )
            if len(points) > 1:
                return _interpolated(points, other)
        raise ValueError(
            f"The latency table must hold products of {inputs} by {outputs}, received one for "
            f"{sorted({size for pair in self.products for size in pair})}; measure one for this "
            "model by flop-benchmark --table."
        )

    def save(self, path):
        """Writes the table as a JSON file."""
        products = [[k, n, seconds] for (k, n), seconds in sorted(self.products.items())]
        files.write_json(path, {**dataclasses.asdict(self), "products": products})

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote.

        Raises:
          ValueError: if there is no such file or it holds something else.
        """
        if not os.path.isfile(path):
            raise ValueError(f"The latency table {path!r} does not exist.")
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
            products = {(int(k), int(n)): float(s) for k, n, s in data["products"]}
            return cls(int(data["tokens"]), products, float(data["copy"]), data["environment"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The file {path!r} is no latency table: {error!r}.") from error


def is_aligned(size):
    """Returns whether a size is a multiple of `ALIGNMENT`."""
    return size % ALIGNMENT == 0


def _interpolated(points, size):
    """Returns the seconds at `size`; beyond the last point they grow as the last pair does."""
    sizes, seconds = map(np.array, zip(*points, strict=True))
    if size <= sizes[-1]:
        return float(np.interp(size, sizes, seconds))
    slope = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    return float(seconds[-1] + max(0.0, slope) * (size - sizes[-1]))


def measure(config, tokens, rounds=7):
    """Measures the products that inference of a BERT may be made of.

    Args:
      config: a `BertConfig`; of its layers their shapes count, not their ranks.
      tokens: M, batch size times length.
      rounds: how often each product is timed; the median counts.

    Returns:
      `LatencyTable`.
    """
    shapes = {shape for *_, shape in config.projections()}
    context = max((o for i, o in shapes if i == config.hidden_size), default=config.hidden_size)
    widest = 3 * max(config.hidden_size, min(context, config.hidden_size))
    ranks = [rank for rank in _RANKS if rank <= widest]
    ranks += [rank - _ASIDE for rank in ranks]
    pairs = set(shapes)
    for layer in config.layers:
        if layer.num_heads:
            pairs.add((config.hidden_size, 3 * layer.num_heads * config.head_size))
    for size in {size for shape in shapes for size in shape}:
        pairs |= {(size, rank) for rank in ranks} | {(rank, size) for rank in ranks}
    pairs = sorted(pairs)
    calls = [_product(tokens, *pair) for pair in pairs]
    seconds = np.median(timing.interleaved(calls, rounds, warmup_rounds=2), axis=0) / _REPEATS
    copy = np.median(timing.interleaved([_split(tokens, widest)], rounds, warmup_rounds=2))
    return LatencyTable(
        tokens,
        dict(zip(pairs, map(float, seconds), strict=True)),
        float(copy) / (_REPEATS * tokens * widest),
        timing.environment(),
    )


def _product(tokens, inputs, outputs):
    """Returns a function that multiplies `_REPEATS` times, one after the other."""
    generator = np.random.default_rng(0)

    def draw(*shape):
        return tf.constant(generator.normal(size=shape).astype(np.float32))

    x, bias = draw(tokens, inputs), draw(outputs)
    kernels = [draw(inputs, outputs) for _ in range(_REPEATS)]

    @tf.function
    def multiply(x, bias, kernels):
        results = []
        for kernel in kernels:
            with tf.control_dependencies(results[-1:]):
                results.append(tf.nn.bias_add(tf.matmul(x, kernel), bias))
        return results[-1][:1, :1]

    return lambda: multiply(x, bias, kernels).numpy()


def _split(tokens, width):
    """Returns a function that splits `_REPEATS` results in three, one after the other."""
    x = tf.random.stateless_normal([tokens, width], [0, 0])

    @tf.function
    def split(x):
        results = []
        for _ in range(_REPEATS):
            with tf.control_dependencies(results[-1:]):
                results += tf.split(x, 3, axis=-1)
        return [part[:1, :1] for part in results]

    return lambda: [part.numpy() for part in split(x)]
