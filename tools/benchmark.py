"""Compares the speed and size of models, or of training steps, in one run.

Usage:
  flop-benchmark --model_dirs=runs/dense,runs/compact --output_dir=runs/benchmark
  flop-benchmark --training --bert_config_file=configs/minilm_l6_h384.json \
    --batch_sizes=32 --lengths=64,128 --output_dir=runs/benchmark_training
"""

import dataclasses
import os
import shlex
import sys

from flop_tools import program

from absl import flags

from bert_tf import benchmark_steps, benchmark_table, benchmarking, files, timing
from bert_tf.config import BertConfig

FLAGS = flags.FLAGS


def main(_):
    """Measures what FLAGS ask for, writes benchmark.json and benchmark.md and prints the latter."""
    with program.output_folder(FLAGS.output_dir) as folder:
        _benchmark(folder)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_list("model_dirs", [], "Model directories; ratios are to the first.")
    flags.DEFINE_string("output_dir", None, "Folder for the report.", required=True)
    flags.DEFINE_bool("training", False, "Whether to measure training steps, not model_dirs.")
    flags.DEFINE_string("bert_config_file", "", "Architecture of the training steps.")
    flags.DEFINE_list("variants", list(benchmark_steps.VARIANTS), "Training steps to measure.")
    flags.DEFINE_bool("memory", True, "With --training: whether to measure memory, on Linux.")
    flags.DEFINE_list("batch_sizes", ["1", "8", "32"], "Examples a batch.")
    flags.DEFINE_list("lengths", ["16", "64", "128"], "Tokens of an input.")
    flags.DEFINE_integer("rounds", 20, "How often each model is timed.")
    flags.DEFINE_integer("warmup_rounds", 3, "Rounds before, which do not count.")
    flags.DEFINE_integer("intra_op_threads", 0, "Threads of an operation; 0 for TensorFlow's own.")
    flags.DEFINE_enum("mixed_precision", "none", ["none", "bfloat16"], "Type of activations.")
    flags.DEFINE_bool("jit_compile", False, "Whether XLA compiles what is measured.")
    program.define_output_flags()


def run():
    """Entry point of `flop-benchmark`."""
    program.run(main, define_flags)


def _benchmark(folder):
    benchmark_steps.configure(FLAGS.mixed_precision, FLAGS.intra_op_threads)
    report = _training() if FLAGS.training else _inference()
    report = {
        "command": shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        "environment": timing.environment(),
        **report,
    }
    text = benchmark_table.markdown(report)
    files.write_json(os.path.join(folder, "benchmark.json"), report)
    files.write_text(os.path.join(folder, "benchmark.md"), text)
    print(text, end="")


def _inference():
    if not FLAGS.model_dirs:
        raise ValueError("Flag `--model_dirs` must name a model directory, or pass `--training`.")
    grid = _grid()
    report = benchmarking.inference(FLAGS.model_dirs, **grid)
    return {"settings": {**grid, "mixed_precision": FLAGS.mixed_precision}, **report}


def _training():
    if not FLAGS.bert_config_file:
        raise ValueError(
            "Flag `--training` needs `--bert_config_file`, such as a file of configs/."
        )
    config = BertConfig.from_json_file(FLAGS.bert_config_file).dense
    config = dataclasses.replace(config, head="classifier")
    grid = _grid()
    report = benchmarking.training(config, FLAGS.variants, **grid)
    if FLAGS.memory:
        report["memory"] = benchmarking.memory(
            config,
            FLAGS.variants,
            grid["batch_sizes"][-1],
            grid["lengths"][-1],
            precision=FLAGS.mixed_precision,
            jit_compile=FLAGS.jit_compile,
            threads=FLAGS.intra_op_threads,
        )
    # The activation, too: tf-models' encoder gets the config's, not its own default.
    settings = {**grid, "mixed_precision": FLAGS.mixed_precision, "config": config.to_dict()}
    return {"settings": settings, **report}


def _grid():
    return {
        "batch_sizes": _integers("batch_sizes"),
        "lengths": _integers("lengths"),
        "rounds": FLAGS.rounds,
        "warmup_rounds": FLAGS.warmup_rounds,
        "jit_compile": FLAGS.jit_compile,
    }


def _integers(name):
    try:
        values = [int(value) for value in FLAGS[name].value]
    except ValueError:
        values = []
    if not values:
        raise ValueError(
            f"Flag `--{name}` must be numbers with commas between, received {FLAGS[name].value}."
        )
    return values


if __name__ == "__main__":
    run()
