"""What factorization wants to know of the data: moments of inputs, and gradients.

B batch, T tokens, I inputs and O outputs of a projection.
"""

import numpy as np
import tensorflow as tf

from bert_tf.surgery.token_sums import token_sums


def second_moments(model, dataset):
    """Returns `C = E[x x^T]` of the inputs of every projection.

    The mean is over the tokens of all batches, padding excluded; dropout is off.

    Args:
      model: a `BertModel`.
      dataset: `tf.data.Dataset` of batches `(features, labels, index)`.

    Returns:
      float64 arrays `[I, I]` by the projection's path, such as `blocks.0.query`.
    """

    def moments(received, real):
        # Query, key and value receive one tensor: its moment is computed once.
        found = {}
        for block in received:
            for inputs in block.values():
                if inputs.ref() not in found:
                    rows = tf.boolean_mask(inputs, real)
                    found[inputs.ref()] = tf.matmul(rows, rows, transpose_a=True)
        return [{name: found[inputs.ref()] for name, inputs in block.items()} for block in received]

    total, tokens = token_sums(model, dataset, moments)
    return {
        f"blocks.{index}.{name}": value / max(1, tokens)
        for index, block in enumerate(total)
        for name, value in block.items()
    }


def squared_gradients(model, dataset, loss):
    """Returns the mean over batches of the squared gradient of the loss, for every dense kernel.

    Args:
      model: a `BertModel`.
      dataset: `tf.data.Dataset` of batches `(features, labels, index)`.
      loss: a Keras loss of `(labels, logits)`.

    Returns:
      float64 arrays `[I, O]` by the projection's path.
    """
    kernels = {
        path: layer.kernel
        for path, layer in model.encoder.projections()
        if hasattr(layer, "kernel")
    }

    @tf.function(input_signature=dataset.element_spec[:2])
    def squares(features, labels):
        with tf.GradientTape() as tape:
            value = loss(labels, model(features, training=False))
        return [tf.square(g) for g in tape.gradient(value, list(kernels.values()))]

    total, batches = {}, 0
    for features, labels, *_ in dataset:
        batches += 1
        for path, value in zip(kernels, squares(features, labels), strict=True):
            total[path] = total.get(path, 0.0) + value.numpy().astype(np.float64)
    return {path: value / max(1, batches) for path, value in total.items()}
