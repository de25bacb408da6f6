"""The formats that a model is exported to; one file a kind of them.

A format has the methods

* `write(served, folder)`: makes its file or files in a folder,
* `run(folder, requests)`: answers requests to all its signatures, as a stranger would,
* `load(folder)`: returns a function of ids for use in this process,
* `files(folder)`: returns the paths of graph and weights,

and the attributes `limits`, a `bert_tf.serving.formats.limits.Limits` of how far it may be from its
source, `signatures`, the functions of a `ServedModel` that it holds, `has_texts`, whether they
answer with texts next to numbers, `file`, the one by which it is known, and `packages`, what it
needs.
"""

import importlib.util
import os

from bert_tf.serving.formats.litert import LiteRT
from bert_tf.serving.formats.onnx import Onnx
from bert_tf.serving.formats.saved_model import SavedModel
from bert_tf.serving.formats.single_file import missing_package

#: Formats by name.
FORMATS = {
    "saved_model": SavedModel(),
    "litert_float32": LiteRT("float32"),
    "litert_float16": LiteRT("float16"),
    "litert_int8": LiteRT("int8"),
    "onnx": Onnx(),
}


def of_file(path):
    """Returns the name of the format that a file or a folder is of, or None."""
    for name, form in FORMATS.items():
        if os.path.basename(path) == form.file:
            return name
    return "saved_model" if os.path.isfile(os.path.join(path, SavedModel.file)) else None


def get(name):
    """Returns a format by its name.

    Raises:
      ValueError: if there is none of that name or a package that it needs is missing.
    """
    if name not in FORMATS:
        raise ValueError(
            f"Argument `format_names` expects names of {list(FORMATS)}, received {name!r}."
        )
    for package in FORMATS[name].packages:
        if importlib.util.find_spec(package) is None:
            raise missing_package(name, package)
    return FORMATS[name]
