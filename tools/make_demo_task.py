"""Writes the built-in sentiment task in the layout of GLUE's SST-2.

Usage: python tools/make_demo_task.py --output_dir=runs/demo/data
"""

from flop_tools import flag_types, program

from absl import flags, logging

from bert_tf.data import demo_task
from bert_tf.ranges import SEED

FLAGS = flags.FLAGS


def main(_):
    """Writes the task that FLAGS name."""
    splits = demo_task.generate(FLAGS.num_train, FLAGS.num_dev, FLAGS.num_test, FLAGS.seed)
    if demo_task.holds(FLAGS.output_dir, splits):
        logging.info("The demo task was already in %s.", FLAGS.output_dir)
        return
    with program.output_folder(FLAGS.output_dir) as folder:
        demo_task.write(folder, splits)
        logging.info("The demo task is in %s.", folder)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("output_dir", None, "Folder for the three files.", required=True)
    define = flag_types.define_number
    define("num_train", 1600, "Sentences of the training split.", demo_task.SIZE)
    define("num_dev", 600, "Sentences of the development split.", demo_task.SIZE)
    define("num_test", 600, "Sentences of the test split.", demo_task.SIZE)
    define("seed", 0, "The same seed gives the same sentences.", SEED)
    program.define_output_flags()


def run():
    """Entry point of `flop-make-demo-task`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
