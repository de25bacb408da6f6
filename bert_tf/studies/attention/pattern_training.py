"""Training of the pattern classifier."""

import numpy as np
import tensorflow as tf
from sklearn import metrics, model_selection

from bert_tf import ranges
from bert_tf.studies.attention import pattern_classifier, pattern_data
from flop_tf.backend import keras

_VALIDATION_SHARE = 0.2


def train(
    maps, labels, *, kind="probabilities", epochs=200, batch_size=64, learning_rate=1e-3, seed=0
):
    """Trains a classifier and keeps the weights of its best epoch.

    Maps are centred in zeros to the size of the largest one, at least 32; a fifth of them, of each
    label alike, is for validation; Adam and cross-entropy. The best epoch is the last one of the
    highest validation accuracy.

    Args:
      maps: list of N float arrays `[T, T]`, of various T.
      labels: list of N strings.
      kind: of the maps, a field of `bert_tf.studies.attention.attention_maps.AttentionMaps`.
      epochs: passes over the training maps, at least 1.
      batch_size: at least 1.
      learning_rate: above 0.
      seed: int, of the split, the order and the first weights.

    Returns:
      A `PatternClassifier`, and the report of the validation maps: dict of precision, recall, F1
      and number by label, their means, and `accuracy`.

    Raises:
      ValueError: if an argument is out of range or the labels cannot be split.

    Reference:
      When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
    """
    ranges.check("Argument `epochs`", epochs, int, ranges.FROM_1)
    ranges.check("Argument `batch_size`", batch_size, int, ranges.FROM_1)
    ranges.check("Argument `learning_rate`", learning_rate, float, ranges.ABOVE_0)
    if len(maps) != len(labels):
        raise ValueError(
            f"Argument `labels` must have an entry for each of the {len(maps)} maps, received "
            f"{len(labels)}."
        )
    names, classes = np.unique(labels, return_inverse=True)
    train_rows, held_rows = _split(classes, names, seed)
    sizes = [len(each) for each in maps]
    size = max(*sizes, pattern_classifier.SMALLEST_INPUT)
    network = pattern_classifier.network(size, len(names), seed)
    network.compile(
        keras.optimizers.Adam(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    inputs, best = pattern_data.centered(maps, size), _BestWeights()
    examples = tf.data.Dataset.from_tensor_slices((inputs[train_rows], classes[train_rows]))
    network.fit(
        examples.shuffle(len(train_rows), seed=seed).batch(batch_size),
        validation_data=(inputs[held_rows], classes[held_rows]),
        validation_batch_size=batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[best],
    )
    network.set_weights(best.weights)
    labels, extremes = tuple(map(str, names)), (min(sizes), max(sizes))
    classifier = pattern_classifier.PatternClassifier(network, labels, *extremes, kind)
    found = classifier.classify([maps[row] for row in held_rows])
    shown = {"labels": range(len(labels)), "target_names": labels, "zero_division": 0.0}
    report = metrics.classification_report(classes[held_rows], found, output_dict=True, **shown)
    return classifier, report


class _BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the last epoch whose validation accuracy is the highest."""

    def __init__(self):
        super().__init__()
        self.accuracy, self.weights = -1.0, None

    def on_epoch_end(self, epoch, logs=None):
        """Compares an epoch with the best one before it."""
        if logs["val_accuracy"] >= self.accuracy:
            self.accuracy, self.weights = logs["val_accuracy"], self.model.get_weights()


def _split(classes, names, seed):
    try:
        settings = {"test_size": _VALIDATION_SHARE, "stratify": classes, "random_state": seed}
        return model_selection.train_test_split(np.arange(len(classes)), **settings)
    except ValueError as error:
        counts = dict(zip(map(str, names), np.bincount(classes).tolist(), strict=True))
        raise ValueError(
            "Argument `labels` must have enough maps of each label to hold out a fifth of them, "
            f"received {counts}."
        ) from error
