"""Whether an exported model is faster than the dense one of its config: measured, else refused."""

import tempfile

import numpy as np

from bert_tf import timing
from bert_tf.model import heads
from bert_tf.serving import planned_model
from bert_tf.tasks import model_task

# Slower by less than this is within what a measurement tells.
_LIMIT = 1.02
# Ratios in this range are measured for longer.
_CLOSE = (0.95, 1.1)
_ROUNDS, _MORE_ROUNDS = 10, 40


def measure(model, service, table, forms, folder, shape):
    """Times exported files and those of the dense model of the same sizes, by turns.

    The dense one has random weights, a plan by the same table, and is exported the same way.

    Args:
      model: the exported BERT.
      service: its `bert_tf.serving.services.Service`.
      table: the `LatencyTable` that its plan was chosen by.
      forms: formats by name that were written to `folder`.
      folder: of the export.
      shape: `(batch size, length)`.

    Returns:
      For each format a dict of `p50_ms`, `dense_p50_ms` and `ratio`, the median over rounds.
    """
    config = model.config
    served = planned_model.make(heads.make(config.dense), service, table, shape).served
    (batch,) = model_task.random_features(config, shape[1], 1, shape[0])
    features = {name: tensor.numpy() for name, tensor in batch.items()}
    results = {}
    for name, form in forms.items():
        with tempfile.TemporaryDirectory() as scratch:
            form.write(served, scratch)
            answers = [form.load(folder), form.load(scratch)]
            calls = [lambda answer=answer: answer(features) for answer in answers]
            seconds = timing.interleaved(calls, _ROUNDS)
            if _CLOSE[0] < timing.ratio(seconds) < _CLOSE[1]:
                more = timing.interleaved(calls, _MORE_ROUNDS, warmup_rounds=0)
                seconds = np.concatenate([seconds, more])
        ours, theirs = 1e3 * np.median(seconds, axis=0)
        results[name] = {
            "p50_ms": float(ours),
            "dense_p50_ms": float(theirs),
            "ratio": timing.ratio(seconds),
        }
    return results


def check(results, folder, shape):
    """Raises ValueError where a format is slower than the dense one.

    Args:
      results: of `measure`.
      folder: the model's, for the sentence.
      shape: `(batch size, length)`.
    """
    for name, row in results.items():
        if row["ratio"] > _LIMIT:
            raise ValueError(
                f"The model in {str(folder)!r} is slower than the dense model of its config: as "
                f"{name} {row['p50_ms']:.4g} ms against {row['dense_p50_ms']:.4g} ms at "
                f"{shape[0]}x{shape[1]}, {row['ratio']:.3f} x, above {_LIMIT}; pass --allow_slower "
                "to export it all the same, or by --optimize_for the shape that counts."
            )
