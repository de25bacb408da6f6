"""The task of a model directory: its name, the folder of its data, the length of its inputs."""

import copy
import dataclasses

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import ranges
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.option_fields import option
from bert_tf.tasks import registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDataOptions:
    """The data of a model that knows its task; an empty field is the model's own."""

    task_name: str = option("", "Task; by default the model's.")
    data_dir: str = option("", "Folder of the task; by default the model's.")
    tfds: str = option("", "Data set of TensorFlow Datasets, instead of both.")
    max_seq_length: int = option(
        None, "Longest input in WordPieces; as in training.", allowed=ranges.SEQUENCE_LENGTH
    )

    def names_data(self, info):
        """Returns whether data and task are named, here or by a model.

        Args:
          info: `info.json` of the model directory, a dict.
        """
        return bool(self.data_dir and (self.task_name or self.tfds or "task" in info))

    def find_task(self, info, **settings):
        """Returns the task of a model and the folder of its data, see `find_task`.

        Args:
          info: `info.json` of the model directory, a dict.
          **settings: options that only one task has.
        """
        return find_task(info, self.task_name, self.data_dir, self.tfds, **settings)

    def longest(self, info, config, task):
        """Returns the length of the longest input of a model for a task, see `longest`.

        Args:
          info: `info.json` of the model directory, a dict.
          config: the model's `EncoderConfig`.
          task: the `Task`.
        """
        return longest(self.max_seq_length, info, config, task.default_seq_length)


def find_task(info, task_name="", data_dir="", tfds="", **settings):
    """Returns the task of a model and the folder of its data; what is empty is the model's own.

    Args:
      info: `info.json` of the model directory, a dict.
      task_name: name of the task, see `bert_tf.tasks.registry.get`.
      data_dir: folder of the task; with `tfds` the folder of TensorFlow Datasets.
      tfds: data set of TensorFlow Datasets.
      **settings: options that only one task has, see `bert_tf.tasks.registry.get`.

    Returns:
      `(Task, folder)`; the folder is empty where none is known.

    Raises:
      ValueError: if the arguments do not fit.
    """
    known, folder = copy.deepcopy(info.get("task", {})), data_dir or info.get("data_dir", "")
    if folder and not data_dir:
        logging.info("The data of the model's task are in %s, as its info.json says.", folder)
    given = {k: v for k, v in {"tfds": tfds, **settings}.items() if v not in (None, "")}
    if not known or task_name.lower() not in ("", known["name"].lower()):
        return registry.get(task_name, data_dir=folder, **given), folder
    registry.check_dict(known)
    if data_dir:  # The model's own data set is not in a folder that was named.
        for one in (known, *(known.get("tasks") or ())):
            one.pop("tfds", None)
    return registry.from_dict(known, **given), folder


def longest(max_seq_length, info, config, default=128):
    """Returns the length of the longest input, within the positions of a model.

    Args:
      max_seq_length: int from 1 on, or None for the length of the training.
      info: `info.json` of the model directory, a dict.
      config: the model's `EncoderConfig`.
      default: int, where `info` lacks a length. Defaults to 128.

    Raises:
      ValueError: if it is below 1.
    """
    if max_seq_length is None:
        max_seq_length = info.get("max_seq_length", default)
    ranges.check("Argument `max_seq_length`", max_seq_length, int, ranges.FROM_1)
    return min(max_seq_length, config.num_positions)


def random_features(config, length, num_batches=8, batch_size=8):
    """Returns batches of random tokens with padding, for models whose data are not at hand.

    Args:
      config: the model's `EncoderConfig`.
      length: T, the width of all batches.
      num_batches: their number.
      batch_size: B.

    Returns:
      List of dicts of int32 `[B, T]` by `INPUT_NAMES`.
    """
    generator = np.random.default_rng(0)
    batches = []
    for _ in range(num_batches):
        ids = generator.integers(0, config.vocab_size, [batch_size, length], np.int32)
        lengths = generator.integers(1, length + 1, [batch_size, 1])
        mask = (np.arange(length) < lengths).astype(np.int32)
        arrays = (ids * mask, mask, np.zeros_like(ids))
        batches.append(dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True)))
    return batches
