"""A fine-tuned BERT with gates that measure its units, under any mask of them."""

import numpy as np

from bert_tf.data import batching
from bert_tf.surgery import units
from flop_tf.importance.unit_importance import UnitImportance


class MeasuredBert:
    """Scores a BERT and measures its units in one pass over data, again and again.

    Args:
      source: a `bert_tf.checkpoints.Source` with the head of the task.
      task: the `Task`.
      kinds: of `bert_tf.encoders.config.UNITS`, those to measure.
      reducer: a name of `flop_tf.gates.importance.REDUCERS`.
      batch_size: examples a batch; batches hold texts of similar length.

    Raises:
      ValueError: if the model lacks the task's head.
    """

    def __init__(self, source, task, kinds, reducer, batch_size=32):
        source = task.with_head(source, "the model to measure")
        gated = units.with_gates(source.config, kinds, "importance", reducer=reducer)
        self._model = source.model(layers=gated.layers)
        self._task, self._batch_size = task, batch_size
        self._gates = dict(self._model.encoder.unit_gates())
        self._importance = UnitImportance(self._model, task.importance_loss())

    def measure(self, encoded, mask=None, accumulate=False):
        """Returns `(scores, importance)`.

        Args:
          encoded: `EncodedExamples` with labels.
          mask: of units, see `bert_tf.surgery.units`; what it does not name is kept. Units
            that are masked are measured too, as what the loss would gain of them.
          accumulate: see `UnitImportance.measure`.

        Returns:
          A dict of the task's scores, and a dict of float64 arrays by path.
        """
        units.check_mask(self._model.config, mask or {})
        for path, gate in self._gates.items():
            kept = (mask or {}).get(path)
            gate.values.assign(np.ones(gate.values.shape) if kept is None else kept)
        dataset = batching.evaluation_dataset(encoded, self._batch_size)
        importance, outputs = self._importance.measure(dataset, accumulate)
        logits = np.concatenate([self._model.head.pad_to_max_length(batch) for batch in outputs])
        order = np.concatenate([index for *_, index in dataset.as_numpy_iterator()])
        restored = np.empty_like(logits)
        restored[order] = logits
        # In the order of the model's gates, which is not that of the paths.
        by_gate = dict(zip(map(id, self._importance.gates), importance, strict=True))
        return (
            self._task.score(restored, encoded),
            {path: by_gate[id(gate)] for path, gate in self._gates.items()},
        )
