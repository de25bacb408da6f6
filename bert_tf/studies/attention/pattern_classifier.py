"""A small convolutional network that names the pattern of an attention map.

S rows and columns of its input, C patterns.
"""

import dataclasses
import itertools
import os
import typing

import msgspec
import numpy as np
import safetensors.numpy

from bert_tf import ranges
from bert_tf.studies.attention import pattern_data
from flop_tf import files
from flop_tf.backend import keras
from flop_tf.files import json_file

#: The fewest rows and columns that the network takes: its convolutions leave one of them.
SMALLEST_INPUT = 32
# Far more tokens than a BERT has positions.
_LARGEST_INPUT = 2**13

_NETWORK_FILE = "network.safetensors"
_LABELS_FILE = "labels.json"
_BATCH = 64


class _About(msgspec.Struct, forbid_unknown_fields=True):
    labels: typing.Annotated[list[str], msgspec.Meta(min_length=2)]
    smallest: json_file.Size
    largest: json_file.Size
    size: typing.Annotated[int, msgspec.Meta(ge=SMALLEST_INPUT, le=_LARGEST_INPUT)]
    kind: str


def network(size, num_labels, seed=0):
    """Returns a new network: `[B, S, S, 1]` to logits `[B, C]`.

    Two 3x3 convolutions of 16 channels, two of 32 and two of 64, pooling by 2 after the first and
    the second pair, a 1x1 convolution to 16 channels, their mean over the map, and a dense layer.
    ReLU follows the 3x3 convolutions alone. With 5 labels it has 72,917 parameters.

    Args:
      size: S, at least 32.
      num_labels: C, at least 2.
      seed: int, of the Xavier-normal kernels.

    Raises:
      ValueError: if an argument is out of range.

    Reference:
      When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
    """
    ranges.check("Argument `size`", size, int, ranges.Range(at_least=SMALLEST_INPUT))
    ranges.check("Argument `num_labels`", num_labels, int, ranges.Range(at_least=2))
    layers, seeds = keras.layers, itertools.count(100 * seed)

    def kernel():
        # A seed for each kernel: equal ones of equal shape would be the same kernel.
        return {"kernel_initializer": keras.initializers.GlorotNormal(next(seeds))}

    stack = [keras.Input([size, size, 1])]
    for channels in (16, 32, 64):
        stack += [layers.MaxPool2D()] if channels > 16 else []
        stack += [layers.Conv2D(channels, 3, activation="relu", **kernel()) for _ in range(2)]
    stack += [layers.Conv2D(16, 1, **kernel()), layers.GlobalAveragePooling2D()]
    # A 1x1 convolution of a map of one point.
    return keras.Sequential([*stack, layers.Dense(num_labels, **kernel())])


@dataclasses.dataclass(frozen=True)
class PatternClassifier:
    """A network with the labels of its logits and the sizes of its training maps.

    Args:
      network: a Keras model, see `network`.
      labels: tuple of the C patterns, in the order of the logits.
      smallest: rows of the smallest map that it was trained on.
      largest: rows of the largest one.
      kind: of the maps, a field of `bert_tf.studies.attention.attention_maps.AttentionMaps`.
    """

    network: keras.Model
    labels: tuple
    smallest: int
    largest: int
    kind: str = "probabilities"

    def classify(self, maps):
        """Returns the patterns of maps, int64 `[N]`, positions in `labels`.

        Args:
          maps: list of N float arrays `[T, T]`, of various T.
        """
        size, found = self.network.input_shape[1], [np.zeros([0], np.int64)]
        for i in range(0, len(maps), _BATCH):
            batch = pattern_data.centered(maps[i : i + _BATCH], size)
            found.append(self.network.predict_on_batch(batch).argmax(axis=1))
        return np.concatenate(found)


def save(classifier, folder):
    """Writes a classifier as a folder: its weights, and a JSON file with labels and sizes.

    Args:
      classifier: a `PatternClassifier`.
      folder: where to write; the folder of another classifier is replaced at once.

    Raises:
      ValueError: if something else is there.
      OSError: if a file cannot be written; the old folder is untouched.
    """
    is_ours = os.path.isdir(folder) and set(os.listdir(folder)) <= {_NETWORK_FILE, _LABELS_FILE}
    if os.path.exists(folder) and not is_ours:
        raise ValueError(
            f"Argument `folder` must be new, empty or the folder of a pattern classifier, received "
            f"{str(folder)!r}."
        )
    about = {name: getattr(classifier, name) for name in ("smallest", "largest", "kind")}
    with files.replacing_folder(folder) as aside:
        weights = {str(i): array for i, array in enumerate(classifier.network.get_weights())}
        safetensors.numpy.save_file(weights, os.path.join(aside, _NETWORK_FILE))
        about |= {"size": classifier.network.input_shape[1], "labels": list(classifier.labels)}
        files.write_json(os.path.join(aside, _LABELS_FILE), about)


def load(folder):
    """Returns the `PatternClassifier` that `save` has written to a folder.

    Args:
      folder: path of the folder.

    Raises:
      ValueError: if the folder holds none or it is damaged.
    """
    path = os.path.join(folder, _LABELS_FILE)
    if not os.path.isfile(path):
        raise ValueError(
            f"The folder {str(folder)!r} is no pattern classifier: expected {_LABELS_FILE!r} in it."
        )
    about = json_file.read(path, _About, "file of labels", "train the classifier again")
    files.check_regular(os.path.join(folder, _NETWORK_FILE), "network")
    try:
        weights = safetensors.numpy.load_file(os.path.join(folder, _NETWORK_FILE))
        found = network(about.pop("size"), len(about["labels"]))
        found.set_weights([weights[str(i)] for i in range(len(weights))])
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"The pattern classifier {str(folder)!r} is damaged: {error}; train it again."
        ) from error
    return PatternClassifier(found, **{**about, "labels": tuple(about["labels"])})
