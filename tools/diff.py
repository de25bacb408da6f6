"""Adds a difference of diff pruning to its base, takes it away again, or says what is in it.

Usage:
  flop-diff --action=inspect --diff=runs/rte/finetune-0.005
  flop-diff --action=apply --diff=runs/rte/finetune-0.005 --base=BERT --output_dir=runs/rte_model
  flop-diff --action=remove --diff=... --base=BERT --model_dir=runs/rte_model --output_dir=runs/base
"""

import json

from flop_tools import program

from absl import flags

from bert_tf import model_dir
from bert_tf.diffs import applying

FLAGS = flags.FLAGS

# What each action needs beside `--diff`.
_NEEDS = {
    "inspect": (),
    "apply": ("base", "output_dir"),
    "remove": ("base", "model_dir", "output_dir"),
}


def main(_):
    """Does what FLAGS ask for."""
    for name in ("diff", *_NEEDS[FLAGS.action]):
        if not FLAGS[name].value:
            raise ValueError(f"Flag `--{name}` is needed for --action={FLAGS.action}.")
    if FLAGS.action == "inspect":
        print(json.dumps(applying.inspect(FLAGS.diff), indent=2))
        return
    with program.output_folder(FLAGS.output_dir, model_dir.INFO_FILE) as folder:
        if folder is None:
            return
        if FLAGS.action == "apply":
            applying.apply(FLAGS.diff, FLAGS.base, folder)
        else:
            applying.remove(FLAGS.diff, FLAGS.base, FLAGS.model_dir, folder)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_enum("action", "inspect", list(_NEEDS), "What to do.")
    flags.DEFINE_string("diff", "", "File of a difference, or the folder of its stage.")
    flags.DEFINE_string("base", "", "The BERT that it was made for, any format.")
    flags.DEFINE_string("model_dir", "", "Of remove: what apply wrote.")
    flags.DEFINE_string("output_dir", "", "Folder for the model.")
    program.define_output_flags()


def run():
    """Entry point of `flop-diff`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
