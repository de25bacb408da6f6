"""Runs the FLOP chain over tasks, learning rates, target sparsities and seeds, one after another.

Usage:
  flop-sweep --tasks=RTE,STS-B --glue_dir=glue --bert_dir=BERT --output_dir=runs/sweep \
    --learning_rates=5e-5,4e-5,3e-5,2e-5 --sparsities=.6,.8 --seeds=0,1,2
  flop-sweep --task_name=RTE --data_dir=glue/RTE --bert_dir=BERT --output_dir=runs/rte

Each run lies in TASK/lrRATE-seedSEED/STAGE-SPARSITY with a log beside it. The same command again
goes on where it stopped. Without `--tasks`, `--task_name` makes one pruned model, in the folder
itself.
"""

import math
import os
import pathlib
import re
import shlex
import sys

from flop_tools import program

from absl import flags

from bert_tf.sweeps import report, report_page, sweep, sweep_runner
from bert_tf.tasks import tfds_data
from bert_tf.training import run_folder

FLAGS = flags.FLAGS

#: Those of GLUE, as the original's script orders them, and CoLA.
TASKS = "RTE STS-B WNLI SST-2 MRPC QNLI QQP MNLI CoLA".split()
CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"

_SINGLE = ("task_name", "data_dir", "sparsity")
_GRID = ("tasks", "glue_dir", "learning_rates", "sparsities", "seeds")


def main(_):
    """Plans what FLAGS ask for, runs it and reports it."""
    plan = _plan()
    folder = os.path.abspath(FLAGS.output_dir)
    # Told to end, it ends its programs, which may save first.
    program.exit_on_sigterm("sweep")
    runner = sweep_runner.SweepRunner(
        plan,
        folder,
        lambda run: [sys.executable, "-m", f"flop_tools.{run.program}"],
        environment={program.PARENT: str(os.getpid())},
        shows_output=bool(FLAGS.task_name),
        overwrite=FLAGS.overwrite,
    )
    with run_folder.locked(folder):
        failed = runner.start()
    if not FLAGS.task_name:
        print(f"\n{report_page.write(report.gather(folder), folder)}", end="")
    if failed:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
        raise ValueError(f"{len(failed)} of {len(plan)} runs failed: {reasons}")


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_list("tasks", TASKS, "Names of tasks.")
    flags.DEFINE_string("glue_dir", None, "Folder with one for each task: RTE, SST-2, ...")
    flags.DEFINE_string("tfds_data_dir", None, "Instead of it, data sets that TFDS has prepared.")
    flags.DEFINE_list("learning_rates", [], "Of dense and gated training; that of the task.")
    flags.DEFINE_list("sparsities", [], "To reach; that of the task.")
    flags.DEFINE_list("seeds", ["0"], "Of everything random.")
    flags.DEFINE_string("task_name", None, "One task instead: one pruned model, all output shown.")
    flags.DEFINE_string("data_dir", None, "Its folder.")
    flags.DEFINE_string("sparsity", None, "To reach; that of the task.")
    flags.DEFINE_string("bert_dir", None, "BERT to start from, any format.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for all runs.", required=True)
    flags.DEFINE_string("epochs", None, "Of dense and gated training; those of the task.")
    flags.DEFINE_string(
        "finetune_flags", "", "More flags of every training; --holdout_* go to flop-factorize too."
    )
    flags.DEFINE_bool("benchmark", True, "Whether to compare the speed of dense and pruned models.")
    flags.DEFINE_string(
        "benchmark_flags",
        "--batch_sizes=1,32 --lengths=64 --rounds=10 --memory=false",
        "Flags of flop-benchmark.",
    )
    flags.DEFINE_bool("export", True, "Whether `--task_name` ends with a SavedModel.")
    flags.DEFINE_string("configs_dir", str(CONFIGS), "Folder of the tasks' flag files.")
    flags.DEFINE_bool("overwrite", False, "Replaces runs that were made by another command.")


def run():
    """Entry point of `flop-sweep`."""
    program.run(main, define_flags)


