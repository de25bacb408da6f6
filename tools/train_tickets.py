r"""Finds the tickets of a task and trains each one from the pretrained weights, over seeds.

Usage:
  flop-train-tickets --task_name=RTE --data_dir=glue/RTE --bert_dir=BERT --output_dir=runs/tickets \
    --percents=10,30,50 --seeds=0,1,2
  flop-train-tickets --task_name=RTE --data_dir=glue/RTE --bert_dir=BERT --output_dir=runs/lottery \
    --method=lottery,magnitude --pruned --seeds=0,1,2

Each run lies in TASK/seedSEED with a log next to it. The same command again resumes; more seeds,
percents, methods or tasks leave finished runs as they are. It ends with the curves and tables of
all runs in the folder, tickets.html, and the best ticket, super_ticket.json.
"""

import os

from flop_tools import data_flags, flag_types, plan_flags, program

from absl import flags

from bert_tf.checkpoints import read_source
from bert_tf.methods.tickets import find_options
from bert_tf.ranges import Range
from bert_tf.studies.sweeps import sweep, ticket_plan
from bert_tf.studies.tickets import ticket_study

FLAGS = flags.FLAGS


def main(_):
    """Plans what FLAGS name, runs it and reports it."""
    with plan_flags.carried_out(_plan(), "train_tickets"):
        if text := ticket_study.report_trained(os.path.abspath(FLAGS.output_dir)):
            print(f"\n{text}", end="")


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("task_name", None, "A task.", required=True)
    flags.DEFINE_string("data_dir", "", "Its folder.")
    data_flags.define()
    plan_flags.define()
    flag_types.define_names(
        "method", ["super"], "Of flop-find-tickets: super, lottery, magnitude.", distinct=False
    )
    flag_types.define_names(
        "kinds", [], "Of tickets to train: winning, random, good, ...; three each.", distinct=False
    )
    percents = Range(at_least=0, at_most=100)
    flag_types.define_numbers(
        "percents", None, "Of super: levels, percent of the heads.", percents, float
    )
    flags.DEFINE_string("find_flags", "", "More flags of flop-find-tickets.")
    flags.DEFINE_bool("pruned", False, "Scores each ticket without training too.")


def run():
    """Entry point of `flop-train-tickets`."""
    program.run(main, define_flags)


def _plan():
    plan_flags.check_training()
    settings, task = plan_flags.settings(), plan_flags.task(FLAGS.task_name, _data)
    return ticket_plan.plan(task, settings, _searches(settings), FLAGS.seeds, FLAGS.pruned)


def _searches(settings):
    given = plan_flags.words("find_flags")
    levels = ()
    if FLAGS.percents is not None:
        if "super" not in FLAGS.method:
            raise ValueError(
                f"Flag `--percents` is of the method super, received {FLAGS.method}; leave it out."
            )
        levels = (f"--percents={','.join(f'{one:g}' for one in FLAGS.percents)}",)
    options = [
        plan_flags.parsed(
            find_options.FindOptions,
            "find_flags",
            (
                *find_options.flags_of(method, (*given, *levels)),
                *("--model_dir=.", "--output_dir=.", f"--method={method}"),
            ),
        )
        for method in FLAGS.method
    ]
    config = None
    if "super" in FLAGS.method:
        files = [sweep.value(settings.finetune, n) for n in ("bert_config_file", "vocab_file")]
        config = read_source(settings.bert_dir, *files).config
    return ticket_plan.searches(options, FLAGS.kinds, given, config)


def _data(name):
    folder = data_flags.data_dir()
    if FLAGS.tfds:
        return f"--tfds={FLAGS.tfds}", f"--tfds_data_dir={os.path.abspath(folder)}"
    if not os.path.isdir(folder):
        raise ValueError(
            f"The folder `--data_dir={folder}` of the task {name} does not exist; name one, or a "
            "data set by `--tfds`."
        )
    return (f"--data_dir={os.path.abspath(folder)}",)


if __name__ == "__main__":
    run()
