"""How every program of this folder starts, and how it ends on bad input."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import select
import signal
import sys
import time
import typing

from flop_tools import flag_types

import tensorflow as tf
from absl import app, flags, logging

from bert_tf import flag_files
from bert_tf.runs import run_folder
from flop_tf import files

FLAGS = flags.FLAGS

# The last one is for a disk or a memory that is full, as MemoryError of NumPy.
_BAD_INPUT = (ValueError, OSError, MemoryError, flags.Error, tf.errors.ResourceExhaustedError)
# These say how to run, not what, and do not make a command another one.
_HOW_TO_RUN = {
    "overwrite",
    "task_index",
    "tfds_download",
    "timestamp_dir",
    "worker_hosts",
    "worker_timeout",
}
# These name files and folders that are read, some of them several.
_INPUTS = set(
    "base baselines bert_config_file bert_dir checkpoint data_dir diff diffs general_text glue_dir "
    "importance init_checkpoint labels maps mask masks model_dir model_dirs patterns runs_dir "
    "task_masks teacher tfds_data_dir tickets tickets_dirs vocab_file latency_table".split()
)
# Libraries whose messages are not shown.
_MUTED = ("tensorflow", "tensorflow_datasets")
# Names of the flags that the running program defined, in this process.
_own_flags = set()


def run(main, define_flags, subcommands=()):
    """Defines and parses the flags, calls `main(argv)` and exits.

    Flags are defined here and not at import, so that several programs can be
    imported side by side though they share names of flags.

    Bad input, which libraries raise as ValueError or OSError, and flags that
    do not exist end as `name: error: <one sentence>` with exit code 1; with
    `--verbosity=1` the stack trace is shown instead. A reader that closes the
    pipe early, as `| head` does, is no error.

    Args:
      main: function of one argument, the command line without flags; reads absl's FLAGS.
      define_flags: function without arguments, calls absl's DEFINE functions.
      subcommands: names, for a program that does several things; one of them follows the
        program's name, and is `argv[1]` of `main`.
    """
    libraries = set(FLAGS)
    _quiet_logging()
    define_flags()
    _own_flags.update(set(FLAGS) - libraries)
    # `--help` shows what the main module says and defines, which is a few lines of pip's.
    sys.modules["__main__"].__doc__ = main.__globals__["__doc__"]
    for name in _own_flags:
        FLAGS.register_key_flag_for_module(sys.argv[0], FLAGS[name])
    try:
        app.run(main, flags_parser=functools.partial(_parse, subcommands))
    except KeyboardInterrupt:
        print(f"{_name()}: stopped; the same command goes on or starts again.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except _BAD_INPUT as error:
        if isinstance(error, BrokenPipeError) and _is_unread(sys.stdout):
            sys.exit(128 + signal.SIGPIPE)
        if logging.vlog_is_on(1):
            raise
        # A thread that writes checkpoints may have met the same, and would say so at the exit.
        sys.unraisablehook = lambda _: None
        sys.exit(f"{_name()}: error: {_reason(str(error))}")
    finally:
        _drop_unread_output()


def exit_on_sigterm(name):
    """Turns SIGTERM into SystemExit, so that `with` blocks and `finally` are carried out.

    Args:
      name: of the program, for its last line.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{name}: ended by a signal."))


def define_dataclass(cls, flag_values=FLAGS, names=None, required=(), subject="Argument `{}`"):
    """Defines a flag for each field of an options class, with its default and help.

    Args:
      cls: frozen dataclass of `bert_tf.option_fields.option`.
      flag_values: where they are defined. Defaults to absl's FLAGS.
      names: of the fields; None, the default, is all.
      required: names of fields that must be passed.
      subject: begins the error of a number, with a place for its name.
    """
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if names is None or field.name in names:
            _define(field, hints[field.name], flag_values, field.name in required, subject)


def dataclass_from_flags(cls, flag_values=FLAGS, **changes):
    """Returns options with the values of flags.

    Args:
      cls: their class, see `define_dataclass`.
      flag_values: where the flags are. Defaults to absl's FLAGS.
      **changes: values by field that take the place of the flags'.

    Raises:
      ValueError: if a value is out of range.
    """
    given = {
        field.name: flag_values[field.name].value
        for field in dataclasses.fields(cls)
        if field.name not in changes
    }
    return cls(**given, **changes)


def define_output_flags():
    """Defines the flags that go with an output folder."""
    flags.DEFINE_bool("overwrite", False, "Replaces another run's files in the output folder.")
    flags.DEFINE_bool("timestamp_dir", False, "Writes to a new folder named by the start time.")
    define_made_from()


def define_made_from():
    """Defines the flag that a sweep passes to every program that reads what others have made."""
    flags.DEFINE_string(
        "made_from",
        None,
        "Set by flop-sweep: the commands that made the inputs; another text is another run.",
    )


def check_mode(mode, flags_of):
    """Raises ValueError where a flag is passed that the chosen mode does not use.

    Args:
      mode: the chosen mode, a key of `flags_of`.
      flags_of: dict of the names of flags by mode; a flag of no mode belongs to all.
    """
    others = {name for names in flags_of.values() for name in names} - set(flags_of[mode])
    if passed := sorted(name for name in others if FLAGS[name].present):
        raise ValueError(f"Flag `--{passed[0]}` is not for {mode}; leave it out.")


