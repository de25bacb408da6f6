"""The file of importances: scores of units by path, and how they were measured."""

import typing

import numpy as np

from bert_tf.surgery import masks, units
from flop_tf import files
from flop_tf.files import json_file


class _Data(typing.TypedDict):
    model: str
    importance: dict[str, list[float]]


def save(path, config, importance, **provenance):
    """Writes a JSON file.

    Args:
      path: of the file.
      config: the `EncoderConfig` of the model that was measured.
      importance: dict of float arrays by path.
      **provenance: plain data: model, data, reducer, examples, ...
    """
    data = {
        "model": masks.identity(config),
        **provenance,
        "importance": {name: array.tolist() for name, array in importance.items()},
    }
    files.write_json(path, data)


def load(path, config):
    """Returns the importances of a file, a dict of float64 arrays by path, and its provenance.

    Args:
      path: of the file.
      config: the `EncoderConfig` of the model that they must fit.

    Raises:
      ValueError: if it is no such file or of another model.
    """
    data = json_file.read(path, _Data, "file of importances", "measure them by flop-find-tickets")
    importance = {n: np.asarray(v, np.float64) for n, v in data.pop("importance").items()}
    model = data.pop("model")
    if model != masks.identity(config):
        raise ValueError(
            f"The file {path!r} has importances of another model: expected "
            f"{masks.identity(config)}, received {model}; measure this one."
        )
    units.check_mask(config, importance)
    return importance, data
