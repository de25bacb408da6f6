"""Exports a model for serving: OUTPUT/VERSION, as TensorFlow Serving loads it.

Usage: flop-export --model_dir=runs/compact --output_dir=served/sst2 --format=saved_model,onnx
"""

import shlex
import sys

from flop_tools import data_flags, program

from absl import flags

from bert_tf import exporting, formats

FLAGS = flags.FLAGS


def main(_):
    """Exports the model that FLAGS name."""
    exporting.export(
        FLAGS.model_dir,
        FLAGS.output_dir,
        version=FLAGS.version,
        format_names=FLAGS.format,
        data_dir=data_flags.data_dir(),
        task_name=FLAGS.task_name,
        tfds=FLAGS.tfds,
        max_seq_length=FLAGS.max_seq_length,
        dev_examples=FLAGS.dev_examples,
        overwrite=FLAGS.overwrite,
        command=shlex.join(sys.argv),
    )


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("model_dir", None, "Model directory, without gates.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder of the versions.", required=True)
    flags.DEFINE_integer("version", 1, "Number of the version, from 1 on.")
    names = ", ".join(formats.FORMATS)
    flags.DEFINE_list("format", ["saved_model"], f"One or more of: {names}.")
    flags.DEFINE_string("data_dir", "", "Folder of the task, to compare on; that of the model.")
    flags.DEFINE_string("task_name", "", "Task; that of the model.")
    data_flags.define()
    flags.DEFINE_integer("max_seq_length", None, "WordPieces of a text; as in training.")
    flags.DEFINE_integer("dev_examples", 1024, "Dev examples to compare on; 0 is all.")
    flags.DEFINE_bool("overwrite", False, "Replaces the version if it exists.")


def run():
    """Entry point of `flop-export`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
