"""Files that are written aside and renamed: a crash leaves the old or the new, never half."""

import contextlib
import glob
import json
import os
import pathlib
import re
import shutil
import stat
import tempfile
import uuid

_UMASK = os.umask(0o022)
os.umask(_UMASK)
# Of new files, as `open` makes them.
_MODE = 0o666 & ~_UMASK
# What else may lie where a file is expected.
_OTHER_FILES = {
    "a folder": stat.S_ISDIR,
    "a FIFO": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}
# Flags of a run take a few kB.
_MOST_TEXT = 2**20
# Folders next to one that is replaced: the new one, and the one with the old one in it.
_PARTIAL, _REPLACED, _OLD = "partial", "replaced", "old"


def check_regular(path, kind="file", advice=""):
    """Raises ValueError unless a path leads to a regular file.

    Opening a FIFO or a device instead would wait for ever, or never end.

    Args:
      path: of the file; links are followed.
      kind: what the error calls it, as in "The mask file 'x' does not exist".
      advice: what the reader of the error is to do.
    """
    name = f"The {kind} {os.fspath(path)!r}"
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{name} does not exist{advice and f'; {advice}'}.") from error
    except (OSError, ValueError) as error:  # A loop of links, a name that is too long or has a NUL.
        raise ValueError(f"{name} cannot be read: {error}.") from error
    if not stat.S_ISREG(mode):
        found = next((what for what, holds in _OTHER_FILES.items() if holds(mode)), "another kind")
        raise ValueError(f"{name} must be a regular file, received {found}.")


def read_text(path, kind="file"):
    """Returns the content of a text file that a person or a program of ours wrote.

    Args:
      path: of the file; UTF-8, with or without a byte order mark.
      kind: see `check_regular`.

    Raises:
      ValueError: if it is missing, no regular file, too large or no text.
      OSError: if it cannot be read.
    """
    check_regular(path, kind)
    with open(path, "rb") as file:
        data = file.read(_MOST_TEXT + 1)
    name = f"The {kind} {os.fspath(path)!r}"
    if len(data) > _MOST_TEXT:
        raise ValueError(f"{name} must have at most {_MOST_TEXT} bytes, received more.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be UTF-8 text: {error}.") from error
    if "\0" in text:
        raise ValueError(f"{name} must be text, received a NUL in it.")
    return text


def inside(folder, name, source):
    """Returns the path of what a file names in a folder.

    Args:
      folder: that it must lie in.
      name: relative path.
      source: who names it, for errors, as in "The tickets of 'x' must name ...".

    Raises:
      ValueError: if the path is absolute, or leads or may lead out of the folder.
    """
    path = pathlib.PurePath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(
            f"{source} must name what lies in the folder {os.fspath(folder)!r}, received {name!r}."
        )
    return os.path.join(folder, name)


@contextlib.contextmanager
def replacing(path):
    """Yields a path to write to; on success that file takes the place of `path`.

    Args:
      path: text or path, of the file; its folder is made where it is missing.

    Yields:
      The path to write to, a text.

    Raises:
      OSError: if the file cannot be written; what stood at `path` is untouched.
    """
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    # A name of its own: the workers of a run may write the same file at the same time.
    aside = os.path.join(folder, f".{os.path.basename(path)}.partial-{uuid.uuid4().hex[:8]}")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(aside, _MODE)  # Some libraries write for the owner alone.
        os.replace(aside, path)
    except OSError as error:
        if error.errno and error.filename is None:  # A full disk, as `write` reports it.
            error.filename = os.fspath(path)
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(aside)


def partials(folder, name=None):
    """Returns the files of `replacing` in a folder; without a writer they are left by killed ones.

    Args:
      folder: the folder.
      name: of the file that they were to become; None is any.
    """
    name = "*" if name is None else glob.escape(name)
    pattern = f".{name}.{_PARTIAL}-" + "[0-9a-f]" * 8
    return list(filter(os.path.isfile, glob.glob(os.path.join(glob.escape(folder), pattern))))


def write_text(path, text):
    """Writes a UTF-8 text file by `replacing`.

    Args:
      path: text or path, of the file; its folder is made where it is missing.
      text: its content.

    Raises:
      OSError: if the file cannot be written; what stood at `path` is untouched.
    """
    with replacing(path) as aside, open(aside, "w", encoding="utf-8") as file:
        file.write(text)


