"""A teacher's logits, computed once for a training set and kept next to the teacher."""

import hashlib
import os

import numpy as np
from absl import logging

from bert_tf.heads.head import head_of
from bert_tf.runs import evaluation
from flop_tf import files
from flop_tf.backend import keras
from flop_tf.files import array_file


def logits(source, folder, encoded, batch_size):
    """Returns the teacher's logits for every example.

    They depend on the teacher and the data only, so they are kept in the
    teacher's folder, where it can be written to, under a hash of both, and found there by the
    next run.

    Args:
      source: the teacher, a `bert_tf.checkpoints.Source`.
      folder: its model directory.
      encoded: the `EncodedExamples` to teach.
      batch_size: examples a batch.

    Returns:
      float32 `[N, C]` of C classes, `[N, 2, T]` of a span, `[N, T, C]` of tokens, or `[N, H]` of
      an embedding.
    """
    path = os.path.join(folder, f"logits-{_fingerprint(folder, encoded)}.npy")
    if os.path.lexists(path):
        try:
            return _read(path, len(encoded), head_of(source.config))
        except ValueError as error:
            logging.warning("The teacher's logits in %s are made anew: %s", path, error)
    logging.info("Computing the logits of the teacher %s for %d examples.", folder, len(encoded))
    computed = evaluation.predict(source.model(), encoded, batch_size)
    try:
        with files.replacing(path) as aside, open(aside, "wb") as file:
            np.save(file, computed)
    except OSError as error:
        logging.warning("The teacher's logits are computed again next time: %s.", error)
    return computed


def _read(path, num_examples, head):
    """Returns the logits of a file; raises ValueError where it is damaged or of other data."""
    found = array_file.mapped(path, "file of logits")
    expected, axes = (num_examples, head.num_logits), (0, head.output_axis)
    sizes = tuple(found.shape[axis] for axis in axes if axis < found.ndim)
    if found.dtype != np.float32 or sizes != expected or not np.isfinite(found).all():
        raise ValueError(
            f"expected finite float32 numbers of {expected} examples and outputs, received "
            f"{found.dtype} {found.shape}"
        )
    return np.array(found)


def _fingerprint(folder, encoded):
    # Half precision gives other logits.
    digest = hashlib.sha256(keras.mixed_precision.global_policy().name.encode())
    for name in ("bert_config.json", "model.safetensors"):
        with open(os.path.join(folder, name), "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for part in (encoded.ids.flat_values, encoded.ids.row_splits, encoded.segments.flat_values):
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()[:16]
