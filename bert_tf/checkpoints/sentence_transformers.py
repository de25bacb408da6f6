"""Folders of sentence-transformers: where the BERT lies in them."""

import os
from typing import Required, TypedDict

from absl import logging

from bert_tf.checkpoints.folder import find, plain_name
from bert_tf.checkpoints.variables import SAFETENSORS_FILE, SAFETENSORS_INDEX
from flop_tf.files import json_file

_MODULES_FILE = "modules.json"

# The first module of folders that have no weights at their root, and what it is called.
_FIRST_FOLDER = "0_Transformer"
_TYPES = (".Transformer", ".BERT")


class _Module(TypedDict, total=False):
    path: Required[str]
    type: Required[str]


def transformer_folder(path):
    """Returns the folder of the BERT in a folder of sentence-transformers, else `path`.

    What comes after the BERT, a pooling over its tokens first, is no part of it.

    Args:
      path: of a folder, or anything else.

    Raises:
      ValueError: if the list of modules does not begin with a Transformer of the folder.
    """
    modules = find(path, _MODULES_FILE) if os.path.isdir(path) else None
    if modules is not None:
        inside = _first_path(modules)
    elif _lies_in(path, _FIRST_FOLDER) and not (
        _lies_in(path, SAFETENSORS_FILE) or _lies_in(path, SAFETENSORS_INDEX)
    ):
        inside = _FIRST_FOLDER
    else:
        return path
    logging.info("The BERT of %s is read alone, without the pooling over its tokens.", path)
    return os.path.join(path, inside) if inside else path


def _first_path(modules):
    found = json_file.read(modules, list[_Module], "list of modules")
    if not found or not found[0]["type"].endswith(_TYPES):
        raise ValueError(
            f"The list of modules {modules!r} must begin with a Transformer, received "
            f"{[module['type'] for module in found]}."
        )
    path = found[0]["path"]
    return path and plain_name(path, f"The list of modules {modules!r}")


def _lies_in(path, name):
    return os.path.lexists(os.path.join(path, name))
