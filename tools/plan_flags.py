"""Flags of the programs that plan many runs, and how they carry a plan out."""

import contextlib
import os
import pathlib
import re
import shlex

from flop_tools import flag_types, program

from absl import flags

from bert_tf import flag_files
from bert_tf.ranges import ABOVE_0, SEED
from bert_tf.runs import run_folder
from bert_tf.studies.sweeps import sweep, sweep_runner
from flop_tf import files, processes

FLAGS = flags.FLAGS

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"


def define():
    """Defines the flags that every plan has."""
    flags.DEFINE_string("bert_dir", None, "BERT to start from, any format.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for all runs.", required=True)
    flag_types.define_numbers("seeds", [0], "Random seeds.", SEED)
    flag_types.define_number(
        "epochs", None, "Epochs of dense and gated training; by default the task's.", ABOVE_0, float
    )
    flags.DEFINE_string("finetune_flags", "", "More flags of flop-finetune, for every training.")
    flags.DEFINE_string("configs_dir", str(CONFIGS), "Folder of the tasks' flag files.")
    flags.DEFINE_bool("overwrite", False, "Replaces runs that were made by another command.")


def check_training():
    """Raises ValueError where there is no BERT to start from."""
    if not any(os.path.exists(FLAGS.bert_dir + end) for end in ("", ".index")):
        raise ValueError(f"The folder or checkpoint `--bert_dir={FLAGS.bert_dir}` does not exist.")
    if os.path.exists(FLAGS.bert_dir) and not os.path.isdir(FLAGS.bert_dir):
        files.check_regular(FLAGS.bert_dir, "checkpoint")


def settings(**more):
    """Returns the `bert_tf.studies.sweeps.sweep.Settings` of the flags that every plan has.

    Args:
      **more: of `Settings`.

    Raises:
      ValueError: if flags that stand in a flag are none.
    """
    return sweep.Settings(
        folder=os.path.abspath(FLAGS.output_dir),
        bert_dir=os.path.abspath(FLAGS.bert_dir),
        epochs=FLAGS.epochs,
        finetune=words("finetune_flags"),
        **more,
    )


def task(name, data):
    """Returns the `bert_tf.studies.sweeps.sweep.SweepTask` of a name.

    Args:
      name: of the task, or the stem of its flag file.
      data: function of its name that returns the flags which say where its examples are.

    Raises:
      ValueError: if there is no flag file, or no such data.
    """
    dense, flop = sweep.read_flags(FLAGS.configs_dir, name)
    name = sweep.value(dense, "task_name") or name
    return sweep.SweepTask(name, (f"--task_name={name}", *data(name)), dense, flop)


def words(name):
    """Returns the flags that stand in a flag, a tuple, with the flags of a `--flagfile`.

    Args:
      name: of the flag.

    Raises:
      ValueError: if its text is not of words `--name=value`.
    """
    sentence = f"Flag `--{name}` must be of words `--name=value`, received "
    try:
        found = shlex.split(FLAGS[name].value)
    except ValueError as error:
        raise ValueError(f"{sentence}{FLAGS[name].value!r}: {error}.") from error
    if wrong := [word for word in found if not re.match(r"--\w+=", word)]:
        raise ValueError(f"{sentence}{wrong[0]!r}.")
    return tuple(flag_files.expanded(found))


def parsed(cls, name, given):
    """Returns an options class with the values of flags that stand in a flag.

    Args:
      cls: the class, see `program.define_dataclass`.
      name: of the flag.
      given: tuple of `--name=value`.

    Raises:
      ValueError: if a flag does not exist or a value is out of range.
    """
    own = flags.FlagValues()
    program.define_dataclass(cls, own)
    try:
        own([name, *given])
    except flags.Error as error:
        raise ValueError(f"Flag `--{name}` holds what is no flag there: {error}") from error
    return program.dataclass_from_flags(cls, own)


@contextlib.contextmanager
def carried_out(plan, name, shows_output=False):
    """Runs a plan in `--output_dir`; the `with` block reports on it, whatever has failed.

    Args:
      plan: list of `bert_tf.studies.sweeps.sweep.Run`.
      name: of the running program.
      shows_output: whether the programs write to the console instead of `RUN.log`.

    Raises:
      ValueError: after the block, if runs failed.
    """
    program.check_output(FLAGS.output_dir)
    folder = os.path.abspath(FLAGS.output_dir)
    # Told to end, it ends its programs, which may save first.
    program.exit_on_sigterm(name)
    runner = sweep_runner.SweepRunner(
        plan,
        folder,
        lambda run: processes.command("-m", f"flop_tools.{run.program}"),
        shows_output=shows_output,
        overwrite=FLAGS.overwrite,
    )
    with run_folder.locked(folder):
        run_folder.remove_left_overs(folder)
        failed = runner.start()
    yield
    if failed:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
        raise ValueError(f"{len(failed)} of {len(plan)} runs failed: {reasons}")
