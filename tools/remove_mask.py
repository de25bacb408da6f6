"""Removes the gates of a pruned BERT and writes the compact model.

Usage: flop-remove-mask --checkpoint=runs/pruned --output_folder_dir=runs/compact
"""

import dataclasses

from flop_tools import data_flags, program

from bert_tf.checkpoints import model_dir
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import RemoveOptions
from bert_tf.option_fields import names


def main(_):
    """Removes the masks of the checkpoint that FLAGS name."""
    options = program.dataclass_from_flags(
        RemoveOptions, data_dir=data_flags.data_dir(), max_seq_length=None
    )
    with program.output_folder(options.output_folder_dir, model_dir.INFO_FILE) as folder:
        if folder is not None:
            stages.remove_mask(dataclasses.replace(options, output_folder_dir=folder))


def define_flags():
    """Defines the flags of this program."""
    program.define_dataclass(
        RemoveOptions,
        names=set(names(RemoveOptions)) - {"max_seq_length"},
        required=("checkpoint", "output_folder_dir"),
        subject="Flag `--{}`",
    )
    data_flags.define()
    program.define_output_flags()


def run():
    """Entry point of `flop-remove-mask`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
