"""Files of named arrays with their kind, and a digest that shows whether they are whole.

A safetensors file whose metadata has one entry, a JSON object: the version, the header
of this kind of file, and a SHA-256 of both and of the arrays.
"""

import dataclasses
import hashlib
import json

import numpy as np
import safetensors
import safetensors.numpy

from flop_tf import files
from flop_tf.files import json_file


@dataclasses.dataclass(frozen=True)
class TensorFile:
    """A kind of file.

    >>> import tempfile
    >>> kind = TensorFile(kind="a file of scores", key="my.scores", version=1)
    >>> path = tempfile.mkdtemp() + "/scores.safetensors"
    >>> kind.write(path, {"step": 3}, {"score": np.ones(2)})
    >>> header, arrays = kind.read(path)
    >>> header["step"], arrays["score"].tolist()
    (3, [1.0, 1.0])

    Attributes:
      kind: what it is, for errors: "a mask file".
      key: name of the entry of its metadata.
      version: int, of its format.
    """

    kind: str
    key: str
    version: int

    def write(self, path, header, arrays):
        """Writes a file by `files.replacing`; the same content makes the same file.

        Args:
          path: of the file; its folder is made where it is missing.
          header: dict of plain JSON data.
          arrays: dict of arrays by name.

        Raises:
          OSError: if the file cannot be written; what stood at `path` is untouched.
        """
        header = {"version": self.version, **header}
        header["sha256"] = _digest(header, arrays)
        # One entry only: safetensors writes several in an order that changes.
        metadata = {self.key: json.dumps(header, allow_nan=False)}
        files.write_bytes(path, safetensors.numpy.save(arrays, metadata))

    def read(self, path):
        """Returns the header and the arrays of a file that is whole.

        Args:
          path: of the file, a string.

        Raises:
          ValueError: if it is a file of another kind or version, or is damaged.
          OSError: if it cannot be read.
        """
        files.check_regular(path)
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {k: file.get_tensor(k) for k in file.keys() if self.key in metadata}
        except (safetensors.SafetensorError, TypeError) as error:  # Types that NumPy lacks.
            raise ValueError(
                f"The file {path!r} must be {self.kind}, received a damaged or another file: "
                f"{error}; write it anew."
            ) from error
        if self.key not in metadata:
            raise ValueError(
                f"The file {path!r} must be {self.kind} with metadata {self.key!r}, received a "
                f"safetensors file with metadata {sorted(metadata)}; name {self.kind}."
            )
        header = json_file.parse(
            metadata[self.key], json_file.Object, f"The header of {path!r}", "write it anew"
        )
        if header.get("version") != self.version:
            raise ValueError(
                f"The file {path!r} must be {self.kind} of version {self.version}, received "
                f"version {header.get('version')}; read it with the release that wrote it."
            )
        expected = header.pop("sha256", None)
        if _digest(header, arrays) != expected:
            raise ValueError(
                f"The file {path!r} is damaged: expected the SHA-256 {expected}, received another "
                "content; write it anew."
            )
        return header, arrays


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


def _digest(header, arrays):
    text = json.dumps([header, fingerprint(arrays)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
