"""Makes a mask without training, as a baseline: of the largest weights, or of random ones.

Usage: flop-make-mask --kind=magnitude --sparsity=.7 --checkpoint=BERT --output=omp.safetensors
"""

import os

from flop_tools import flag_types, program

from absl import flags, logging

from bert_tf.checkpoints import read_source
from bert_tf.pruning import masks, one_shot_masks
from bert_tf.ranges import SEED, SHARE_BELOW_1

FLAGS = flags.FLAGS


def main(_):
    """Writes the mask that FLAGS ask for."""
    if os.path.exists(FLAGS.output) and not FLAGS.overwrite:
        raise ValueError(
            f"The file {FLAGS.output!r} exists already; choose another one, or pass --overwrite to "
            "replace it."
        )
    source = read_source(FLAGS.checkpoint, FLAGS.bert_config_file)
    found = one_shot_masks.one_shot(source, FLAGS.kind, FLAGS.sparsity, FLAGS.seed)
    settings = {"checkpoint": os.path.abspath(FLAGS.checkpoint), "sparsity": FLAGS.sparsity}
    masks.save(FLAGS.output, source.config, found, FLAGS.kind, seed=FLAGS.seed, **settings)
    logging.info("The mask is in %s.", FLAGS.output)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("checkpoint", None, "Dense BERT, any format.", required=True)
    flags.DEFINE_string("bert_config_file", None, "BERT config, if not beside the checkpoint.")
    flags.DEFINE_string("output", None, "File for the mask.", required=True)
    flags.DEFINE_enum("kind", "magnitude", ["magnitude", "random"], "What the mask keeps.")
    define = flag_types.define_number
    define("sparsity", None, "Share of weights to mask.", SHARE_BELOW_1, float, required=True)
    define("seed", 0, "Of a random mask.", SEED)
    flags.DEFINE_bool("overwrite", False, "Replaces the file.")


def run():
    """Entry point of `flop-make-mask`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
