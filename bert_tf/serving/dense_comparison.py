"""Whether an exported model is faster than the dense one of its config: measured, else refused."""

import tempfile

import numpy as np
from absl import logging

from bert_tf import timing
from bert_tf.models.bert import BertModel
from bert_tf.serving import engines, planned_model
from bert_tf.serving.engines import Process, by_turns
from bert_tf.tasks import model_task

# Slower by less than this is within the error of a measurement.
_LIMIT = 1.02
# Ratios in this range are measured for longer.
_CLOSE = (0.95, 1.1)
_ROUNDS, _MORE_ROUNDS = 10, 40


class DenseModel:
    """The dense model of a pruned one's sizes: random weights, a plan by the same table.

    Args:
      model: the pruned BERT.
      service: its `bert_tf.serving.services.Service`.
      table: the `LatencyTable` that its plan was chosen by.
      folder: its model directory, for sentences.
      shape: `(batch size, length)`.
      allow_slower: whether a format may be slower.
    """

    def __init__(self, model, service, table, folder, shape, allow_slower=False):
        self._folder, self._shape, self._allow_slower = str(folder), shape, allow_slower
        dense = BertModel(model.config.dense)
        self._served = planned_model.make(dense, service, table, shape).served
        (batch,) = model_task.random_features(model.config, shape[1], 1, shape[0])
        self._features = {name: tensor.numpy() for name, tensor in batch.items()}

    def measure(self, name, form, folder):
        """Times the export of the model and the export of the dense model by turns.

        Args:
          name: name of the format.
          form: a `bert_tf.serving.formats.Format`.
          folder: path of the export.

        Returns:
          Dict of `p50_ms`, `dense_p50_ms` and `ratio`, the median over rounds.
        """
        with tempfile.TemporaryDirectory() as scratch:
            form.write(self._served, scratch)
            engine, paths = engines.of_format(name), [form.path(each) for each in (folder, scratch)]
            with Process(engine, paths[0]) as ours, Process(engine, paths[1]) as theirs:
                seconds = self._seconds([ours, theirs])
        ours, theirs = (1e3 * float(np.median(np.concatenate(turns))) for turns in seconds)
        return {"p50_ms": ours, "dense_p50_ms": theirs, "ratio": timing.ratio(*seconds)}

    def _seconds(self, running):
        request = "serving_default", self._features
        seconds = by_turns(running, request, _ROUNDS)
        if _CLOSE[0] < timing.ratio(*seconds) < _CLOSE[1]:
            more = by_turns(running, request, _MORE_ROUNDS, warmup_rounds=0)
            seconds = [first + second for first, second in zip(seconds, more, strict=True)]
        return seconds

    def check(self, name, row):
        """Raises ValueError where a format is slower than the dense one.

        Args:
          name: name of the format.
          row: dict of `measure`.
        """
        batch_size, length = self._shape
        logging.info("%s runs at %.2f x of dense at %dx%d.", name, row["ratio"], batch_size, length)
        if row["ratio"] > _LIMIT and not self._allow_slower:
            raise ValueError(
                f"The model in {self._folder!r} is slower than the dense model of its config: as "
                f"{name} {row['p50_ms']:.4g} ms against {row['dense_p50_ms']:.4g} ms at "
                f"{batch_size}x{length}, {row['ratio']:.3f} x, above {_LIMIT}; pass --allow_slower "
                "to export it all the same, or by --optimize_for the shape that counts."
            )
