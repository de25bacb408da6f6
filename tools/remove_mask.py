"""Removes the gates of a pruned BERT and writes the compact model.

Usage: flop-remove-mask --checkpoint=runs/pruned --output_folder_dir=runs/compact
"""

from flop_tools import option_flags, program

from bert_tf.checkpoints import model_dir
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import RemoveOptions


def main(_):
    """Removes the masks of the checkpoint that FLAGS name."""
    options = option_flags.read(RemoveOptions, max_seq_length=None)
    output = "output_folder_dir"
    option_flags.carry_out(stages.remove_mask, options, model_dir.INFO_FILE, output)


def define_flags():
    """Defines the flags of this program."""
    required, without = ("checkpoint", "output_folder_dir"), ("max_seq_length",)
    option_flags.define(RemoveOptions, required, "Flag `--{}`", without)


def run():
    """Entry point of `flop-remove-mask`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
