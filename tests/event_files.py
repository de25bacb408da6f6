"""Reads what a run wrote for TensorBoard."""

import pathlib

import tensorflow as tf


def tags(folder):
    """Returns the values of every tag in the event files of a run's folder, by step."""
    found = {}
    for file in sorted(pathlib.Path(folder, "tensorboard").glob("events*")):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return found
