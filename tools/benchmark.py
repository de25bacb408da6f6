r"""Compares the speed and size of models, or of training steps, in one run.

Usage:
  flop-benchmark --model_dirs=runs/dense,runs/compact,served/sst2/1,served/sst2/1/model.onnx \
    --output_dir=runs/benchmark
  flop-benchmark --model_dirs=served/dense/1,served/sst2/1 --engines=auto --output_dir=runs/engines
  flop-benchmark --densities=.6,.4,.2 --bert_config_file=configs/models/minilm_l6_h384.json \
    --batch_sizes=8 --lengths=128 --output_dir=runs/benchmark_plans
  flop-benchmark --table --engine=onnxruntime --model_dirs=runs/compact --batch_sizes=8 \
    --lengths=128 --output_dir=runs/table
  flop-benchmark --training --bert_config_file=configs/models/minilm_l6_h384.json \
    --batch_sizes=32 --lengths=64,128 --output_dir=runs/benchmark_training
"""

import dataclasses
import os
import shlex
import sys

from flop_tools import flag_types, program

from absl import flags, logging

from bert_tf import timing
from bert_tf.checkpoints import read_architecture, read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.presentation import plots
from bert_tf.ranges import ABOVE_0, FROM_0, FROM_1, Range
from bert_tf.serving import latency_measurement
from bert_tf.serving.engines import ENGINES
from bert_tf.serving.target import AUTO
from bert_tf.studies.speed import benchmark_process, benchmark_steps, benchmark_table, benchmarking
from flop_tf import files

FLAGS = flags.FLAGS

# What can be measured, and the flags that not all of it has.
_FLAGS_OF = {
    "--model_dirs": ("model_dirs", "engines", "memory", "warmup_rounds", "jit_compile"),
    "--table": ("table", "engine", "model_dirs", "bert_config_file"),
    "--training": (
        *("training", "bert_config_file", "variants", "memory", "warmup_rounds", "jit_compile"),
    ),
    "--densities": ("densities", "bert_config_file", "warmup_rounds"),
}
# More examples or threads than this are a slip of the hand, and would fill the memory.
_BATCH = Range(at_least=1, at_most=2**14)
_THREADS = Range(at_least=0, at_most=2**10)


def main(_):
    """Measures what FLAGS name, writes a report or a table and prints the former."""
    program.check_mode(_mode(), _FLAGS_OF)
    with program.output_folder(FLAGS.output_dir) as folder:
        benchmark_process.configure(FLAGS.mixed_precision, FLAGS.intra_op_threads)
        if FLAGS.table:
            _table(folder)
        else:
            _benchmark(folder)


def define_flags():
    """Defines the flags of this program."""
    flag_types.define_names("model_dirs", [], "Models and exports; ratios are to the first.")
    names = ", ".join(ENGINES)
    flag_types.define_names(
        "engines", [], f"Which read exports: {AUTO} for all at hand, or some of {names}."
    )
    flags.DEFINE_bool("table", False, "Writes latency_table.json, for flop-export.")
    flags.DEFINE_enum("engine", "tensorflow", list(ENGINES), "Engine of that table.")
    flags.DEFINE_string("output_dir", None, "Folder for the report.", required=True)
    flag_types.define_numbers(
        "densities", [], "Of random models, to compare with tf-models' own.", ABOVE_0, float
    )
    flags.DEFINE_bool("training", False, "Whether to measure training steps, not model_dirs.")
    flags.DEFINE_string(
        "bert_config_file",
        "",
        "Architecture, without model_dirs: a file of configs/models, or of Hugging Face.",
    )
    variants = list(benchmark_steps.VARIANTS)
    flag_types.define_names("variants", variants, "Training steps to measure.", choices=variants)
    flags.DEFINE_bool("memory", True, "Whether to measure memory, on Linux.")
    flag_types.define_numbers("batch_sizes", [1, 8, 32], "Examples a batch.", _BATCH)
    flag_types.define_numbers("lengths", [16, 64, 128], "Tokens of an input.", FROM_1)
    define = flag_types.define_number
    define("rounds", 20, "Turns of each model, a tenth of a second or one call.", FROM_1)
    define("warmup_rounds", 3, "Rounds before, which do not count.", FROM_0)
    define("intra_op_threads", 0, "Threads of an operation; 0: TensorFlow's own.", _THREADS)
    flags.DEFINE_enum("mixed_precision", "none", ["none", "bfloat16"], "Type of activations.")
    flags.DEFINE_bool("jit_compile", False, "Whether XLA compiles what is measured.")
    program.define_output_flags()


