"""Data sets of TensorFlow Datasets: prepared directories in place of the published files.

A file of this folder registers the data sets of its tasks and says how their rows become examples,
in an order that does not depend on the writer of TFDS, which shuffles them: so the same examples
give the same batches from either source.
"""

import dataclasses
import os
import typing

import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

from flop_tf import files
from flop_tf.registry import Registry

#: A `Dataset` for the name of each data set.
DATASETS = Registry("data set", "bert_tf.tasks")

# What a damaged file raises, depending on the file.
_DAMAGE = (OSError, ValueError, json_format.Error, tf.errors.OpError)
_DOWNLOAD_ERRORS = (
    OSError,
    tfds.download.DownloadError,
    tfds.download.download_manager.NonMatchingChecksumError,
    tfds.download.extractor.ExtractError,
)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One split of a prepared data set, a source of a `bert_tf.tasks.task.Task`.

    Args:
      dataset: name of the data set, such as "glue/sst2".
      split: as TFDS calls it, such as "validation".
    """

    dataset: str
    split: str

    @property
    def file(self):
        """What an error calls it."""
        return f"{self.dataset}/{self.split}"

    def exists(self, data_dir):
        """Whether to read this one; always, since a split has one source.

        Args:
          data_dir: folder of TensorFlow Datasets.
        """
        return True


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set of TensorFlow Datasets, registered in `DATASETS`.

    Args:
      task: name of its task, as it is published.
      prepared: function of this task; returns it with the prepared splits as its sources.
      builder: name of its builder, where that is not the name of the data set.
    """

    task: str
    prepared: typing.Callable
    builder: str = ""


def dataset_of(task):
    """Returns the name of the first data set of a task, or None.

    Args:
      task: name of the task, as it is published.
    """
    return next((name for name, one in DATASETS.items() if one.task == task), None)


def folder(data_dir=""):
    """Returns the path of the folder of TFDS.

    Args:
      data_dir: a folder; empty is TFDS' own default.
    """
    return os.path.abspath(os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR))


def download(dataset, data_dir):
    """Downloads and prepares a data set, unless it is prepared already.

    Args:
      dataset: name of TFDS, such as "glue/sst2".
      data_dir: folder of TFDS.

    Raises:
      ValueError: if the name is unknown, or the data set cannot be downloaded.
    """
    builder = _builder(dataset, data_dir)
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare()
    except _DOWNLOAD_ERRORS as error:
        raise ValueError(
            f"The data set {dataset!r} cannot be downloaded to {str(data_dir)!r}, check the "
            f"network, or copy a prepared folder there: {error}"
        ) from error


def rows(dataset, split, data_dir, names):
    """Returns a whole split, an array or dict for each feature, and the features.

    Args:
      dataset: name of TFDS.
      split: as TFDS calls it.
      data_dir: folder of TFDS.
      names: of the features that are needed.

    Raises:
      ValueError: if the data set is not prepared there, damaged or lacks one of `names`.
    """
    builder = _builder(dataset, data_dir)
    if not builder.is_prepared():
        raise ValueError(
            f"The data set {dataset!r} is not prepared in {str(data_dir)!r}; name the "
            "folder of TFDS by --tfds_data_dir, or pass --tfds_download to download it there."
        )
    features = builder.info.features
    if missing := [name for name in names if name not in features]:
        raise ValueError(
            f"The data set {dataset!r} in {str(data_dir)!r} needs the features {missing}, "
            f"it has {sorted(features)}."
        )
    try:
        return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1)), features
    except _DAMAGE as error:
        raise _damaged(dataset, builder.data_dir, error) from error


def _builder(dataset, data_dir):
    """Returns the builder of the newest version in the folder, or one that can prepare it."""
    name = DATASETS[dataset].builder or dataset
    for folder, _, names in os.walk(os.path.join(data_dir, dataset)):
        for file in names:  # TensorFlow would wait for ever for what a FIFO holds.
            files.check_regular(os.path.join(folder, file), f"file of the data set {dataset!r}")
    try:
        return tfds.builder(f"{name}:*.*.*", data_dir=data_dir)
    except _DAMAGE as error:
        raise _damaged(dataset, os.path.join(data_dir, dataset), error) from error


def _damaged(dataset, path, error):
    return ValueError(
        f"The data set {dataset!r} in {str(path)!r} is damaged, delete that folder and prepare it "
        f"anew: {error}"
    )
