"""Searches a mask on plain text: one subnetwork of a pretrained BERT for every task.

Usage:
  flop-train-mask --data_dir=wikitext-2 --train_file=wiki.valid.tokens --dev_file=wiki.test.tokens \
    --init_checkpoint=BERT --train_head --sparsity=.7 --output_dir=runs/mask
"""

import dataclasses

from flop_tools import program

from absl import flags

from bert_tf.methods.text_masks import search
from bert_tf.methods.text_masks.mask_options import MaskOptions

FLAGS = flags.FLAGS


def main(_):
    """Runs the search that FLAGS name."""
    options = program.dataclass_from_flags(MaskOptions)
    with program.output_folder(options.output_dir, search.RESULTS_FILE) as folder:
        if folder is not None:
            search.search(dataclasses.replace(options, output_dir=folder))


def define_flags():
    """Defines the flags of this program."""
    program.define_dataclass(MaskOptions)
    program.define_output_flags()


def run():
    """Entry point of `flop-train-mask`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
