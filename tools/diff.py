"""Adds a difference of diff pruning to its base, takes it away again, or reports its content.

Usage:
  flop-diff inspect --diff=runs/rte/finetune-0.005
  flop-diff apply --diff=runs/rte/finetune-0.005 --base=BERT --output_dir=runs/rte_model
  flop-diff remove --diff=... --base=BERT --model_dir=runs/rte_model --output_dir=runs/base
  flop-diff report --runs_dir=runs --output_dir=runs/report
"""

import json

from flop_tools import program

from absl import flags

from bert_tf.checkpoints import model_dir
from bert_tf.methods.diffs import applying, diff_report

FLAGS = flags.FLAGS

# What can be done, and the flags that it needs; it has no others.
_NEEDS = {
    "inspect": ("diff",),
    "apply": ("diff", "base", "output_dir"),
    "remove": ("diff", "base", "model_dir", "output_dir"),
    "report": ("runs_dir", "output_dir"),
}


def main(argv):
    """Runs the subcommand."""
    action = argv[1]
    program.check_mode(action, _NEEDS)
    for name in _NEEDS[action]:
        if not FLAGS[name].value:
            raise ValueError(f"Flag `--{name}` is needed for {action}.")
    if action == "inspect":
        print(json.dumps(applying.inspect(FLAGS.diff), indent=2))
        return
    if action == "report":
        with program.output_folder(FLAGS.output_dir) as folder:
            print(diff_report.write(diff_report.gather(FLAGS.runs_dir), folder))
        return
    with program.output_folder(FLAGS.output_dir, model_dir.INFO_FILE) as folder:
        if folder is None:
            return
        if action == "apply":
            applying.apply(FLAGS.diff, FLAGS.base, folder)
        else:
            applying.remove(FLAGS.diff, FLAGS.base, FLAGS.model_dir, folder)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("diff", "", "File of a difference, or the folder of its stage.")
    flags.DEFINE_string("base", "", "The BERT that it was made for, any format.")
    flags.DEFINE_string("model_dir", "", "For remove: the folder that apply wrote.")
    flags.DEFINE_string("runs_dir", "", "For report: folder with differences at any depth.")
    flags.DEFINE_string("output_dir", "", "Folder for the model or the report.")
    program.define_output_flags()


def run():
    """Entry point of `flop-diff`."""
    program.run(main, define_flags, tuple(_NEEDS))


if __name__ == "__main__":
    run()