def check_output(folder):
    """Raises ValueError where no output folder is named.

    Args:
      folder: its path, or an empty text.
    """
    if not folder:
        raise ValueError("An output folder is needed, received none; name one by its flag.")


def check_inputs(folder):
    """Raises ValueError where an output folder is or holds an input, which it might replace.

    Args:
      folder: path of the output folder.
    """
    for name in sorted(_INPUTS & _own_flags):
        for path in _paths(FLAGS[name].value):
            there = any(os.path.exists(path + end) for end in ("", ".index"))
            if there and files.is_at_or_below(path, folder):
                raise ValueError(
                    f"The output folder {folder!r} is or holds the input `--{name}={path}`; choose "
                    "another folder, for inputs are never replaced."
                )


@contextlib.contextmanager
def output_folder(folder, done_file=None, owner=True, without=()):
    """Opens the output folder of this command, by the rule of `bert_tf.runs.run_folder`.

    Args:
      folder: path of the output folder.
      done_file: name of the file that a run writes last; None for a program that always runs again.
      owner: False for a worker next to the one that writes.
      without: names of flags that do not change the files of this folder.

    Yields:
      The folder to write to, or None if the same command is already done there.

    Raises:
      ValueError: if it holds another run's files or an input, or, even with `--overwrite`, a run of
        another program.
    """
    check_output(folder)
    if FLAGS.timestamp_dir:
        folder = os.path.join(folder, time.strftime("%Y%m%d-%H%M%S"))
    check_inputs(folder)
    if FLAGS.overwrite:
        _check_program(folder)
    with run_folder.opened(folder, command(without), done_file, FLAGS.overwrite, owner) as to_do:
        if not to_do:
            logging.info("%s is already done; pass --overwrite to run it again.", folder)
        yield folder if to_do else None


def _define(field, kind, flag_values, required, subject):
    name, default, choices = field.name, field.default, field.metadata["choices"]
    text = field.metadata["help"] + (
        f" One of: {', '.join(filter(None, choices))}." if choices else ""
    )
    if kind in (int, float):
        allowed = field.metadata["allowed"]
        flag_types.define_number(name, default, text, allowed, kind, flag_values, subject)
    else:
        definer = flags.DEFINE_bool if kind is bool else flags.DEFINE_string
        definer(name, default, text, flag_values=flag_values, required=required)


def _check_program(folder):
    """Raises ValueError where a folder has a run with flags that this program does not define."""
    lines = (run_folder.command_of(folder) or "").splitlines()
    found = {line[2:].partition("=")[0] for line in lines if line.startswith("--")}
    if other := sorted(found - _own_flags - {f"no{name}" for name in _own_flags}):
        raise ValueError(
            f"The output folder {folder!r} holds a run of another program, which has the flag "
            f"`--{other[0]}`, and is not replaced; choose another folder."
        )


def _paths(value):
    """Yields what may be a path in the value of a flag: PATH, A,B or NAME=A,NAME=B."""
    words = value if isinstance(value, list) else [value, *value.split(",")] if value else []
    for word in words:
        parts = word.split("=")  # In names and in paths, too.
        yield from filter(None, ("=".join(parts[index:]) for index in range(len(parts))))


def command(without=()):
    """Returns every flag of this program that has a value, one a line, as a flag file.

    Args:
      without: names of flags that do not change the written files.
    """
    lines = [
        FLAGS[name].serialize()
        for name in sorted(_own_flags - _HOW_TO_RUN - set(without))
        if FLAGS[name].value is not None
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _is_unread(pipe):
    """Returns whether a file is a pipe whose reader has closed it."""
    poll = select.poll()
    poll.register(pipe, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _drop_unread_output():
    """Empties the standard output; Python would report at its exit that nobody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _name():
    return pathlib.Path(sys.argv[0]).stem


def _reason(text):
    """Returns the reason in an error's text, in one line and without what libraries put around it.

    Those are places in the code and arguments of layers by Keras, and names of operations by
    TensorFlow.
    """
    text = re.sub(r".*Exception encountered when calling layer [^\n]*\n", "", text, flags=re.DOTALL)
    text = text.partition("Call arguments received by layer")[0]
    if "in user code:" in text:
        text = re.sub(r".*\n\s*\w+(Error|Exception): ", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"\{\{.*?\}\}|\s*\[Op:.*?\]", "", text).split())


def _quiet_logging():
    """Shows the messages of this project as they are and leaves out the libraries of `_MUTED`."""
    # absl does so in the first program of a process only.
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(None)
    handler.addFilter(lambda record: _library(record.pathname) not in _MUTED)
    tf.get_logger().setLevel("ERROR")


def _library(path):
    """Returns the name of the installed package that a file is of; "" of a clone."""
    return path.rpartition(f"-packages{os.sep}")[2].partition(os.sep)[0]


def _parse(subcommands, argv):
    for word in argv:
        if word.encode(errors="replace").decode() != word:
            raise ValueError(
                f"The command line must be UTF-8 text, received {word!r}; rename what it names."
            )
    name, *rest = FLAGS([argv[0], *flag_files.expanded(argv[1:])])
    if subcommands and (len(rest) != 1 or rest[0] not in subcommands):
        raise ValueError(
            f"What to do must follow the program's name, one of {', '.join(subcommands)}, received "
            f"{' '.join(rest) or 'nothing'!r}."
        )
    if rest and not subcommands:
        raise ValueError(f"Everything is passed as a flag `--name=value`, received {rest}.")
    return [name, *rest]
