"""The one file format of masks: packed bits of named boolean arrays, and where they come from.

A `tensor_file` that holds for each name the bits of its array, eight to a byte, flat in C order.
Its header has method, shapes by name, fingerprint of the base model, and provenance. Equal masks
make equal files, of 1 bit a weight and some 100 bytes a name.
"""

import dataclasses
import json
import math
import typing

import numpy as np

from flop_tf.files import json_file
from flop_tf.files.tensor_file import TensorFile


class _Header(typing.TypedDict):
    method: str
    base: str
    shapes: dict[str, list[json_file.Count]]
    provenance: json_file.Object


_FILE = TensorFile(kind="a mask file", key="flop_tf.masks", version=1)


@dataclasses.dataclass(frozen=True)
class SavedMasks:
    """What a mask file holds.

    >>> saved = SavedMasks({"k": np.array([True, False])}, method="mine", base="", provenance={})
    >>> saved.masks["k"].tolist()
    [True, False]

    Attributes:
      masks: dict of boolean arrays by name, True for what is kept.
      method: name of what made them.
      base: `tensor_file.fingerprint` of the model that they belong to.
      provenance: plain JSON data.
    """

    masks: dict
    method: str
    base: str
    provenance: dict


def write(path, masks, method, base, provenance=None):
    """Writes a mask file by `files.replacing`, so that `path` is the old or the new, never half.

    Args:
      path: of the file; its folder is made where it is missing.
      masks: dict of boolean arrays of any shape by name, True for what is kept.
      method: name of what made them.
      base: `tensor_file.fingerprint` of the model that they belong to.
      provenance: dict of plain JSON data: data, seed, levels, ... Defaults to an empty one.

    Raises:
      ValueError: if a mask is not boolean or the provenance is no JSON data.
      OSError: if the file cannot be written; what stood at `path` is untouched.
    """
    masks = {name: np.asarray(mask) for name, mask in masks.items()}
    for name, mask in masks.items():
        if mask.dtype != bool:
            raise ValueError(
                f"Argument `masks` must have boolean arrays, received {mask.dtype} for {name!r}."
            )
    header = {
        "method": method,
        "base": base,
        "shapes": {name: list(mask.shape) for name, mask in sorted(masks.items())},
        "provenance": _checked_provenance({} if provenance is None else provenance),
    }
    _FILE.write(path, header, {name: np.packbits(mask) for name, mask in masks.items()})


def read(path, base=None, shapes=None):
    """Reads a mask file.

    Args:
      path: of the file.
      base: `tensor_file.fingerprint` of the model that the masks are for; None takes any.
      shapes: dict of the shapes by name that are expected; None takes any.

    Returns:
      The `SavedMasks`.

    Raises:
      ValueError: if it is no mask file, is damaged, belongs to another model, or has other names
        or shapes.
      OSError: if it cannot be read.
    """
    path = str(path)
    header, bits = _FILE.read(path)
    json_file.check(header, _Header, f"The header of {path!r} must be that of a mask file")
    if base is not None and header["base"] != base:
        raise ValueError(
            f"The file {path!r} has masks of another model: expected the fingerprint {base}, "
            f"received {header['base']}; take the model that they were made for or make new ones."
        )
    found = {name: tuple(shape) for name, shape in header["shapes"].items()}
    if shapes is not None:
        _check_shapes(path, {name: tuple(shape) for name, shape in shapes.items()}, found)
    for name in found.keys() | bits.keys():
        _check_bits(path, name, found.get(name), bits.get(name))
    masks = {
        name: np.unpackbits(bits[name], count=math.prod(shape)).view(bool).reshape(shape)
        for name, shape in found.items()
    }
    return SavedMasks(masks, header["method"], header["base"], header["provenance"])


def _check_bits(path, name, shape, bits):
    """Raises ValueError where a mask has more or fewer bits than its shape."""
    expected = None if shape is None else (-(-math.prod(shape) // 8),)
    if bits is None or bits.dtype != np.uint8 or bits.shape != expected:
        received = "none" if bits is None else f"{bits.dtype} {list(bits.shape)}"
        raise ValueError(
            f"The file {path!r} is damaged: a mask {name!r} of shape {shape} must have the bytes "
            f"{expected}, received {received}; write it anew."
        )


def _checked_provenance(provenance):
    try:
        same = json.loads(json.dumps(provenance, allow_nan=False)) == provenance
    except (TypeError, ValueError):
        same = False
    if not same or not isinstance(provenance, dict):
        raise ValueError(
            "Argument `provenance` must be a dict that JSON gives back as it is, received "
            f"{provenance!r}."
        )
    return provenance


def _check_shapes(path, expected, found):
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if differing:
        name = differing[0]
        raise ValueError(
            f"The file {path!r} has masks of other names or shapes: expected "
            f"{expected.get(name, 'no mask')} for {name!r}, received {found.get(name, 'no mask')}, "
            f"{len(differing)} in all differ; take masks of this model or make new ones."
        )
