"""The one file format of masks: packed bits of named boolean arrays, and where they come from.

A safetensors file holds for each name the bits of its array, eight to a byte, flat in C order.
The one entry of its metadata, `flop_tf.masks`, is a JSON object: version, method, shapes by
name, fingerprint of the base model, provenance, and a SHA-256 of all that. Equal masks make equal
files, of 1 bit a weight and some 100 bytes a name.
"""

import dataclasses
import hashlib
import json
import math

import numpy as np
import safetensors
import safetensors.numpy

from flop_tf import files

_KEY = "flop_tf.masks"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class SavedMasks:
    """What a mask file holds.

    Attributes:
      masks: dict of boolean arrays by name, True for what is kept.
      method: name of what made them.
      base: `fingerprint` of the model that they belong to.
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
      base: `fingerprint` of the model that they belong to.
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
        "version": _VERSION,
        "method": method,
        "base": base,
        "shapes": {name: list(mask.shape) for name, mask in sorted(masks.items())},
        "provenance": _checked_provenance({} if provenance is None else provenance),
    }
    bits = {name: np.packbits(mask) for name, mask in masks.items()}
    header["sha256"] = _digest(header, bits)
    # One entry only: safetensors writes several in an order that changes.
    metadata = {_KEY: json.dumps(header, allow_nan=False)}
    files.write_bytes(path, safetensors.numpy.save(bits, metadata))


def read(path, base=None, shapes=None):
    """Reads a mask file.

    Args:
      path: of the file.
      base: `fingerprint` of the model that the masks are for; None takes those of any.
      shapes: dict of the shapes by name that are expected; None takes any.

    Returns:
      The `SavedMasks`.

    Raises:
      ValueError: if it is no mask file, is damaged, belongs to another model, or has other names
        or shapes.
      OSError: if it cannot be read.
    """
    path = str(path)
    header, bits = _read(path)
    if base is not None and header["base"] != base:
        raise ValueError(
            f"The file {path!r} has masks of another model: expected the fingerprint {base}, "
            f"received {header['base']}; take the model that they were made for or make new ones."
        )
    found = {name: tuple(shape) for name, shape in header["shapes"].items()}
    if shapes is not None:
        _check_shapes(path, {name: tuple(shape) for name, shape in shapes.items()}, found)
    masks = {
        name: np.unpackbits(bits[name], count=math.prod(shape)).view(bool).reshape(shape)
        for name, shape in found.items()
    }
    return SavedMasks(masks, header["method"], header["base"], header["provenance"])


def fingerprint(weights):
    """Returns the identity of a model, a SHA-256 over names, types, shapes and values.

    Args:
      weights: dict of arrays by name, in any order.

    Returns:
      64 hexadecimal digits.

    Raises:
      ValueError: if an array holds Python objects.
    """
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        value = np.asarray(value)
        if value.dtype.hasobject:
            raise ValueError(
                f"Argument `weights` must have arrays of numbers, received {value.dtype} for "
                f"{name!r}."
            )
        digest.update(json.dumps([name, value.dtype.name, value.shape]).encode())
        # As bytes: not every type, as bfloat16, has a buffer that Python knows.
        digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
    return digest.hexdigest()


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


def _digest(header, bits):
    text = json.dumps([header, fingerprint(bits)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path):
    """Returns the header and the packed bits by name of a file that is whole."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            bits = {name: file.get_tensor(name) for name in file.keys() if _KEY in metadata}
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"The file {path!r} must be a mask file, received a damaged or another one: {error}; "
            "write it anew."
        ) from error
    if _KEY not in metadata:
        raise ValueError(
            f"The file {path!r} must be a mask file with metadata {_KEY!r}, received a "
            f"safetensors file with metadata {sorted(metadata)}; name one that has masks."
        )
    header = _parsed(path, metadata[_KEY])
    if header.get("version") != _VERSION:
        raise ValueError(
            f"The file {path!r} must be a mask file of version {_VERSION}, received version "
            f"{header.get('version')}; read it with the release that wrote it."
        )
    expected = header.pop("sha256", None)
    if _digest(header, bits) != expected:
        raise ValueError(
            f"The file {path!r} is damaged: expected the SHA-256 {expected}, received another "
            "content; write it anew."
        )
    return header, bits


def _parsed(path, text):
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The file {path!r} is damaged: expected a JSON object in its metadata, received "
            f"{text[:40]!r}; write it anew."
        ) from error


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
