"""The formats that a model is exported to; one file a kind of them, see `format.Format`."""

import importlib.util

from bert_tf.serving.formats.format import FORMATS, Format
from bert_tf.serving.formats.saved_model import SavedModel  # The default comes first in lists.
from bert_tf.serving.formats.single_file import missing_package
from flop_tf.registry import nearest

# All are found now, so that their order does not depend on who imports which of them first.
tuple(FORMATS)

__all__ = ["FORMATS", "Format", "SavedModel", "get", "of_path"]


def of_path(path):
    """Returns the `Format` of an export, or None.

    Args:
      path: path of a file or folder.
    """
    return next((form for _, form in FORMATS.items() if form.is_at(path)), None)


def get(name):
    """Returns the `Format` of a name.

    Args:
      name: str, a name in `FORMATS`.

    Raises:
      ValueError: if the name is unknown or a package that the format needs is missing.
    """
    if name not in FORMATS:
        raise ValueError(
            f"Argument `format_names` expects names of {list(FORMATS)}, received {name!r}"
            f"{nearest(name, FORMATS)}"
        )
    for package in FORMATS[name].packages:
        if importlib.util.find_spec(package) is None:
            raise missing_package(name, package)
    return FORMATS[name]
