"""Compares latency tables with exported models: 20 random architectures, predicted and measured.

Usage:
  .venv/bin/python -P tests/latency_check.py --folder=DIR --engines=onnxruntime,tensorflow --write
  .venv/bin/python -P tests/latency_check.py --folder=DIR --engines=onnxruntime --shape=8x128

With `--write` the models of tables and the architectures are written, which takes some minutes and
needs no quiet machine. Without it both are timed by turns, a table is fitted to the former and its
sums are compared with the times of the latter. Architectures have uneven heads, neurons and ranks,
and sublayers that are gone; each is exported in random ways among those of its engine.
"""

import argparse
import dataclasses
import os
import sys

import flop_tools  # noqa: F401  It sets TensorFlow's log level.

import numpy as np

from bert_tf.checkpoints import read_architecture
from bert_tf.encoders.config import LayerConfig
from bert_tf.encoders.execution import Execution
from bert_tf.serving import formats, latency_measurement, latency_probes
from bert_tf.serving.engines import ENGINES
from bert_tf.serving.execution_plan import Plan
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import costs

NUM_ARCHITECTURES = 20


def architectures(config, choices, seed=1):
    """Returns a `Plan` for each random architecture."""
    rng = np.random.default_rng(seed)
    plans = []
    for number in range(NUM_ARCHITECTURES):
        layers = tuple(_layer(rng, config) for _ in range(config.num_hidden_layers))
        fused = [index for index, layer in enumerate(layers) if _can_fuse(layer) and number % 2]
        ways = {name: bool(rng.integers(2)) for name in choices} if number % 4 > 1 else {}
        plans.append(Plan(dataclasses.replace(config, layers=layers), Execution(fused, **ways)))
    return plans


def _layer(rng, config):
    heads = rng.integers(1, config.num_attention_heads + 1) * (rng.random() > 0.15)
    neurons = rng.integers(1, config.intermediate_size + 1) * (rng.random() > 0.15)
    layer = LayerConfig(int(heads), int(neurons), has_ffn=bool(neurons or rng.integers(2)))
    specs = {}
    for name in layer.names():
        shape = layer.shape(name, config.hidden_size, config.head_size)
        if all(shape) and rng.random() < 0.4:
            most = max(1, int(costs.break_even_rank(*shape)))
            specs[name] = ProjectionSpec(int(rng.integers(1, most + 1)))
    return dataclasses.replace(layer, projections=specs)


def _can_fuse(layer):
    """Whether query, key and value are all kernels or all factors, as a plan has them."""
    kinds = {layer.projection(name).rank is None for name in ("query", "key", "value")}
    return layer.num_heads and len(kinds) == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", required=True)
    parser.add_argument("--config", default="configs/models/minilm_l6_h384.json")
    parser.add_argument("--engines", default="onnxruntime,onnxruntime_int8,tensorflow")
    parser.add_argument("--shape", default="8x128")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    config = read_architecture(flags.config)
    for engine in flags.engines.split(","):
        name = ENGINES[engine].formats[0]
        form = formats.get(name)
        probes = latency_probes.make(
            config, form.choices, latency_measurement.MOST_BLOCKS, latency_measurement.NUM_MODELS
        )
        found = architectures(config, form.choices)
        paths = []
        for kind, plans in (("table", probes), ("architectures", found)):
            folder = os.path.join(flags.folder, name, kind)
            paths += map(form.path, latency_measurement.write(plans, [form], folder))
        if not flags.write:
            shape = tuple(map(int, flags.shape.split("x")))
            seconds = latency_measurement.times(
                engine, paths, probes[0].config, shape, flags.rounds
            )
            _print(config, shape, engine, probes, found, seconds)


def _print(config, shape, engine, probes, found, seconds):
    sizes, measured = latency_probes.sizes(config), seconds[:, : len(probes)]
    table = latency_measurement.table_of(config, shape, engine, probes, measured, sizes)

    measured = 1e3 * latency_measurement.fastest(seconds[:, len(probes) :])
    predicted = 1e3 * np.array([table.predict(plan.config, plan.execution) for plan in found])
    print(f"{engine} at {shape[0]}x{shape[1]}: architecture, predicted ms, measured ms, ratio")
    for number, row in enumerate(zip(predicted, measured, predicted / measured, strict=True), 1):
        print("{:2d} {:8.2f} {:8.2f} {:6.3f}".format(number, *row))
    errors = np.abs(predicted / measured - 1)
    print(f"median error {100 * np.median(errors):.1f} %, largest {100 * errors.max():.1f} %")


if __name__ == "__main__":
    sys.exit(main())
