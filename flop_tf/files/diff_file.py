"""The file of a difference to a base model: where it is, what it is, and what goes with it.

A `tensor_file` that holds `positions`, the gaps between the positions of all tensors laid one after
the other, 7 bits a byte with the highest bit where more follow (LEB128); `values`, float32 or
float16; `weights`, the values that fine-tuning starts from, where they are others; and each tensor
that the base lacks, such as the task head, whole, as `dense.NAME`. Its header has the fingerprint
of the base, shapes, counts and info. At .5 % of a model an entry takes about 5.5 bytes in float32.
"""

import dataclasses
import math
import typing

import numpy as np

from flop_tf.files import json_file, tensor_file

#: Types of stored values.
DTYPES = ("float32", "float16")

_FILE = tensor_file.TensorFile(kind="a difference", key="flop_tf.diff", version=1)
_DENSE = "dense."

# Bytes of a gap of 63 bits, and far more parameters than a model has.
_LONGEST_GAP = 9
_MOST_PARAMETERS = 2**40


class _Header(typing.TypedDict):
    base: str
    shapes: dict[str, list[json_file.Count]]
    counts: dict[str, json_file.Count]
    info: json_file.Object


@dataclasses.dataclass(frozen=True)
class Diff:
    """A difference to a base model.

    >>> diff = Diff("", {"k": [2, 2]}, {"k": np.array([1])}, {"k": np.float32([0.5])}, {})
    >>> diff.num_entries, diff.num_parameters, diff.density
    (1, 4, 0.25)

    Attributes:
      base: `tensor_file.fingerprint` of the weights that it belongs to.
      shapes: dict of the shapes of these weights by name, in the order of their positions.
      positions: dict of ascending flat positions, int64 `[K]`, by name of every one of `shapes`.
      values: dict of theta - p0 there, float32 `[K]`.
      dense: dict of arrays that the base lacks, by name.
      weights: dict as `values` of what fine-tuning starts from, or None where it is the same.
      info: plain JSON data: task, scores, how it was made.
    """

    base: str
    shapes: dict
    positions: dict
    values: dict
    dense: dict
    weights: dict | None = None
    info: dict = dataclasses.field(default_factory=dict)

    @property
    def num_entries(self):
        """K, the entries of all tensors."""
        return sum(map(len, self.positions.values()))

    @property
    def num_parameters(self):
        """How many weights the base has."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def density(self):
        """Share of the base's weights that differ."""
        return self.num_entries / self.num_parameters


def apply(diff, weights, path="the difference"):
    """Returns the weights of a base with a difference added to it, and what it stores whole.

    Args:
      diff: a `Diff`.
      weights: dict of float32 arrays by name; it stays as it is.
      path: of the file, for errors.

    Returns:
      Dict of arrays; those without any entry are the same objects.

    Raises:
      ValueError: if the weights are not the weights of the base.
    """
    check_base(diff, weights, path)
    if both := sorted(diff.dense.keys() & weights.keys()):
        raise ValueError(
            f"The file {str(path)!r} must store whole only what the base lacks, received "
            f"{both[0]!r}; write it anew."
        )
    applied = {**weights, **diff.dense}
    for name, positions in diff.positions.items():
        if len(positions):
            changed = weights[name].reshape(-1).copy()
            changed[positions] += diff.values[name]
            applied[name] = changed.reshape(weights[name].shape)
    return applied


def remove(diff, applied, base, path="the difference"):
    """Returns the base's weights for those with a difference, taken from the base, bit by bit.

    A difference is never subtracted: in float32 that gives other numbers.

    Args:
      diff: a `Diff`.
      applied: dict of arrays, as `apply` returns.
      base: dict of arrays of the base.
      path: of the file, for errors.

    Raises:
      ValueError: if `applied` is not the base with this difference.
    """
    expected = apply(diff, base, path)
    differing = sorted(
        name
        for name in expected.keys() | applied.keys()
        if name not in applied
        or name not in expected
        or not np.array_equal(expected[name], applied[name])
    )
    if differing:
        raise ValueError(
            f"Argument `applied` must be the base with {path!r}, but {len(differing)} of its "
            f"weights are other ones, such as {differing[0]!r}; it was trained on or belongs to "
            "another difference."
        )
    return dict(base)


def check_base(diff, weights, path):
    """Raises ValueError where weights are not the base of a difference.

    Args:
      diff: a `Diff`.
      weights: dict of the arrays of the base by name.
      path: text, of the difference, for errors.
    """
    found = tensor_file.fingerprint(weights)
    if found != diff.base:
        raise ValueError(
            f"The file {str(path)!r} has a difference to another base model: expected the "
            f"fingerprint {diff.base}, received {found}; take the base that it was made for."
        )
    if diff.shapes != {name: array.shape for name, array in weights.items()}:
        raise ValueError(
            f"The file {str(path)!r} must have the shapes of the base that it names, received "
            "other ones; write it anew."
        )


