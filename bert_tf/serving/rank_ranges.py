"""How large the ranks of a model's projections become on real inputs."""

import numpy as np
import tensorflow as tf


def maxima(model, batches):
    """Returns `max |(x P)_r|` of every projection with factors, over all tokens but padding.

    Args:
      model: a `BertModel` without gates.
      batches: list of `{name: array [B, T]}` by `bert_tf.encoders.encoder.INPUT_NAMES`.

    Returns:
      Arrays `[R]` by the projection's path, such as `blocks.0.query`; {} without batches.
    """
    factors = {
        path: layer.factor_in.numpy()
        for path, layer in model.encoder.projections()
        if hasattr(layer, "factor_in")
    }
    found = {}
    for batch in batches if factors else ():
        features = {name: tf.constant(array) for name, array in batch.items()}
        received = model.encoder(features, training=False)["projection_inputs"]
        real = np.ravel(batch["input_mask"]) != 0
        for path, factor_in in factors.items():
            _, index, name = path.split(".")
            ranks = np.abs(received[int(index)][name].numpy()[real] @ factor_in)
            found[path] = np.maximum(found.get(path, 0), ranks.max(axis=0, initial=0))
    return found
