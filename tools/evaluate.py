"""Scores a model at any stage and writes its predictions as GLUE and SQuAD want them.

Usage: flop-evaluate --model_dir=runs/compact --data_dir=SST-2 --output_dir=runs/scores
"""

import contextlib
import json

from flop_tools import data_flags, flag_types, program

from absl import flags

from bert_tf.methods.flop import stages
from bert_tf.ranges import FROM_1, SEQUENCE_LENGTH

FLAGS = flags.FLAGS


def main(_):
    """Scores the model that FLAGS name and prints the scores as JSON."""
    with contextlib.ExitStack() as stack:
        folder = ""
        if FLAGS.output_dir:
            folder = stack.enter_context(program.output_folder(FLAGS.output_dir))
        scores = stages.evaluate(
            FLAGS.model_dir,
            data_dir=data_flags.data_dir(),
            tfds=FLAGS.tfds,
            task_name=FLAGS.task_name,
            split=FLAGS.split,
            output_dir=folder,
            batch_size=FLAGS.eval_batch_size,
            max_seq_length=FLAGS.max_seq_length,
            dev_file=FLAGS.dev_file,
            quoting=FLAGS.quoting,
            mask=FLAGS.mask,
        )
    print(json.dumps(scores, indent=2))


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("model_dir", None, "Model directory, any stage.", required=True)
    flags.DEFINE_string("data_dir", "", "Folder of the task; that of the model.")
    flags.DEFINE_string("task_name", "", "Task; that of the model.")
    data_flags.define()
    flags.DEFINE_string("split", "", "train, dev, test, ...; every dev split of the task.")
    flags.DEFINE_string("output_dir", "", "Folder for predictions and scores.json; none.")
    define = flag_types.define_number
    define("eval_batch_size", 64, "Examples a batch.", FROM_1)
    define("max_seq_length", None, "Longest input in WordPieces; as in training.", SEQUENCE_LENGTH)
    flags.DEFINE_string("dev_file", "", "Task mlm: text of data_dir to evaluate on.")
    flags.DEFINE_string("quoting", "", "Task tsv: minimal or none; as in training.")
    flags.DEFINE_string("mask", "", "Mask file, under which the model is scored.")
    program.define_output_flags()


def run():
    """Entry point of `flop-evaluate`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
