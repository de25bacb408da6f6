"""How well a model does on the text to evaluate on: its masked words, its distance to a teacher."""

import numpy as np
import tensorflow as tf

from bert_tf.data import batching, masking
from bert_tf.runs import evaluation


def score(model, data, loss, batch_size, num_blocks=0):
    """Returns the scores of a model, a dict.

    `eval_loss` and what follows from it are there if the BERT has a head, `distance` if the loss
    has a teacher: the mean over blocks, of the original words.

    Args:
      model: a BERT with the head of masked language modelling.
      data: `SearchData`.
      loss: the `MaskLoss` of the search.
      batch_size: int, blocks a batch.
      num_blocks: scores at most so many; 0 is all.
    """
    (encoded,) = data.text.splits.values()
    if num_blocks:
        encoded = encoded.take(np.arange(min(num_blocks, len(encoded))))
    found = {}
    if data.has_head:
        found |= data.task.score(evaluation.predict(model, encoded, batch_size), encoded)
    if loss.teacher is not None:
        found["distance"] = _mean_distance(model, loss, encoded, batch_size)
    return found


def _mean_distance(model, loss, encoded, batch_size):
    dataset = batching.evaluation_dataset(encoded, batch_size)
    distance = tf.function(lambda features: loss.distance(model, masking.restored(features)))
    sums = [(float(distance(f)), len(index)) for f, _, index in dataset]
    return sum(value * rows for value, rows in sums) / sum(rows for _, rows in sums)
