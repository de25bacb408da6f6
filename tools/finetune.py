r"""Fine-tunes, prunes or distills a BERT: trains what the checkpoint holds.

Usage:
  flop-finetune --task_name=sst-2 --data_dir=SST-2 --init_checkpoint=BERT --output_dir=runs/dense
  flop-finetune --flagfile=configs/tasks/sst2.flags --flagfile=configs/methods/flop.flags \
    --data_dir=SST-2 --init_checkpoint=runs/factorized --output_dir=runs/pruned
"""

from flop_tools import option_flags, program

from bert_tf.runs import distribution, finetuning, run_scores
from bert_tf.runs.options import FinetuneOptions


def main(_):
    """Runs what FLAGS name."""
    options = option_flags.read(FinetuneOptions)
    owner = distribution.is_chief(options)
    option_flags.carry_out(finetuning.finetune, options, run_scores.RESULTS_FILE, owner=owner)


def define_flags():
    """Defines the flags of this program."""
    option_flags.define(FinetuneOptions)


def run():
    """Entry point of `flop-finetune`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
