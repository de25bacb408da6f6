"""The variables that a file holds: names and shapes at once, values on demand."""

import collections.abc
import dataclasses
import glob
import math
import os
from typing import Required, TypedDict

import tensorflow as tf
from safetensors import SafetensorError, safe_open

from bert_tf.checkpoints.folder import plain_name
from flop_tf import files
from flop_tf.files import json_file

#: The one file of a folder with safetensors, or the list of its shards.
SAFETENSORS_FILE = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"


class _Index(TypedDict, total=False):
    weight_map: Required[dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Variables:
    """Named arrays, read one at a time.

    Args:
      origin: how an error names the source, such as "Checkpoint '/a/bert_model.ckpt'".
      shapes: shape of every variable by name.
      read: function of a name that returns a NumPy array.
      is_checkpoint: whether they are of a TensorFlow checkpoint.
    """

    origin: str
    shapes: dict
    read: collections.abc.Callable
    is_checkpoint: bool = False

    def renamed(self, names):
        """Returns the variables under other names.

        Args:
          names: the present name by new name; variables left out are dropped.
        """
        return Variables(
            self.origin,
            {new: self.shapes[old] for new, old in names.items()},
            lambda name: self.read(names[name]),
            self.is_checkpoint,
        )


def open_checkpoint(prefix):
    """Opens a TensorFlow checkpoint, of names (TF1) or of objects (TF2).

    Args:
      prefix: path without `.index` and `.data-00000-of-00001`.

    Returns:
      The `Variables`.

    Raises:
      ValueError: if it is damaged, now or at the reading of a variable.
    """
    origin = f"Checkpoint {prefix!r}"
    data_files = glob.glob(f"{glob.escape(prefix)}.data-*")
    for path in (f"{prefix}.index", *data_files):
        files.check_regular(path, "file of the checkpoint")
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = {name: tuple(s) for name, s in reader.get_variable_to_shape_map().items()}
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
        raise _damaged(origin, error) from error

    dtypes = reader.get_variable_to_dtype_map()
    most_bytes = sum(map(os.path.getsize, data_files))

    def read(name):
        # TensorFlow takes the memory that the index names before it looks at the data.
        if math.prod(shapes[name]) * (dtypes[name].size or 1) > most_bytes:
            raise _damaged(origin, f"its data files are too small for {name} {shapes[name]}")
        try:
            return reader.get_tensor(name)
        except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
            raise _damaged(origin, error) from error

    return Variables(origin, shapes, read, is_checkpoint=True)


def open_safetensors(folder):
    """Opens `model.safetensors` of a folder, or the shards that its index lists.

    Args:
      folder: path of the folder.

    Returns:
      The `Variables`.

    Raises:
      ValueError: if a file is missing or damaged.
    """
    origin = f"Folder {folder!r}"
    files = {name: file for file in _safetensors_files(folder) for name in file.keys()}
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in files.items()}
    return Variables(origin, shapes, lambda name: files[name].get_tensor(name))


def _safetensors_files(folder):
    whole = os.path.join(folder, SAFETENSORS_FILE)
    if os.path.lexists(whole):
        return [_open_file(whole)]
    index = os.path.join(folder, SAFETENSORS_INDEX)
    shards = set(json_file.read(index, _Index, "list of shards")["weight_map"].values())
    subject = f"The list of shards {index!r}"
    return [_open_file(os.path.join(folder, plain_name(name, subject))) for name in sorted(shards)]


def _open_file(path):
    files.check_regular(path, "file of weights")
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise _damaged(f"File {path!r}", error) from error


def _damaged(origin, error):
    reason = " ".join(str(error).split()).rstrip(".")
    return ValueError(
        f"{origin} cannot be read, because it is incomplete or damaged: {reason}; "
        "fetch or copy it again."
    )
