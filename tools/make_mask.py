"""Makes a mask without training, as a baseline: of the largest weights, of random ones, of blocks.

Usage:
  flop-make-mask --kind=magnitude --sparsity=.7 --checkpoint=BERT --output=omp.safetensors
  flop-make-mask --kind=blocks --blocks=0,2,4 --checkpoint=BERT --output=half.safetensors
"""

import os

from flop_tools import flag_types, program

from absl import flags, logging

from bert_tf import ranges
from bert_tf.checkpoints import read_source
from bert_tf.ranges import FROM_0, SEED, SHARE_BELOW_1
from bert_tf.runs import run_folder
from bert_tf.surgery import masks, one_shot_masks
from flop_tf import files
from flop_tf.files import mask_file

FLAGS = flags.FLAGS

_BLOCKS = "blocks"


def main(_):
    """Writes the mask that FLAGS name."""
    if not FLAGS.output:
        raise ValueError("Flag `--output` must name a file, received nothing.")
    _check_kind()
    path = os.path.abspath(FLAGS.output)
    with run_folder.locked(path):
        for left in files.partials(*os.path.split(path)):
            os.remove(left)
        if os.path.lexists(path) and _is_made(path):
            logging.info("The mask is in %s already.", FLAGS.output)
            return
        source = read_source(FLAGS.checkpoint, FLAGS.bert_config_file)
        found = _mask(source)
        masks.save(FLAGS.output, source.config, found, FLAGS.kind, **_settings())
    logging.info("The mask is in %s.", FLAGS.output)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("checkpoint", None, "Dense BERT, any format.", required=True)
    flags.DEFINE_string("bert_config_file", None, "BERT config, if not next to the checkpoint.")
    flags.DEFINE_string("output", None, "File for the mask.", required=True)
    kinds = [*one_shot_masks.KINDS, _BLOCKS]
    flags.DEFINE_enum("kind", "magnitude", kinds, "What the mask keeps.")
    flags.DEFINE_list("blocks", [], "Of --kind=blocks: the blocks that stay, from 0 on.")
    define = flag_types.define_number
    define("sparsity", None, "Share of weights to mask.", SHARE_BELOW_1, float)
    define("seed", 0, "Of a random mask.", SEED)
    flags.DEFINE_bool("overwrite", False, "Replaces a mask that was made in another way.")


def run():
    """Entry point of `flop-make-mask`."""
    program.run(main, define_flags)


def _mask(source):
    if FLAGS.kind == _BLOCKS:
        return one_shot_masks.of_blocks(source.config, _settings()["blocks"])
    return one_shot_masks.one_shot(source, FLAGS.kind, FLAGS.sparsity, FLAGS.seed)


def _settings():
    """Returns how the mask is made, as its file says it."""
    found = {"seed": FLAGS.seed, "checkpoint": os.path.abspath(FLAGS.checkpoint)}
    if FLAGS.kind == _BLOCKS:
        text = ",".join(FLAGS.blocks)
        return found | {"blocks": ranges.parse_list("Flag `--blocks`", text, int, FROM_0, True)}
    return found | {"sparsity": FLAGS.sparsity}


def _check_kind():
    """Raises ValueError where a flag is missing, or is of another kind."""
    needed, other = "blocks", "sparsity"
    given = {"blocks": bool(FLAGS.blocks), "sparsity": FLAGS.sparsity is not None}
    if FLAGS.kind != _BLOCKS:
        needed, other = other, needed
    if not given[needed] or given[other]:
        raise ValueError(
            f"Flag `--kind={FLAGS.kind}` needs `--{needed}` and takes no `--{other}`, received "
            f"blocks={','.join(FLAGS.blocks)!r} and sparsity={FLAGS.sparsity}."
        )


def _is_made(path):
    """Returns whether a file is the mask of this command; only a mask may be replaced.

    Raises:
      ValueError: if it is no mask, or another one and `--overwrite` was not passed.
    """
    files.check_regular(path, "mask file")
    found = mask_file.read(path)
    same = (found.method, found.provenance) == (FLAGS.kind, _settings())
    if not same and not FLAGS.overwrite:
        raise ValueError(
            f"The file {path!r} exists already with another mask; choose another one, or pass "
            "--overwrite to replace it."
        )
    return same and not FLAGS.overwrite


if __name__ == "__main__":
    run()
