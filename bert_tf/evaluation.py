"""Logits of whole data sets, and the scores made from them."""

import numpy as np

from bert_tf import batching


def predict(model, encoded, batch_size):
    """Returns the logits `[N, ...]` of every example, in the order of the data.

    Args:
      model: a BERT of `bert_tf.heads`.
      encoded: an `EncodedExamples`.
      batch_size: examples a batch; batches hold texts of similar length.
    """
    dataset, order = batching.evaluation_dataset(encoded, batch_size)
    logits = model.predict(dataset.map(lambda features, *_: features), verbose=0)
    restored = np.empty_like(logits)
    restored[order] = logits
    return restored


def score(model, task, splits, batch_size):
    """Scores a model on labelled splits.

    Args:
      model: a BERT of `bert_tf.heads`.
      task: the `Task`.
      splits: `EncodedExamples` by name of the split.
      batch_size: examples a batch.

    Returns:
      For each split a dict of scores, `eval_loss` included.
    """
    scores = {}
    for name, encoded in splits.items():
        scores[name] = task.score(predict(model, encoded, batch_size), encoded)
    return scores
