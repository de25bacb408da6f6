"""The folders that hold a file, such as the folders of finished runs."""

import os


def holding(folder, name):
    """Yields the folders at and below `folder` that hold a file; hidden ones are left out.

    Args:
      folder: path where the search begins.
      name: of the file; a folder of that name counts too, it is a damaged file.
    """
    for path, folders, names in os.walk(folder):
        if name in (*folders, *names):
            yield path
        folders[:] = sorted(each for each in folders if not each.startswith("."))
