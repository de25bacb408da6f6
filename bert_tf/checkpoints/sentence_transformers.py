"""Folders of sentence-transformers: a Transformer, a pooling over its tokens, and what follows.

| file | holds |
|---|---|
| `modules.json` | the modules in the order of the computation, each with its folder |
| `1_Pooling/config.json` | what an embedding is of its tokens |
| `sentence_bert_config.json`, next to the Transformer | the longest text in tokens |
| `config_sentence_transformers.json` | a text that is put before each text |
"""

import dataclasses
import os
from typing import Required, TypedDict

from absl import logging

from bert_tf.checkpoints.folder import find, plain_name
from bert_tf.checkpoints.variables import SAFETENSORS_FILE, SAFETENSORS_INDEX
from bert_tf.heads.head import with_changes
from bert_tf.models.weight_paths import in_encoder
from flop_tf import files
from flop_tf.files import json_file

_MODULES_FILE = "modules.json"
_SENTENCES_FILE = "sentence_bert_config.json"
_PROMPTS_FILE = "config_sentence_transformers.json"

# The first module of folders that have no weights at their root, and what it is called.
_FIRST_FOLDER = "0_Transformer"
_TYPES = (".Transformer", ".BERT")

# What may follow, by the last part of its type.
_POOLING, _NORMALIZE = "Pooling", "Normalize"
_PACKAGE = "sentence_transformers.models."

# Our poolings by the keys of older versions, each true or false; newer ones have one key.
_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
_START = "pooling_mode_"
_ENDINGS = ("_tokens", "_token")
_WIDTHS = ("word_embedding_dimension", "embedding_dimension")


class _Module(TypedDict, total=False):
    path: Required[str]
    type: Required[str]


class _Pooling(TypedDict, total=False):
    word_embedding_dimension: json_file.Size
    embedding_dimension: json_file.Size
    pooling_mode: str


class _Sentences(TypedDict, total=False):
    max_seq_length: json_file.Size | None


class _Prompts(TypedDict, total=False):
    default_prompt_name: str | None


def transformer_folder(path):
    """Returns the folder of the Transformer in a folder of sentence-transformers, else `path`.

    Args:
      path: of a folder, or anything else.

    Raises:
      ValueError: if the list of modules does not begin with a Transformer of the folder.
    """
    if modules := _modules(path):
        inside = _place(path, modules[0])
    elif _lies_in(path, _FIRST_FOLDER) and not (
        _lies_in(path, SAFETENSORS_FILE) or _lies_in(path, SAFETENSORS_INDEX)
    ):
        logging.info("The BERT of %s is read alone: it has no list of modules.", path)
        inside = _FIRST_FOLDER
    else:
        return path
    return os.path.join(path, inside) if inside else path


def with_pooling(path, source):
    """Returns a `Source` whose head is the pooling that a folder of sentence-transformers says.

    Args:
      path: of the folder, or anything else.
      source: the `bert_tf.checkpoints.Source` of its Transformer.

    Raises:
      ValueError: if a module is no pooling or normalization, or the pooling is none of ours.
    """
    first, *modules = _modules(path) or [None]
    if not modules:
        return source
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds[0] != _POOLING or set(kinds[1:]) - {_NORMALIZE}:
        listed = [module["type"] for module in modules]
        raise ValueError(
            f"The list of modules {_listing_file(path)!r} must have a Pooling after the "
            f"Transformer and at most a Normalize after it, received {listed}; name the file of "
            "the weights to read the Transformer alone."
        )
    most = source.config.num_positions
    length = min(most, _longest(os.path.join(path, _place(path, first))) or most)
    fields = {"pooling": _pooling(path, modules[0], source.config), "normalized": len(kinds) > 1}
    _check_prompts(path)
    return dataclasses.replace(
        source,
        config=with_changes(source.config, head="embedding", num_labels=1, **fields),
        weights={name: one for name, one in source.weights.items() if in_encoder(name)},
        labels=None,
        missing_head="",
        info={**source.info, "max_seq_length": length},
    )


