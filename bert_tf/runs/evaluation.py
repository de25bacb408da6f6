"""Logits of whole data sets, and the scores made from them."""

import numpy as np
import tensorflow as tf

from bert_tf.data import batching
from bert_tf.models.bert import EXAMPLE_INDEX
from bert_tf.runs import distribution


def predict(model, encoded, batch_size, widths=None):
    """Returns the logits `[N, ...]` of every example, in the order of the data.

    The replicas of the model's strategy share the work; each process gets all logits.

    Args:
      model: a `BertModel`.
      encoded: an `EncodedExamples`.
      batch_size: examples a batch; batches hold texts of similar length.
      widths: as in `bert_tf.data.batch_plan.epoch_plan`.
    """

    def batches(context):
        dataset = batching.evaluation_dataset(encoded, batch_size, widths, context)
        return dataset.map(lambda features, _, index: {**features, EXAMPLE_INDEX: index})

    strategy = model.distribute_strategy
    if distribution.is_asynchronous(strategy):  # Keras predicts in the chief alone.
        dataset = batches(tf.distribute.InputContext())
    else:
        dataset = strategy.distribute_datasets_from_function(batches)
    steps = encoded.num_batches(batch_size)
    found = model.predict(dataset, steps=steps, verbose=0)
    is_real = found[EXAMPLE_INDEX] >= 0
    logits = found["logits"][is_real]
    restored = np.empty_like(logits)
    restored[found[EXAMPLE_INDEX][is_real]] = logits
    return restored


def score(model, task, splits, batch_size, widths=None):
    """Scores a model on labelled splits, the first of which tunes the task.

    Args:
      model: a `BertModel`.
      task: the `Task`.
      splits: `EncodedExamples` by name of the split.
      batch_size: examples a batch.
      widths: as in `bert_tf.data.batch_plan.epoch_plan`.

    Returns:
      `(scores, task)`: for each split a dict of scores, `eval_loss` included, to seven significant
      digits; and the task as `Task.tuned`.
    """
    scores = {}
    for name, encoded in splits.items():
        logits = predict(model, encoded, batch_size, widths)
        if not scores:
            task = task.tuned(logits, encoded)
        found = task.score(logits, encoded)
        # Logits are float32: a resumed run, or another order of sums, may differ in later digits.
        scores[name] = {key: float(f"{value:.7g}") for key, value in found.items()}
    return scores, task
