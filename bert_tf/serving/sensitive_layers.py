"""Which layers of a model stay in float where a format of integers is too far from it."""

import os
import tempfile

import tqdm

from bert_tf.serving.engines import ENGINES, Process

# Batches of the comparison, of 32 examples each, by which layers are ranked.
_CALIBRATION_BATCHES = 4
# How many layers stay in float; where more had to, the format is left out.
_COUNTS = 1, 2, 4, 8, 16
# What a layer must help next to the one that helps most; less is chance.
_LEAST_GAIN = 0.1


def candidates(engine, form, served, folder, compared):
    """Yields variants of a format, with 1, 2, 4, ... of its most sensitive layers in float.

    Each layer is left out by itself, to find by how much the mean difference of the logits falls.
    Those come first by which it falls most for a byte that the file grows: in float a layer takes
    time and room as it has bytes. Shows progress.

    Args:
      engine: name of the engine that reads the format.
      form: the `bert_tf.serving.formats.Format`.
      served: the `bert_tf.serving.served_model.ServedModel`.
      folder: path of the folder that holds it in the format.
      compared: the `bert_tf.serving.comparison.Comparison` with its source.

    Yields:
      `(names of the layers, Format)`; nothing where the format has no layers to leave out.

    Raises:
      ValueError: if the engine cannot run a variant.
    """
    if not (layers := form.layers(served)):
        return
    requests = compared.requests[: min(_CALIBRATION_BATCHES, len(compared.requests) - 1)]
    gains, grown, whole = {}, {}, os.path.getsize(form.path(folder))
    with (
        tempfile.TemporaryDirectory() as scratch,
        Process(ENGINES[engine], form.path(folder)) as process,
    ):
        difference = compared.mean_difference(process.answers(requests))
        for layer in tqdm.tqdm(layers, "layers left in float", unit="layer", mininterval=10.0):
            variant = form.keeping([layer])
            variant.write(served, scratch)
            process.load(variant.path(scratch), alone=True)
            gains[layer] = difference - compared.mean_difference(process.answers(requests))
            grown[layer] = max(1, os.path.getsize(variant.path(scratch)) - whole)
    least = max(0.0, _LEAST_GAIN * max(gains.values()))
    helpful = [layer for layer in layers if gains[layer] > least]
    order = sorted(helpful, key=lambda layer: gains[layer] / grown[layer], reverse=True)
    for count in dict.fromkeys(min(count, len(order)) for count in _COUNTS if order):
        yield order[:count], form.keeping(order[:count])
