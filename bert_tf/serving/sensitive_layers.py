"""Which layers of a model stay in float where a format of integers is too far from it."""

import tempfile

import tqdm

from bert_tf.serving.engines import ENGINES, Process

# Batches of the comparison, of 32 examples each, by which layers are ranked.
_CALIBRATION_BATCHES = 4
# The most layers that stay in float; with more the format is left out.
_MOST = 8


def candidates(engine, form, served, folder, compared):
    """Yields variants of a format, with 1, 2, 4, ... of its most sensitive layers in float.

    Each layer is left out by itself; the smaller the mean difference of the logits without it, the
    more sensitive it is. Shows progress.

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
    differences = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        Process(ENGINES[engine], form.path(folder)) as process,
    ):
        for layer in tqdm.tqdm(layers, "layers left in float", unit="layer", mininterval=10.0):
            variant = form.keeping([layer])
            variant.write(served, scratch)
            process.load(variant.path(scratch), alone=True)
            differences[layer] = compared.mean_difference(process.answers(requests))
    order = sorted(layers, key=differences.get)
    count = 1
    while count <= min(_MOST, len(order)):
        yield order[:count], form.keeping(order[:count])
        count *= 2
