"""The one rule for output folders.

The same command goes on where it stopped or says that it is done; a folder with
another run's files needs `overwrite`. The flags of a run are in `run.flags`.
One process at a time has a folder, by a lock that ends with the process.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import stat

from flop_tf import files

FLAGS_FILE = "run.flags"

#: Folder of a run's checkpoints, in its own.
CHECKPOINTS = "checkpoints"

# TensorFlow writes it after the first checkpoint: a folder with it holds a run that can go on.
_PROGRESS = os.path.join(CHECKPOINTS, "checkpoint")

# With which a lock file begins.
_OWNER = "process "

# Inside a folder that is aside: what it had replaced itself when it was replaced.
_OLDER = ".replaced"


@contextlib.contextmanager
def opened(folder, command, done_file=None, overwrite=False, owner=True):
    """Makes an output folder ready for a `with` block that writes to it.

    What `overwrite` replaces is moved aside and comes back if the block fails or is
    stopped before its first checkpoint; after it the new run stays, so that it can go on,
    and what is aside is kept until a run has finished. After a kill the next start does this.
    A block that fails before it has written anything leaves no folder behind.

    Args:
      folder: the output folder.
      command: the flags of the run, one a line.
      done_file: name of the file in `folder` that a run writes last; None for a command
        that is never done, and always runs again.
      overwrite: whether another run's files may go, or this one's once it is done.
      owner: False for a worker next to the one that has the folder; it only looks.

    Yields:
      Whether there is anything to do: False if the same command is done already.

    Raises:
      ValueError: if the folder holds foreign files, or another run and `overwrite` is false, or if
        another process has it.
    """
    files.check_folder(folder)
    # Of a link, what it leads to is moved aside and locked; moving the link would not make room.
    folder = os.path.realpath(folder)
    with locked(folder) if owner else contextlib.nullcontext():
        with _opened(folder, command, done_file, overwrite, owner) as to_do:
            yield to_do


@contextlib.contextmanager
def _opened(folder, command, done_file, overwrite, owner):
    if owner:
        _recover(folder, command, done_file)
    left = files.partials(folder)
    used = os.path.isdir(folder) and len(os.listdir(folder)) > len(left)
    found = command_of(folder)
    same = found == command
    done = _is_done(folder, done_file)
    if owner and (same or not used):
        remove_left_overs(folder)
    if same and done and not overwrite:
        yield False
        return
    begun_by_owner = not owner and found is None  # Who is about to say whose it is.
    if used and found is None and not begun_by_owner:
        raise ValueError(
            f"The output folder {folder!r} holds files that no run of this project has written: it "
            f"lacks {FLAGS_FILE}; choose another folder."
        )
    if used and not same and not overwrite and not begun_by_owner:
        raise ValueError(
            f"The output folder {folder!r} holds the files of another run"
            f"{_difference(found, command)}; choose another folder, or pass --overwrite to replace "
            "them."
        )
    if not owner:
        yield True
        return
    replaces = used and (not same or done)
    if replaces:
        _set_aside(folder)
    try:
        files.write_text(os.path.join(folder, FLAGS_FILE), command)
        yield True
    except BaseException:
        kept = _is_done(folder, done_file) or os.path.isfile(os.path.join(folder, _PROGRESS))
        if replaces and not kept:
            _take_back(folder)
        elif os.path.isdir(folder) and set(os.listdir(folder)) <= {FLAGS_FILE}:
            shutil.rmtree(folder)
        raise
    _delete_aside(folder)


def _recover(folder, command, done_file):
    """Ends what a killed process has begun: it takes back what is aside, or deletes it."""
    for kind in ("deleted", "replaced"):
        _check_ours(_beside(folder, kind))
    _delete(_beside(folder, "deleted"))
    if os.path.isdir(os.path.join(folder, _OLDER)):
        os.replace(os.path.join(folder, _OLDER), _beside(folder, "replaced"))
    if not os.path.isdir(_beside(folder, "replaced")):
        return
    if command_of(folder) == command and _is_done(folder, done_file):
        _delete_aside(folder)
    elif not os.path.isfile(os.path.join(folder, _PROGRESS)):
        _take_back(folder)


def _check_ours(folder):
    """Raises ValueError where a folder that a run would have left aside is of somebody else."""
    if os.path.isdir(folder) and not os.path.islink(folder):
        if not os.listdir(folder) or os.path.isfile(os.path.join(folder, FLAGS_FILE)):
            return
    if os.path.lexists(folder):
        raise ValueError(
            f"The folder {folder!r} must hold a run that was replaced, with {FLAGS_FILE}, or not "
            "exist; move what it is."
        )


def _delete(folder):
    """Deletes a folder, and last what says that it is ours: a kill may come in between."""
    if os.path.isdir(folder):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != FLAGS_FILE:
                with contextlib.suppress(OSError):
                    os.remove(entry.path)
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_overs(folder):
    """Removes what killed writers left in a folder and below; its lock must be held.

    Folders below that have a run or a lock of their own may have writers.

    Args:
      folder: its path.
    """
    for path, names, _ in os.walk(folder):
        for left in files.partials(path):
            os.remove(left)
        for interrupted in filter(_is_unowned, files.interrupted(path)):
            files.recover_folder(interrupted)
        names[:] = [name for name in names if _is_unowned(os.path.join(path, name))]


def _is_unowned(folder):
    """Returns whether a folder has neither a run nor a lock of its own."""
    own = os.path.join(folder, FLAGS_FILE), _beside(folder, "lock")
    return not any(map(os.path.lexists, own))


def _set_aside(folder):
    """Moves a folder aside, and into it what is aside already: none of them need be finished."""
    aside = _beside(folder, "replaced")
    if os.path.isdir(aside):
        os.replace(aside, os.path.join(folder, _OLDER))
    os.replace(folder, aside)


def _take_back(folder):
    """Deletes a folder for the one that was moved aside for it."""
    aside = _beside(folder, "replaced")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(aside, folder)
    if os.path.isdir(os.path.join(folder, _OLDER)):
        os.replace(os.path.join(folder, _OLDER), aside)


def _delete_aside(folder):
    """Deletes what is aside; half of it, if that is killed, must not be taken back."""
    aside, deleted = _beside(folder, "replaced"), _beside(folder, "deleted")
    if os.path.isdir(aside):
        os.replace(aside, deleted)
        _delete(deleted)


def _is_done(folder, done_file):
    return bool(done_file) and os.path.isfile(os.path.join(folder, done_file))


def delete_checkpoints(folder):
    """Deletes the checkpoints of a finished run, which nothing goes on from any more.

    Args:
      folder: of the run.
    """
    shutil.rmtree(os.path.join(folder, CHECKPOINTS), ignore_errors=True)


def command_of(folder):
    """Returns the command of the run in a folder, a flag a line; None where there is none.

    Args:
      folder: its path.

    Raises:
      ValueError: if its file is no text.
    """
    path = os.path.join(folder, FLAGS_FILE)
    return files.read_text(path, "flag file of a run") if os.path.lexists(path) else None


@contextlib.contextmanager
def locked(folder):
    """Holds the lock file next to a folder, which says whose it is, during a `with` block.

    Folders above it that are made for this go again if the block fails and leaves them empty.
    A file that is written as a whole has one, too.

    Args:
      folder: its path.

    Raises:
      ValueError: if another process holds it, what it lies in is a file, or what has the name of
        the lock file is none.
    """
    folder = os.path.abspath(folder)
    path = _beside(folder, "lock")
    with contextlib.ExitStack() as made:
        try:
            made.enter_context(files.parents(path))
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                f"The output folder {folder!r} lies in a file; choose another one."
            ) from error
        with _held(folder, path):
            yield


@contextlib.contextmanager
def _held(folder, path):
    while True:
        with _lock_file(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise ValueError(
                    f"The output folder {folder!r} is in use by {file.read() or 'a process'}; wait "
                    "until it ends, or choose another folder."
                ) from error
            # The owner before may have removed the file between the two calls above.
            if not os.path.lexists(path) or not os.path.samestat(
                os.fstat(file.fileno()), os.lstat(path)
            ):
                continue
            file.seek(0)
            if (text := file.read(len(_OWNER))) and not text.startswith(_OWNER):
                raise ValueError(
                    f"The file {path!r} must be the lock of an output folder, received another "
                    "content; move it."
                )
            try:
                file.truncate(0)
                file.write(f"{_OWNER}{os.getpid()} on {socket.gethostname()}")
                file.flush()
                yield
            finally:
                with contextlib.suppress(FileNotFoundError):  # Somebody tidied up.
                    os.remove(path)
            return


def _lock_file(path):
    """Returns the open lock file; what has its name and is no regular file is not followed."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return os.fdopen(file, "a+", encoding="utf-8", errors="replace")
        os.close(file)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
    raise ValueError(
        f"The lock file {path!r} must be a regular file or not exist; move what has its name."
    )


def _beside(folder, kind):
    return os.path.join(os.path.dirname(folder), f".{os.path.basename(folder)}.{kind}")


def _difference(found, command):
    """Returns the flags in which two runs differ, ", made without --a=1"."""
    ours, theirs = (set(text.splitlines()) for text in (command, found))
    word, flags = ("without", ours - theirs) if ours - theirs else ("with", theirs - ours)
    return f", made {word} {' '.join(sorted(flags))}"
