r"""Searches a mask on plain text: one subnetwork of a pretrained BERT for every task.

Usage:
  flop-train-mask --data_dir=wikitext-2 --train_file=wiki.valid.tokens --dev_file=wiki.test.tokens \
    --init_checkpoint=BERT --train_head --sparsity=.7 --output_dir=runs/mask
"""

from flop_tools import option_flags, program

from bert_tf.methods.text_masks import search
from bert_tf.methods.text_masks.mask_options import MaskOptions


def main(_):
    """Runs the search that FLAGS name."""
    option_flags.carry_out(search.search, option_flags.read(MaskOptions), search.RESULTS_FILE)


def define_flags():
    """Defines the flags of this program."""
    option_flags.define(MaskOptions)


def run():
    """Entry point of `flop-train-mask`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
