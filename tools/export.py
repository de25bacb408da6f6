r"""Exports a model for serving: OUTPUT/VERSION, as TensorFlow Serving loads it.

Usage:
  flop-export --model_dir=runs/compact --output_dir=served/sst2
  flop-export --model_dir=runs/compact --output_dir=served/sst2 --format=saved_model,onnx
  flop-export --model_dir=BERT --diffs=runs/rte/finetune-0.005,runs/stsb/finetune-0.005 \
    --output_dir=served/tasks
"""

import shlex
import sys

from flop_tools import data_flags, flag_types, program

from absl import flags

from bert_tf import ranges
from bert_tf.methods.diffs import task_exporting
from bert_tf.option_fields import names
from bert_tf.ranges import FROM_0, FROM_1
from bert_tf.serving import exporting, formats, hugging_face_export, versions
from bert_tf.serving.engines import ENGINES
from bert_tf.serving.servable import ServedTask
from bert_tf.serving.target import AUTO, Target
from bert_tf.tasks.model_task import ModelDataOptions

FLAGS = flags.FLAGS

# By which forms of models are chosen, measured and compared.
_OF_ENGINES = ("engine", "dev_examples", "optimize_for", "latency_table", "allow_slower")
# Of a model of one task; an export of differences compares each task with its merged model.
_NOT_OF_DIFFS = (
    *("format", *names(ModelDataOptions), "tfds_data_dir", "tfds_download", *_OF_ENGINES),
)


def main(_):
    """Exports the model that FLAGS name."""
    # On SIGTERM, half-written files are removed.
    program.exit_on_sigterm("export")
    program.check_output(FLAGS.output_dir)
    version = versions.Version(
        FLAGS.output_dir,
        FLAGS.version,
        FLAGS.overwrite,
        command=shlex.join(sys.argv),
        command_flags=program.command(),
    )
    program.check_inputs(version.path)
    if FLAGS.diffs:
        _check_not_of_diffs()
        task_exporting.export(FLAGS.model_dir, FLAGS.diffs, version)
        return
    if FLAGS["format"].present and not FLAGS.format:
        known = [*formats.FORMATS, hugging_face_export.NAME]
        raise ValueError(f"Flag `--format` must name one of {known}.")
    if FLAGS.format and FLAGS["engine"].present:
        raise ValueError("Flag `--format` does not go with `--engine`; leave one of them out.")
    served = ServedTask(
        task_name=FLAGS.task_name,
        data_dir=data_flags.data_dir(),
        tfds=FLAGS.tfds,
        max_seq_length=FLAGS.max_seq_length,
        dev_examples=FLAGS.dev_examples,
    )
    if hugging_face_export.NAME in FLAGS.format:
        _check_alone()
        hugging_face_export.export(FLAGS.model_dir, version, served)
        return
    target = Target(
        FLAGS.engine,
        FLAGS.format,
        FLAGS.optimize_for and ranges.parse_shape("Flag `--optimize_for`", FLAGS.optimize_for),
        tuple(FLAGS.latency_table),
        FLAGS.allow_slower,
    )
    exporting.export(FLAGS.model_dir, version, target, served)


def _check_not_of_diffs():
    """Raises ValueError where a flag for one task is changed next to --diffs."""
    _check_unchanged(_NOT_OF_DIFFS, "--diffs")


def _check_alone():
    """Raises ValueError where another format, or a flag of engines, stands next to the one."""
    if len(FLAGS.format) > 1:
        raise ValueError(
            f"Flag `--format` must name {hugging_face_export.NAME} alone, received "
            f"{','.join(FLAGS.format)}."
        )
    _check_unchanged(_OF_ENGINES, f"--format={hugging_face_export.NAME}")


def _check_unchanged(flag_names, reason):
    """Raises ValueError where one of some flags is changed."""
    for name in flag_names:
        if FLAGS[name].value != FLAGS[name].default:
            raise ValueError(f"Flag `--{name}` is not for {reason}; leave it out.")


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("model_dir", None, "Model directory, without gates.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder of the versions.", required=True)
    flag_types.define_names("diffs", [], "Differences to that model, one a task: files or folders.")
    flag_types.define_number("version", 1, "Number of the version, from 1 on.", FROM_1)
    engines = f"Engine to export for: {AUTO} for all at hand, or one of {', '.join(ENGINES)}."
    flags.DEFINE_string("engine", AUTO, engines)
    known = ", ".join(formats.FORMATS)
    help_text = f"Files instead, one or more of: {known}; or {hugging_face_export.NAME} alone."
    flag_types.define_names("format", [], help_text)
    data_flags.define(names(ModelDataOptions))
    flag_types.define_number("dev_examples", 1024, "Dev examples to compare on; 0 is all.", FROM_0)
    flags.DEFINE_string("optimize_for", "", "BATCHxLENGTH by which forms are chosen; 8x128.")
    flag_types.define_names(
        "latency_table",
        [],
        "Files of flop-benchmark --table, or folder of an export; default: measures.",
    )
    flags.DEFINE_bool("allow_slower", False, "Exports what is slower than the dense model, too.")
    flags.DEFINE_bool("overwrite", False, "Replaces the version if it exists.")
    program.define_made_from()


def run():
    """Entry point of `flop-export`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
