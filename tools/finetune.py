"""Fine-tunes, prunes or distills a BERT: trains what the checkpoint holds.

Usage:
  flop-finetune --task_name=sst-2 --data_dir=SST-2 --init_checkpoint=BERT --output_dir=runs/dense
  flop-finetune --flagfile=configs/tasks/sst2.flags --flagfile=configs/methods/flop.flags \
    --data_dir=SST-2 --init_checkpoint=runs/factorized --output_dir=runs/pruned
"""

import dataclasses

from flop_tools import data_flags, program

from absl import flags

from bert_tf.runs import distribution, finetuning, run_scores
from bert_tf.runs.options import FinetuneOptions

FLAGS = flags.FLAGS


def main(_):
    """Runs what FLAGS name."""
    options = program.dataclass_from_flags(FinetuneOptions, data_dir=data_flags.data_dir())
    owner = distribution.is_chief(options)
    with program.output_folder(options.output_dir, run_scores.RESULTS_FILE, owner) as folder:
        if folder is not None:
            finetuning.finetune(dataclasses.replace(options, output_dir=folder))


def define_flags():
    """Defines the flags of this program."""
    program.define_dataclass(FinetuneOptions)
    data_flags.define()
    program.define_output_flags()


def run():
    """Entry point of `flop-finetune`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