def run():
    """Entry point of `flop-benchmark`."""
    program.run(main, define_flags)


def _mode():
    """Returns the kind of measurement, a key of `_FLAGS_OF`."""
    found = [name for name in ("table", "training", "densities") if FLAGS[name].value]
    return f"--{found[0]}" if found else "--model_dirs"


def _benchmark(folder):
    report = _training() if FLAGS.training else _plans() if FLAGS.densities else _inference()
    report = {
        "command": shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        "environment": timing.environment(),
        **report,
    }
    text = benchmark_table.markdown(report)
    files.write_json(os.path.join(folder, "benchmark.json"), report)
    files.write_text(os.path.join(folder, "benchmark.md"), text)
    files.write_bytes(os.path.join(folder, "benchmark.png"), plots.latencies(report["timings"]))
    print(text, end="")


def _table(folder):
    """Measures how long the parts of a model take on one engine at one shape."""
    grid = _grid()
    if len(grid["batch_sizes"]) != 1 or len(grid["lengths"]) != 1:
        raise ValueError("Flag `--table` needs one number in `--batch_sizes` and in `--lengths`.")
    if FLAGS.mixed_precision != "none":
        raise ValueError(
            "Flag `--table` needs `--mixed_precision=none`, as exports compute, received "
            f"{FLAGS.mixed_precision!r}."
        )
    if len(FLAGS.model_dirs) > 1:
        raise ValueError(f"Flag `--table` is of one model, received {FLAGS.model_dirs}.")
    if FLAGS.model_dirs:
        config = read_source(FLAGS.model_dirs[0]).config
    elif FLAGS.bert_config_file:
        config = read_architecture(FLAGS.bert_config_file)
    else:
        raise ValueError("Flag `--table` needs `--model_dirs` or `--bert_config_file`.")
    (batch_size,), (length,) = grid["batch_sizes"], grid["lengths"]
    benchmarking.check_shape([config], batch_size, length)
    shape = batch_size, length
    table = latency_measurement.measure(config, shape, [FLAGS.engine], FLAGS.rounds)[FLAGS.engine]
    if isinstance(table, ValueError):
        raise table
    path = os.path.join(folder, "latency_table.json")
    table.save(path)
    logging.info("The latency table of %s at %dx%d is in %s.", FLAGS.engine, *shape, path)


def _inference():
    if not FLAGS.model_dirs:
        raise ValueError(
            "Flag `--model_dirs` must name a model directory or an export, or pass `--training` or "
            "`--densities`."
        )
    grid = _grid()
    report = benchmarking.inference(
        FLAGS.model_dirs,
        **grid,
        memory=FLAGS.memory,
        engine_names=FLAGS.engines,
        precision=FLAGS.mixed_precision,
    )
    return {"settings": {**grid, "mixed_precision": FLAGS.mixed_precision}, **report}


def _plans():
    config, grid = _config("densities"), _grid()
    del grid["jit_compile"]
    report = benchmarking.plans(config, FLAGS.densities, **grid)
    return {"settings": {**grid, "config": config.to_dict()}, **report}


def _training():
    config, grid = _config("training"), _grid()
    report = benchmarking.training(config, FLAGS.variants, **grid)
    if FLAGS.memory:
        report["memory"] = benchmarking.memory(config, FLAGS.variants, **_largest(grid))
    # The activation, too: tf-models' encoder gets the config's, not its own default.
    settings = {**grid, "mixed_precision": FLAGS.mixed_precision, "config": config.to_dict()}
    return {"settings": settings, **report}


def _config(name):
    """Returns the dense architecture that the flag called `name` needs."""
    if not FLAGS.bert_config_file:
        raise ValueError(f"Flag `--{name}` needs `--bert_config_file`, such as a file of configs/.")
    config = read_architecture(FLAGS.bert_config_file).dense
    return dataclasses.replace(config, head=EncoderConfig.head)


def _grid():
    names = ("batch_sizes", "lengths", "rounds", "warmup_rounds", "jit_compile")
    return {name: FLAGS[name].value for name in names}


def _largest(grid):
    """Returns at what memory is measured."""
    return {
        "batch_size": grid["batch_sizes"][-1],
        "length": grid["lengths"][-1],
        "precision": FLAGS.mixed_precision,
        "jit_compile": FLAGS.jit_compile,
        "threads": FLAGS.intra_op_threads,
    }


if __name__ == "__main__":
    run()