def write_bytes(path, data):
    """Writes bytes to a file, see `replacing`.

    Args:
      path: text or path, of the file; its folder is made where it is missing.
      data: bytes, its content.

    Raises:
      OSError: if the file cannot be written; what stood at `path` is untouched.
    """
    with replacing(path) as aside, open(aside, "wb") as file:
        file.write(data)


def write_json(path, data):
    """Writes a JSON file by `replacing`, in the order of `data`.

    Args:
      path: text or path, of the file; its folder is made where it is missing.
      data: plain JSON data.

    Raises:
      OSError: if the file cannot be written; what stood at `path` is untouched.
    """
    write_text(path, json.dumps(data, indent=2) + "\n")


@contextlib.contextmanager
def parents(path):
    """Makes the folders above a path for a `with` block; if it fails, new ones that are empty go.

    Args:
      path: text or path.

    Raises:
      OSError: if they cannot be made.
    """
    parent = os.path.dirname(os.path.abspath(path))
    made = [parent]
    while not os.path.exists(made[-1]):
        made.append(os.path.dirname(made[-1]))
    os.makedirs(parent, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # Others may use them by now.
            for folder in made[:-1]:
                os.rmdir(folder)
        raise


def check_folder(path):
    """Raises ValueError where the name of an output folder is empty or names a file.

    Args:
      path: text or path, of an output folder.
    """
    if not os.fspath(path):
        raise ValueError("An output folder is needed, received an empty name; choose one.")
    if os.path.lexists(path) and not os.path.isdir(path):
        raise ValueError(f"The output folder {os.fspath(path)!r} is a file; choose another one.")


def is_at_or_below(path, folder):
    """Returns whether a path is a folder or lies in it, wherever links lead.

    Args:
      path: text or path.
      folder: text or path.
    """
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder


@contextlib.contextmanager
def replacing_folder(path):
    """Yields a new empty folder to write to; on success it takes the place of `path`.

    Args:
      path: text or path, of the folder.

    Yields:
      The path of the new folder, a text.

    Raises:
      ValueError: if `path` is empty, a file, or the current folder or above it.
      OSError: if the folder cannot be written; what stood at `path` is untouched.
    """
    check_folder(path)
    path = os.path.abspath(path)
    if is_at_or_below(os.getcwd(), path):
        raise ValueError(
            f"The output folder {path!r} is the current folder or above it; choose another one."
        )
    with parents(path):
        aside = _beside(path, _PARTIAL)
        try:
            yield aside
            os.chmod(aside, 0o755)
            _replace_folder(aside, path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def interrupted(parent):
    """Returns the paths in a folder whose `replacing_folder` still runs or was killed.

    Args:
      parent: text or path, of the folder to search.

    Returns:
      A sorted list of texts.
    """
    pattern = re.compile(rf"\.(.+)\.(?:{_PARTIAL}|{_REPLACED})-\w{{8}}")
    matches = filter(None, map(pattern.fullmatch, os.listdir(parent)))
    return sorted({os.path.join(parent, match[1]) for match in matches})


def recover_folder(path):
    """Ends what killed processes have begun by `replacing_folder`; nobody else may write there.

    Args:
      path: text or path, of the folder that was being replaced.
    """
    for folder in _left_beside(path, _REPLACED):
        if not os.path.exists(path) and os.path.exists(os.path.join(folder, _OLD)):
            os.replace(os.path.join(folder, _OLD), path)
        if set(os.listdir(folder)) <= {_OLD}:
            shutil.rmtree(folder)
    for folder in _left_beside(path, _PARTIAL):
        shutil.rmtree(folder)


def _left_beside(path, kind):
    """Returns the folders next to a path that have a name of `_beside`; others are not ours."""
    parent, name = os.path.split(path)
    names = glob.escape(f".{name}.{kind}-") + "[a-z0-9_]" * 8
    found = glob.glob(os.path.join(glob.escape(parent), names))
    return [folder for folder in found if os.path.isdir(folder) and not os.path.islink(folder)]


def _beside(path, kind):
    parent, name = os.path.split(path)
    return tempfile.mkdtemp(prefix=f".{name}.{kind}-", dir=parent)


def _replace_folder(aside, path):
    if not os.path.exists(path):
        os.replace(aside, path)
        return
    replaced = _beside(path, _REPLACED)
    os.replace(path, os.path.join(replaced, _OLD))
    try:
        os.replace(aside, path)
    except OSError:
        os.replace(os.path.join(replaced, _OLD), path)
        os.rmdir(replaced)
        raise
    shutil.rmtree(replaced)
