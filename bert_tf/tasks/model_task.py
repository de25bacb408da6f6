"""What a model directory knows of its task: which one, where its data are, how long its inputs."""

import copy

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.tasks import registry


def find_task(info, task_name="", data_dir="", tfds="", **columns):
    """Returns the task that is asked for and its folder; what is empty is that of the model.

    Args:
      info: `info.json` of the model directory.
      task_name: see `bert_tf.tasks.registry.get`; so the rest.
      data_dir: see above.
      tfds: see above.
      **columns: see above.

    Returns:
      `(Task, folder)`; the folder is empty where nobody names one.

    Raises:
      ValueError: if the arguments do not fit.
    """
    known, folder = copy.deepcopy(info.get("task", {})), data_dir or info.get("data_dir", "")
    if folder and not data_dir:
        logging.info("The data of the model's task are in %s, as its info.json says.", folder)
    given = {key: value for key, value in {"tfds": tfds, **columns}.items() if value}
    if not known or task_name.lower() not in ("", known["name"].lower()):
        return registry.get(task_name, data_dir=folder, **given), folder
    registry.check_dict(known)
    for one in (known, *(known.get("tasks") or ())):
        if data_dir:
            one.pop("tfds", None)  # The model's own is not in a folder that is asked for.
        if "quoting" in given and one["name"] == "tsv":
            one["quoting"] = given["quoting"]  # Of several tasks too.
    return registry.from_dict(known, **given), folder


def longest(max_seq_length, info, config, default=128):
    """Returns the length that is asked for, else that of the training, within the positions.

    Raises:
      ValueError: if it is below 1.
    """
    if max_seq_length is None:
        max_seq_length = info.get("max_seq_length", default)
    if max_seq_length < 1:
        raise ValueError(
            f"Argument `max_seq_length` must be at least 1, received {max_seq_length}."
        )
    return min(max_seq_length, config.num_positions)


def random_features(config, length, num_batches=8, batch_size=8):
    """Returns batches of random tokens with padding, for models whose data are not at hand.

    Args:
      config: the model's `BertConfig`.
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
