"""Sums over the tokens of some texts, of what the projections of a BERT receive."""

import numpy as np
import tensorflow as tf


def token_sums(model, dataset, statistics):
    """Returns sums over the tokens of all batches, padding excluded; dropout is off.

    Args:
      model: a `BertModel`.
      dataset: `tf.data.Dataset` of batches `(features, ...)`.
      statistics: function `(received, real) -> tensors`: what each projection received, see
        `Encoder.call`, and which tokens are real, bool `[B T]`; the tensors, nested in any way, are
        sums over the tokens of the batch.

    Returns:
      `(sums, tokens)`: float64 arrays nested as the tensors, and the number of tokens.
    """

    @tf.function(input_signature=dataset.element_spec[:1])
    def of_batch(features):
        real = tf.cast(tf.reshape(features["input_mask"], [-1]), tf.bool)
        received = model.encoder(features, training=False)["projection_inputs"]
        return statistics(received, real), tf.math.count_nonzero(real)

    total, tokens = None, 0
    for features, *_ in dataset:
        found, count = of_batch(features)
        found = tf.nest.map_structure(lambda part: part.numpy().astype(np.float64), found)
        total = found if total is None else tf.nest.map_structure(np.add, total, found)
        tokens += int(count)
    return total, tokens
