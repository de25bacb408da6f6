"""Files of a foreign folder, which must lie in it."""

import os

from flop_tf import files


def find(folder, name, kind="file"):
    """Returns the path of a file of a folder, or None where there is none.

    A link may lead to a file of the same name anywhere, to one of the same folder, or into `blobs`
    of the repository that the folder belongs to, as in the cache of Hugging Face:
    `snapshots/REVISION/vocab.txt` leads to `blobs/DIGEST` there. Any other could copy a file of the
    user's, such as a key, into each model that is made from the folder.

    Args:
      folder: path of the folder.
      name: of the file.
      kind: what errors call it.

    Raises:
      ValueError: if it is no regular file, or a link to one that has nothing to do with it.
    """
    path = os.path.join(folder, name)
    if not os.path.lexists(path):
        return None
    files.check_regular(path, kind)
    if os.path.islink(path):
        target, home = os.path.realpath(path), os.path.realpath(folder)
        place = os.path.dirname(target)
        of_cache = os.path.basename(place) == "blobs" and _inside(home, os.path.dirname(place))
        if not (os.path.basename(target) == name or of_cache or _inside(target, home)):
            raise ValueError(
                f"The {kind} {path!r} must not be a link to a file of another name out of its "
                f"folder, received one to {target!r}; put a copy in its place."
            )
    return path


def plain_name(name, subject):
    """Returns a name that a file of the folder gives for another file of it.

    Args:
      name: of the file that is named.
      subject: with which an error begins: "The list of shards 'x'".

    Raises:
      ValueError: if it is a path to elsewhere.
    """
    if name in ("", ".", "..") or "\0" in name or os.path.basename(name) != name:
        raise ValueError(f"{subject} must name files of its own folder, received {name!r}.")
    return name


def _inside(path, folder):
    return os.path.commonpath([path, folder]) == folder