def write(path, diff, dtype="float32"):
    """Writes the file of a difference by `files.replacing`.

    Args:
      path: of the file; its folder is made where it is missing.
      diff: a `Diff`.
      dtype: of the stored values, one of `DTYPES`.

    Raises:
      ValueError: if the type is another one, or values are not finite or do not fit into it.
      OSError: if the file cannot be written; what stood at `path` is untouched.
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"Argument `dtype` must be one of {', '.join(DTYPES)}, received {dtype!r}."
        )
    arrays = {
        "positions": _encode(_flat_positions(diff)),
        "values": _joined(diff, diff.values, dtype),
        **{_DENSE + name: np.ascontiguousarray(array) for name, array in diff.dense.items()},
    }
    if diff.weights is not None:
        arrays["weights"] = _joined(diff, diff.weights, dtype)
    header = {
        "base": diff.base,
        "shapes": {name: list(shape) for name, shape in diff.shapes.items()},
        "counts": {name: len(diff.positions[name]) for name in diff.shapes},
        "info": diff.info,
    }
    _FILE.write(path, header, arrays)


def read(path):
    """Reads the file of a difference.

    Args:
      path: of the file.

    Returns:
      The `Diff`, its values as float32.

    Raises:
      ValueError: if it is no such file or is damaged.
      OSError: if it cannot be read.
    """
    path = str(path)
    header, arrays = _FILE.read(path)
    json_file.check(header, _Header, f"The header of {path!r} must be that of a difference")
    shapes = {name: tuple(shape) for name, shape in header["shapes"].items()}
    _check_arrays(path, shapes, header["counts"], arrays)
    ends = np.cumsum([header["counts"][name] for name in shapes])[:-1]
    starts = np.cumsum([0, *map(math.prod, shapes.values())])[:-1]
    parts = np.split(_decode(arrays["positions"]), ends)
    positions = {
        name: part - start for name, part, start in zip(shapes, parts, starts, strict=True)
    }
    for name, found in positions.items():
        if len(found) and not 0 <= found.min() <= found.max() < math.prod(shapes[name]):
            raise _damaged(path, f"positions of {name!r} within its shape {shapes[name]}")

    def by_name(array):
        return dict(zip(shapes, np.split(np.float32(array), ends), strict=True))

    return Diff(
        base=header["base"],
        shapes=shapes,
        positions=positions,
        values=by_name(arrays["values"]),
        dense={k.removeprefix(_DENSE): v for k, v in arrays.items() if k.startswith(_DENSE)},
        weights=by_name(arrays["weights"]) if "weights" in arrays else None,
        info=header["info"],
    )


def _check_arrays(path, shapes, counts, arrays):
    """Raises ValueError where the arrays of a file do not match its header."""
    if counts.keys() != shapes.keys():
        raise _damaged(path, "a count for each shape")
    number, size = sum(counts.values()), sum(map(math.prod, shapes.values()))
    if not number <= size <= _MOST_PARAMETERS:
        raise _damaged(path, f"at most {_MOST_PARAMETERS} parameters and entries of these")
    coded = arrays.get("positions", np.empty(0))
    ends = np.flatnonzero(coded < 128) if coded.dtype == np.uint8 and coded.ndim == 1 else coded
    longest = np.diff(ends, prepend=-1).max(initial=0)
    if len(ends) != number or longest > _LONGEST_GAP or (number and ends[-1] != len(coded) - 1):
        raise _damaged(path, f"positions of {number} entries")
    for name in ("values", *({"weights"} & arrays.keys())):
        array = arrays.get(name, np.empty(0, np.int8))
        if array.dtype.name not in DTYPES or array.shape != (number,):
            raise _damaged(path, f"{number} {name} of the type {' or '.join(DTYPES)}")
    for name, array in arrays.items():
        is_number = array.dtype == np.float32 or not name.startswith(_DENSE)
        if not (is_number and np.isfinite(array).all()):
            raise _damaged(path, f"finite float32 numbers in {name!r}")


def _damaged(path, expected):
    return ValueError(f"The file {path!r} is damaged: it must have {expected}; write it anew.")


def _flat_positions(diff):
    """Returns the positions in all tensors laid one after the other, ascending int64 `[K]`."""
    starts = np.cumsum([0, *map(math.prod, diff.shapes.values())])[:-1]
    parts = [
        np.int64(diff.positions[name]) + start
        for name, start in zip(diff.shapes, starts, strict=True)
    ]
    return np.concatenate(parts)


def _joined(diff, values, dtype):
    joined = np.concatenate([values[name] for name in diff.shapes]).astype(np.float32)
    if not np.isfinite(joined).all():
        raise ValueError(
            "A difference must have finite values, received NaN or infinity, as of a training that "
            "has diverged; take lower rates."
        )
    with np.errstate(over="ignore"):
        stored = joined.astype(dtype)
    if not np.isfinite(stored).all():
        raise ValueError(
            f"A difference stored as {dtype} must have values up to {np.finfo(dtype).max:g}, "
            f"received {np.abs(joined).max():g}; store it as float32."
        )
    return stored


def _encode(positions):
    """Returns ascending positions as gaps in LEB128, uint8."""
    gaps = np.diff(positions, prepend=-1) - 1
    lengths = 1 + sum(
        (gaps >= 1 << (7 * number)).astype(np.int64) for number in range(1, 9)
    )  # 63 bits
    ends = np.cumsum(lengths)
    coded = np.empty(ends[-1] if len(ends) else 0, np.uint8)
    for number in range(int(lengths.max(initial=0))):
        has = lengths > number
        more = (lengths[has] > number + 1).astype(np.int64) << 7
        coded[(ends - lengths)[has] + number] = (gaps[has] >> (7 * number)) & 127 | more
    return coded


def _decode(coded):
    """Returns the positions of `_encode`, int64."""
    if not len(coded):
        return np.empty(0, np.int64)
    ends = np.flatnonzero(coded < 128)
    firsts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(len(coded)) - np.repeat(firsts, ends - firsts + 1)
    gaps = np.add.reduceat((coded & 127).astype(np.int64) << (7 * places), firsts)
    return np.cumsum(gaps + 1) - 1
