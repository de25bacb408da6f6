"""Files that are written aside and renamed: a crash leaves the old or the new, never half."""

import contextlib
import glob
import json
import os
import shutil
import tempfile
import uuid

_UMASK = os.umask(0o022)
os.umask(_UMASK)
# Of new files, as `open` makes them.
_MODE = 0o666 & ~_UMASK


@contextlib.contextmanager
def replacing(path):
    """Yields a path to write to; on success that file takes the place of `path`.

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
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(aside)


def partials(folder):
    """Returns the files of `replacing` in a folder; those of no writer were left by killed ones."""
    return glob.glob(os.path.join(glob.escape(folder), ".*.partial-" + "[0-9a-f]" * 8))


def write_text(path, text):
    """Writes a UTF-8 text file by `replacing`."""
    with replacing(path) as aside, open(aside, "w", encoding="utf-8") as file:
        file.write(text)


def write_bytes(path, data):
    """Writes bytes to a file, see `replacing`."""
    with replacing(path) as aside, open(aside, "wb") as file:
        file.write(data)


def write_json(path, data):
    """Writes a JSON file by `replacing`, in the order of `data`."""
    write_text(path, json.dumps(data, indent=2) + "\n")


@contextlib.contextmanager
def replacing_folder(path):
    """Yields a new empty folder to write to; on success it takes the place of `path`.

    Raises:
      OSError: if the folder cannot be written; what stood at `path` is untouched.
    """
    path = os.path.abspath(path)
    parent = os.path.dirname(path)
    made = [parent]
    while not os.path.exists(made[-1]):
        made.append(os.path.dirname(made[-1]))
    os.makedirs(parent, exist_ok=True)
    aside = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}.partial-", dir=parent)
    try:
        yield aside
        os.chmod(aside, 0o755)
        replaced = None
        if os.path.exists(path):
            replaced = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}.replaced-", dir=parent)
            os.replace(path, os.path.join(replaced, "old"))
        try:
            os.replace(aside, path)
        except OSError:
            if replaced is not None:
                os.replace(os.path.join(replaced, "old"), path)
                os.rmdir(replaced)
            raise
        if replaced is not None:
            shutil.rmtree(replaced)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        with contextlib.suppress(OSError):  # Others may use them by now.
            for folder in made[:-1]:
                os.rmdir(folder)
        raise
