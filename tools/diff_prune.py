r"""Learns a task as a sparse difference to a frozen BERT (diff pruning), in three stages.

Usage:
  flop-diff-prune all --task_name=RTE --data_dir=glue/RTE --init_checkpoint=BERT \
    --output_dir=runs/rte
  flop-diff-prune learn ...; flop-diff-prune project --target_density=.001 ...; and finetune
"""

from flop_tools import option_flags, program

from absl import flags

from bert_tf.methods.diffs import diff_stages
from bert_tf.methods.diffs.diff_options import DiffOptions
from bert_tf.runs import run_folder
from bert_tf.runs.run_scores import RESULTS_FILE

FLAGS = flags.FLAGS


def main(argv):
    """Runs the stages of the subcommand; a finished stage is not run again."""
    options = option_flags.read(DiffOptions)
    if FLAGS.timestamp_dir:
        raise ValueError(
            "Flag `--timestamp_dir` is not for stages, which find each other in one folder; leave "
            "it out."
        )
    for stage in diff_stages.stages_of(argv[1], options.method):
        path = diff_stages.folder_of(options.output_dir, stage, options)
        without = diff_stages.NOT_OF_STAGE[stage]
        with program.output_folder(path, RESULTS_FILE, without=without) as folder:
            if folder is not None:
                diff_stages.run(stage, options, folder)
            else:  # A kill may have come between its results and this.
                run_folder.delete_checkpoints(path)


def define_flags():
    """Defines the flags of this program."""
    option_flags.define(DiffOptions)


def run():
    """Entry point of `flop-diff-prune`."""
    program.run(main, define_flags, (*diff_stages.STAGES, "all"))


if __name__ == "__main__":
    run()