def _plan():
    _check()
    settings = sweep.Settings(
        folder=os.path.abspath(FLAGS.output_dir),
        bert_dir=os.path.abspath(FLAGS.bert_dir),
        epochs=FLAGS.epochs,
        finetune=_words("finetune_flags"),
        benchmark=_words("benchmark_flags") if FLAGS.benchmark else None,
        exports=FLAGS.export,
    )
    if FLAGS.task_name:
        return sweep.single(_task(FLAGS.task_name), settings, FLAGS.sparsity)
    tasks = [_task(name) for name in FLAGS.tasks]
    seeds = [int(seed) for seed in FLAGS.seeds]
    return sweep.grid(tasks, settings, FLAGS.learning_rates, FLAGS.sparsities, seeds)


def _check():
    """Raises where flags do not fit each other or a value is none."""
    kind, others = ("--task_name", _GRID) if FLAGS.task_name else ("--tasks", _SINGLE)
    for name in others:
        if FLAGS[name].present and name != "task_name":
            raise ValueError(
                f"Flag `--{name}` does not go with `{kind}`; see --help for both ways."
            )
    places = [name for name in ("data_dir", "glue_dir", "tfds_data_dir") if FLAGS[name].value]
    if len(places) != 1:
        raise ValueError(
            f"One of `--{'data_dir' if FLAGS.task_name else 'glue_dir'}` and `--tfds_data_dir` is "
            f"needed, received {places or 'neither'}."
        )
    if not any(os.path.exists(FLAGS.bert_dir + end) for end in ("", ".index")):
        raise ValueError(f"The folder or checkpoint `--bert_dir={FLAGS.bert_dir}` does not exist.")
    ranges = {
        "learning_rates": ("above 0", lambda text: 0 < float(text) < math.inf),
        "sparsities": ("in [0, 1)", lambda text: 0 <= float(text) < 1),
        "sparsity": ("in [0, 1)", lambda text: 0 <= float(text) < 1),
        "epochs": ("above 0", lambda text: 0 < float(text) < math.inf),
        "seeds": ("in [0, 2147483648)", lambda text: 0 <= int(text) < 2**31),
    }
    for name, (expected, holds) in ranges.items():
        values = FLAGS[name].value or []
        for text in values if isinstance(values, list) else [values]:
            _check_number(name, text, expected, holds)


def _check_number(name, text, expected, holds):
    try:
        fits = holds(text)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"Flag `--{name}` must be {expected}, received {text!r}.")


def _words(name):
    """Returns the flags that stand in a flag, those of a `--flagfile` among them."""
    sentence = f"Flag `--{name}` must be of words `--name=value`, received "
    try:
        words = shlex.split(FLAGS[name].value)
    except ValueError as error:
        raise ValueError(f"{sentence}{FLAGS[name].value!r}: {error}.") from error
    if wrong := [word for word in words if not re.match(r"--\w+=", word)]:
        raise ValueError(f"{sentence}{wrong[0]!r}.")
    return tuple(flags.FlagValues().read_flags_from_files(words))


def _task(name):
    dense, flop = sweep.read_flags(FLAGS.configs_dir, name)
    name = sweep.value(dense, "task_name") or name
    return sweep.SweepTask(name, (f"--task_name={name}", *_data(name)), dense, flop)


def _data(name):
    if FLAGS.tfds_data_dir:
        sets = [dataset for dataset, (task, _) in tfds_data.DATASETS.items() if task == name]
        if not sets:
            raise ValueError(f"The task {name!r} is not in TFDS, pass its files by another flag.")
        return f"--tfds={sets[0]}", f"--tfds_data_dir={os.path.abspath(FLAGS.tfds_data_dir)}"
    folder = os.path.abspath(FLAGS.data_dir or os.path.join(FLAGS.glue_dir, name))
    if not os.path.isdir(folder):
        raise ValueError(f"The folder {folder!r} of the task {name} does not exist.")
    return (f"--data_dir={folder}",)


if __name__ == "__main__":
    run()
