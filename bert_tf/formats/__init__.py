"""The formats that a model is exported to; one file a kind of them.

A format has the methods `write(served, folder)` and `run(folder, requests)`, and the attributes
`tolerance`, the largest difference to the outputs of the source at which it is kept,
`signatures`, the functions of a `ServedModel` that it holds, and `packages`, what it needs.
"""

import importlib.util

from bert_tf.formats.litert import LiteRT
from bert_tf.formats.onnx import Onnx
from bert_tf.formats.saved_model import SavedModel

#: Formats by name.
FORMATS = {
    "saved_model": SavedModel(),
    "litert_float32": LiteRT("float32"),
    "litert_float16": LiteRT("float16"),
    "litert_int8": LiteRT("int8"),
    "onnx": Onnx(),
}


def get(name):
    """Returns a format by its name.

    Raises:
      ValueError: if there is none of that name or a package that it needs is missing.
    """
    if name not in FORMATS:
        raise ValueError(f"Argument `formats` expects names of {list(FORMATS)}, received {name!r}.")
    for package in FORMATS[name].packages:
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"The format {name!r} needs the package {package!r}, which is not installed; run "
                "pip install 'flop-tf[export]'."
            )
    return FORMATS[name]
