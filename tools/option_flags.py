"""Programs whose flags are the fields of one options class, and that fill one output folder."""

import dataclasses

from flop_tools import data_flags, program

from absl import flags

from bert_tf.option_fields import names

FLAGS = flags.FLAGS


def define(cls, required=(), subject="Argument `{}`", without=()):
    """Defines the flags of an options class, of the source of its data, and of output folders.

    Args:
      cls: the class, see `program.define_dataclass`.
      required: see there; so `subject`.
      subject: see above.
      without: names of fields that are no flags.
    """
    program.define_dataclass(cls, FLAGS, set(names(cls)) - set(without), required, subject)
    if "tfds" in FLAGS:
        data_flags.define()
    program.define_output_flags()


def read(cls, **changes):
    """Returns the options that FLAGS name.

    Args:
      cls: their class, see `define`.
      **changes: values by field that take the place of the flags'.

    Raises:
      ValueError: if a value is out of range or flags exclude each other.
    """
    if "tfds" in FLAGS:
        changes = {"data_dir": data_flags.data_dir(), **changes}
    return program.dataclass_from_flags(cls, **changes)


def carry_out(function, options, done_file, output="output_dir", owner=True):
    """Calls a function of options whose output folder is free for it, by `program.output_folder`.

    Args:
      function: of the options.
      options: the result of `read`.
      done_file: see `program.output_folder`; so `owner`.
      output: the field that names the folder.
      owner: see above.

    Returns:
      The result of the function; None if the same command is already done there.

    Raises:
      ValueError: as `program.output_folder`.
    """
    with program.output_folder(getattr(options, output), done_file, owner) as folder:
        return folder and function(dataclasses.replace(options, **{output: folder}))
