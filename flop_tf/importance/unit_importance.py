"""How much the loss depends on each head, block or neuron, over a data set.

K batches, B_k examples in batch k, U units of a gate.
"""

import numpy as np
import tensorflow as tf

from flop_tf.gates.importance import Importance
from flop_tf.importance import scoring


class UnitImportance:
    """Measures the `Importance` gates of a model; traced once for all masks.

    Only the gates' gradients are computed, none of weights: a pass costs less than a
    forward and backward pass of training.

    >>> from flop_tf.backend import keras
    >>> from flop_tf.training.gated_model import GatedModel
    >>> inputs = keras.Input([2])
    >>> model = GatedModel(inputs, Importance(axis=-1)(inputs))
    >>> data = tf.data.Dataset.from_tensors((tf.constant([[1.0, -2.0]]), tf.zeros([1])))
    >>> units = UnitImportance(model, loss=lambda y, y_pred: tf.reduce_sum(y_pred))
    >>> [importance], outputs = units.measure(data)
    >>> importance.tolist()
    [1.0, 2.0]

    Args:
      model: a `GatedModel` with `Importance` gates; it runs in inference mode.
      loss: function of `(y, y_pred)`, the mean over the examples of a batch.

    Raises:
      ValueError: if the model has no such gate.
    """

    def __init__(self, model, loss):
        self.gates = [gate for gate in model.gates if isinstance(gate, Importance)]
        if not self.gates:
            raise ValueError("Argument `model` must have Importance gates, received one without.")
        self._model, self._loss = model, loss
        self._step = None

    def measure(self, dataset, accumulate=False):
        """Returns `(importance, outputs)` of one pass over a data set.

        With s the scores of a gate in one batch, of the mean loss of its examples,
        the importance is `sum_k B_k s_k / sum_k B_k` for the reducers "token" and
        "example", the mean over all examples however they lie in batches, and
        `mean_k |s_k|` for "batch".

        Args:
          dataset: `tf.data.Dataset` of batches `(x, y, ...)`, of one kind at every call.
          accumulate: as the originals compute it, who never clear a gradient:
            `mean_k |sum_{j <= k} s_j|`, which depends on the order of the batches.

        Returns:
          A float64 array `[U]` for each gate, and the model's outputs for each batch.

        Raises:
          ValueError: if the dataset has no batch.
        """
        if self._step is None:
            # A `tf.data.Dataset` has the shapes of its batches beforehand: one trace for all.
            spec = getattr(dataset, "element_spec", None)
            self._step = tf.function(self._measure, input_signature=spec and spec[:2])
        scores, sizes, outputs = [], [], []
        for x, y, *_ in dataset:
            found, predicted = self._step(x, y)
            scores.append([one.numpy().astype(np.float64) for one in found])
            sizes.append(int(predicted.shape[0]))
            outputs.append(predicted)
        if not scores:
            raise ValueError("Argument `dataset` must have at least one batch, received none.")
        by_gate = [np.stack(batches) for batches in zip(*scores, strict=True)]
        reduced = [
            scoring.mean_importance(values, sizes if gate.reducer != "batch" else None, accumulate)
            for gate, values in zip(self.gates, by_gate, strict=True)
        ]
        return reduced, outputs

    def _measure(self, x, y):
        values = [gate.values for gate in self.gates]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outputs = self._model(x, training=False)
            loss = self._loss(y, outputs)
        return tape.gradient(loss, values), outputs