def write(folder, config, max_seq_length):
    """Writes the files that make a folder with a Transformer one of sentence-transformers.

    Args:
      folder: path of the folder.
      config: an `EncoderConfig` with the head "embedding".
      max_seq_length: the longest text in tokens.

    Raises:
      OSError: if a file cannot be written.
    """
    names = ["Transformer", _POOLING, *([_NORMALIZE] if config.normalized else [])]
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": f"{index}_{name}" if index else "",
            "type": _PACKAGE + name,
        }
        for index, name in enumerate(names)
    ]
    modes = {key: kind == config.pooling for key, kind in _MODES.items()}
    pooling = {_WIDTHS[0]: config.hidden_size, **modes}
    files.write_json(os.path.join(folder, _MODULES_FILE), modules)
    files.write_json(os.path.join(folder, modules[1]["path"], "config.json"), pooling)
    if config.normalized:
        os.makedirs(os.path.join(folder, modules[2]["path"]), exist_ok=True)
    settings = {"max_seq_length": max_seq_length, "do_lower_case": False}
    files.write_json(os.path.join(folder, _SENTENCES_FILE), settings)


def _listing_file(path):
    return os.path.join(path, _MODULES_FILE)


def _modules(path):
    """Returns the modules of a folder, the first one a Transformer; None without a list of them."""
    listing = find(path, _MODULES_FILE) if os.path.isdir(path) else None
    if listing is None:
        return None
    found = json_file.read(listing, list[_Module], "list of modules")
    if not found or not found[0]["type"].endswith(_TYPES):
        raise ValueError(
            f"The list of modules {listing!r} must begin with a Transformer, received "
            f"{[module['type'] for module in found]}."
        )
    return found


def _place(path, module):
    """Returns the name of a module's folder; "" is the folder with the list."""
    name = module["path"]
    return name and plain_name(name, f"The list of modules {_listing_file(path)!r}")


def _pooling(path, module, config):
    """Returns the pooling of a module, one of `bert_tf.encoders.config.POOLINGS`."""
    place = os.path.join(path, _place(path, module))
    file = find(place, "config.json", "pooling config") if os.path.isdir(place) else None
    if file is None:
        raise ValueError(
            f"The list of modules {_listing_file(path)!r} names a Pooling, but {place!r} has no "
            "'config.json'; take the whole folder."
        )
    data = json_file.read(file, json_file.Object, "pooling config")
    json_file.check(data, _Pooling, f"The pooling config {file!r} must have values that fit")
    modes = [key for key, value in data.items() if key.startswith(_START) and value is True]
    modes += [data["pooling_mode"]] if "pooling_mode" in data else []
    known = [_MODES.get(mode, mode if mode in _MODES.values() else None) for mode in modes]
    if len(known) != 1 or None in known:
        raise ValueError(
            f"The pooling config {file!r} must have one mode of {list(_MODES.values())}, received "
            f"{[_plain(mode) for mode in modes]}."
        )
    for key in _WIDTHS:
        if data.get(key, config.hidden_size) != config.hidden_size:
            raise ValueError(
                f"The pooling config {file!r} must have the {key} {config.hidden_size} of its "
                f"Transformer, received {data[key]}."
            )
    return known[0]


def _plain(mode):
    """Returns the name of a pooling without what all of their keys have."""
    return next(
        (mode.removesuffix(end) for end in _ENDINGS if mode.endswith(end)), mode
    ).removeprefix(_START)


def _longest(folder):
    """Returns the longest text in tokens that a Transformer's folder says, or None."""
    file = find(folder, _SENTENCES_FILE)
    return file and json_file.read(file, _Sentences, "file").get("max_seq_length")


def _check_prompts(path):
    """Raises ValueError where each text is read with another one before it."""
    file = find(path, _PROMPTS_FILE)
    name = file and json_file.read(file, _Prompts, "file").get("default_prompt_name")
    if name:
        raise ValueError(
            f"The file {file!r} must have no default_prompt_name, for texts are read as they are, "
            f"received {name!r}; set it to null and put the prompt into the texts."
        )


def _lies_in(path, name):
    return os.path.lexists(os.path.join(path, name))
