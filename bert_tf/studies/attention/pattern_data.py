"""Attention maps and their labels: files, and inputs of the pattern classifier."""

import os

import numpy as np

from flop_tf.files import array_file, text_files

#: All labels of the raw form that contain this word are one class.
VERTICAL = "vertical"

# Names of the raw form are padded to this width.
_NAME_WIDTH = 4

_ARRAY, _KIND = ".npy", "file of maps"
# The largest size of the maps of a compressed file.
_MOST_BYTES = 2**31


def read_labels(path):
    """Reads the labels of maps, in either form.

    The raw form has a line `label = name,name,...` for each label, whose names are padded with
    zeros to 4 characters unless they have an underscore, and whose labels with "vertical" in them
    become one, `VERTICAL`. The normed form, `.tsv`, has a line of name, tab and label for each map.

    Args:
      path: the file; in the normed form it ends in `.tsv`.

    Returns:
      Dict of the label by the map's name.

    Raises:
      ValueError: if the file is missing, is not text, is empty, has a line of another form or
        labels a map twice.
    """
    parse = _normed if str(path).endswith(".tsv") else _raw
    labels = {}
    for number, line in enumerate(text_files.iterate_lines(path, "file of labels"), 1):
        for name, label in parse(path, number, line) if line.strip() else ():
            if name in labels:
                raise ValueError(
                    f"The labels {str(path)!r} must name each map once, received {name!r} again in "
                    f"line {number}."
                )
            labels[name] = label
    if not labels:
        raise ValueError(f"The labels {str(path)!r} must have at least one line, received none.")
    return labels


def read_maps(path):
    """Reads maps: a folder of `NAME.npy`, or an `.npz` with an array for each name.

    Args:
      path: the folder or file.

    Returns:
      Dict of float32 `[T, T]` by name, of various T.

    Raises:
      ValueError: if there is nothing to read or an array is no map.
    """
    if os.path.isdir(path):
        names = sorted(name for name in os.listdir(path) if name.endswith(_ARRAY))
        paths = {name.removesuffix(_ARRAY): os.path.join(path, name) for name in names}
        arrays = ((name, array_file.mapped(file, _KIND)) for name, file in paths.items())
    else:
        arrays = array_file.archive(path, _KIND, _MOST_BYTES)
    maps = {name: _map(name, array) for name, array in arrays}
    if not maps:
        raise ValueError(f"The maps {str(path)!r} must be .npy files, received none.")
    return maps


def labelled(maps, labels):
    """Puts maps and labels together; maps without a label are left out.

    Args:
      maps: dict of `[T, T]` by name.
      labels: dict of the label by name.

    Returns:
      A list of maps and a list of labels, in the order of `labels`.

    Raises:
      ValueError: if a label is of no map.
    """
    unknown = sorted(set(labels) - set(maps))
    if unknown:
        raise ValueError(
            f"Argument `labels` must name maps that are there, received {len(unknown)} unknown "
            f"names, such as {unknown[:3]}."
        )
    return [maps[name] for name in labels], list(labels.values())


def centered(maps, size):
    """Returns maps of one size: zeros around smaller ones, larger ones cut.

    Where the zeros are odd in number, the additional row and column are at the end. Rows and
    columns are cut at the end too, so that `[CLS]` stays the first token.

    Args:
      maps: list of N arrays `[T, T]`, of various T.
      size: S, at least 1.

    Returns:
      The maps, float32 `[N, S, S, 1]`.
    """
    outputs = np.zeros([len(maps), size, size, 1], np.float32)
    for output, each in zip(outputs, maps, strict=True):
        kept = min(size, len(each))
        first = (size - kept) // 2
        output[first : first + kept, first : first + kept, 0] = each[:kept, :kept]
    return outputs


def _raw(path, number, line):
    label, equals, names = (part.strip() for part in line.partition("="))
    names = [name.strip() for name in names.split(",")]
    if not (equals and label and all(names)):
        raise ValueError(
            f"The labels {str(path)!r} need lines 'label = name,name,...', received {line!r} in "
            f"line {number}."
        )
    label = VERTICAL if VERTICAL in label.lower() else label
    return [(n if "_" in n else n.rjust(_NAME_WIDTH, "0"), label) for n in names]


def _normed(path, number, line):
    parts = [part.strip() for part in line.split("\t")]
    if len(parts) != 2 or not all(parts):
        raise ValueError(
            f"The labels {str(path)!r} need lines of a name, a tab and a label, received {line!r} "
            f"in line {number}."
        )
    return [tuple(parts)]


def _map(name, array):
    is_number = array.dtype.kind in "fiu"
    if not is_number or array.ndim != 2 or len(set(array.shape)) != 1 or not array.size:
        raise ValueError(
            f"The map {name!r} must be a square of numbers, received {array.dtype} "
            f"{list(array.shape)}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"The map {name!r} must be finite, received NaN or infinity.")
    return array.astype(np.float32)
