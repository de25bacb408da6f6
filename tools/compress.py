"""Makes a BERT smaller to targets of what it costs where it is served, repaired and trained.

Usage:
  flop-compress --task_name=SST-2 --data_dir=SST-2 --init_checkpoint=runs/dense \
    --engine=onnxruntime_int8 --optimize_for=8x128 --targets=.5,.33 --output_dir=runs/compressed
  flop-compress --task_name=SST-2 --data_dir=SST-2 --init_checkpoint=runs/dense --train=none \
    --output_dir=runs/compressed
"""

from flop_tools import option_flags, program

from bert_tf.methods.compress import stages
from bert_tf.methods.compress.compress_options import CompressOptions


def main(_):
    """Runs what FLAGS name."""
    option_flags.carry_out(stages.compress, option_flags.read(CompressOptions), stages.REPORT)


def define_flags():
    """Defines the flags of this program."""
    option_flags.define(CompressOptions)


def run():
    """Entry point of `flop-compress`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
