r"""Runs the FLOP chain over tasks, learning rates, target sparsities and seeds, one after another.

Usage:
  flop-sweep --tasks=RTE,STS-B --glue_dir=glue --bert_dir=BERT --output_dir=runs/sweep \
    --learning_rates=5e-5,4e-5,3e-5,2e-5 --sparsities=.6,.8 --seeds=0,1,2
  flop-sweep --task_name=RTE --data_dir=glue/RTE --bert_dir=BERT --output_dir=runs/rte

Each run lies in TASK/lrRATE-seedSEED/STAGE-SPARSITY with a log next to it. The same command again
resumes. Without `--tasks`, `--task_name` makes one pruned model, in the folder
itself.
"""

import os

from flop_tools import flag_types, plan_flags, program

from absl import flags

from bert_tf.ranges import ABOVE_0, SHARE_BELOW_1
from bert_tf.studies.sweeps import report, report_page, sweep
from bert_tf.tasks import tfds_data

FLAGS = flags.FLAGS

#: Those of GLUE, as the original's script orders them, and CoLA.
TASKS = "RTE STS-B WNLI SST-2 MRPC QNLI QQP MNLI CoLA".split()

_SINGLE = ("task_name", "data_dir", "sparsity")
_GRID = ("tasks", "glue_dir", "learning_rates", "sparsities", "seeds")


def main(_):
    """Plans what FLAGS name, runs it and reports it."""
    plan = _plan()
    folder = os.path.abspath(FLAGS.output_dir)
    with plan_flags.carried_out(plan, "sweep", shows_output=bool(FLAGS.task_name)):
        tables = report_page.write(report.gather(folder), folder)
        if not FLAGS.task_name:  # Its output shows the comparison of speed already.
            print(f"\n{tables}", end="")
        print(f"\nReport: {os.path.join(folder, report_page.HTML_FILE)}")


def define_flags():
    """Defines the flags of this program."""
    flag_types.define_names("tasks", TASKS, "Names of tasks.")
    flags.DEFINE_string("glue_dir", None, "Folder with a folder for each task: RTE, SST-2, ...")
    flags.DEFINE_string("tfds_data_dir", None, "Data sets of TFDS in place of glue_dir.")
    rates = "Learning rates of dense and gated training; by default the task's."
    flag_types.define_numbers("learning_rates", [], rates, ABOVE_0, float)
    flag_types.define_numbers(
        "sparsities", [], "Sparsities to reach; by default the task's.", SHARE_BELOW_1, float
    )
    flags.DEFINE_string("task_name", None, "One task instead: one pruned model, all output shown.")
    flags.DEFINE_string("data_dir", None, "Its folder.")
    flag_types.define_number(
        "sparsity", None, "Sparsity to reach; by default the task's.", SHARE_BELOW_1, float
    )
    plan_flags.define()
    flags.DEFINE_bool("benchmark", True, "Whether to compare the speed of dense and pruned models.")
    flags.DEFINE_string(
        "benchmark_flags",
        "--batch_sizes=1,32 --lengths=64 --rounds=10 --memory=false",
        "Flags of flop-benchmark.",
    )
    flags.DEFINE_bool("export", True, "Whether `--task_name` exports what it makes.")
    flags.DEFINE_bool("compress", True, "Whether `--task_name` also compresses for an engine.")
    flags.DEFINE_string("compress_flags", "--targets=.5", "Flags of flop-compress.")
    flags.DEFINE_string(
        "export_flags", "", "More flags of flop-export, such as --allow_slower=true."
    )


def run():
    """Entry point of `flop-sweep`."""
    program.run(main, define_flags)


def _plan():
    _check()
    settings = plan_flags.settings(
        benchmark=plan_flags.words("benchmark_flags") if FLAGS.benchmark else None,
        export=plan_flags.words("export_flags") if FLAGS.export else None,
        compress=plan_flags.words("compress_flags") if FLAGS.compress else None,
    )
    if FLAGS.task_name:
        task = plan_flags.task(FLAGS.task_name, _data)
        return sweep.single(task, settings, FLAGS.sparsity)
    tasks = [plan_flags.task(name, _data) for name in FLAGS.tasks]
    return sweep.grid(tasks, settings, FLAGS.learning_rates, FLAGS.sparsities, FLAGS.seeds)


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
    plan_flags.check_training()


def _data(name):
    if FLAGS.tfds_data_dir:
        dataset = tfds_data.dataset_of(name)
        if dataset is None:
            raise ValueError(f"The task {name!r} is not in TFDS, pass its files by another flag.")
        return f"--tfds={dataset}", f"--tfds_data_dir={os.path.abspath(FLAGS.tfds_data_dir)}"
    folder = os.path.abspath(FLAGS.data_dir or os.path.join(FLAGS.glue_dir, name))
    if not os.path.isdir(folder):
        raise ValueError(f"The folder {folder!r} of the task {name} does not exist.")
    return (f"--data_dir={folder}",)


if __name__ == "__main__":
    run()
