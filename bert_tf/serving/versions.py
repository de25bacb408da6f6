"""Versions of an export: folders `OUTPUT/VERSION`, each written once, whole or not at all."""

import contextlib
import os

from absl import logging

from bert_tf.runs import run_folder
from flop_tf import files

#: In a version, what it was made of and how far it is from that.
REPORT_FILE = os.path.join("assets.extra", "export.json")


def folder(output_dir, version):
    """Returns the folder of a version, an int from 1 on.

    Raises:
      ValueError: if there is no folder's name or no such version.
    """
    if not output_dir:
        raise ValueError("Argument `output_dir` must name a folder, received none.")
    if version < 1:
        raise ValueError(f"Argument `version` must be at least 1, received {version}.")
    return os.path.join(os.path.abspath(output_dir), str(version))


@contextlib.contextmanager
def opened(path, flags, overwrite, sources):
    """Locks a version for a `with` block, by the rule of output folders.

    Args:
      path: of `folder`.
      flags: the command, a flag a line; that of another version differs, "" is never the same.
      overwrite: whether a version that exists is replaced.
      sources: paths that are read, and must not be replaced.

    Yields:
      Whether there is anything to do: False if the same command has written the version already.

    Raises:
      ValueError: if another process writes it, it is of another command, or no export.
    """
    with _locked(path):
        done = flags and run_folder.command_of(path) == flags and _is_export(path)
        if done and not overwrite:
            logging.info("%s is already done; pass --overwrite to export it again.", path)
            yield False
        else:
            _check(path, overwrite, sources)
            yield True


@contextlib.contextmanager
def _locked(path):
    """Locks a version and removes what killed exports have left next to it."""
    with files.parents(path):
        for other in files.interrupted(os.path.dirname(path)):
            if os.path.basename(other).isdigit():
                # A live export has the lock.
                with contextlib.suppress(ValueError), run_folder.locked(other):
                    files.recover_folder(other)
        with run_folder.locked(path):
            yield


def _check(path, overwrite, sources):
    """Raises ValueError where a version must not be written."""
    if os.path.exists(path) and not overwrite:
        raise ValueError(
            f"The version {path!r} exists already; choose another one by --version, or pass "
            "--overwrite to replace it."
        )
    inside = os.path.join(os.path.realpath(path), "")
    for source in filter(None, sources):
        if os.path.join(os.path.realpath(source), "").startswith(inside):
            raise ValueError(
                f"The version {path!r} would replace {source!r}; choose another --output_dir."
            )
    if os.path.exists(path) and not _is_export(path):
        if not os.path.isdir(path) or os.listdir(path):
            raise ValueError(
                f"The path {path!r} is no export and is not replaced; choose another --output_dir."
            )


def _is_export(path):
    return os.path.isfile(os.path.join(path, REPORT_FILE))
