"""The config of a foreign model: read once, and the family that it is of."""

import dataclasses
from typing import TypedDict

from bert_tf.checkpoints import labels
from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.family import DEFAULT_FAMILY, FAMILIES, Family
from flop_tf.files import json_file


class _Task(TypedDict, total=False):
    architectures: list[str] | None
    problem_type: str | None
    model_type: str | None
    tokenizer_class: str | None


@dataclasses.dataclass(frozen=True)
class ForeignConfig:
    """A config as it was found.

    Args:
      path: of its file, for errors.
      data: the JSON object.
      family: the class of its family, see `bert_tf.families.family`.
      config: what it says, an `EncoderConfig`.
      labels: names of the labels that it has, or None.
    """

    path: str
    data: dict
    family: type[Family]
    config: EncoderConfig
    labels: tuple[str, ...] | None

    def labels_of(self, num_labels):
        """Returns the names of a classifier's outputs, or None where there are none.

        Args:
          num_labels: number of outputs.

        Raises:
          ValueError: if there are not as many as outputs, or one is used twice.
        """
        labels.check(self.labels, num_labels, f"The BERT config {self.path!r}")
        return self.labels


def read_config(path):
    """Reads the config of a foreign model.

    Args:
      path: of the JSON file.

    Returns:
      A `ForeignConfig`.

    Raises:
      ValueError: if it is damaged, of no known family, or has a key that would not be heard.
    """
    path = str(path)
    data = json_file.read(path, json_file.Object, "BERT config")
    json_file.check(data, _Task, f"The BERT config {path!r} is damaged or of another kind")
    model_type = data.get("model_type") or DEFAULT_FAMILY
    if model_type not in FAMILIES:
        raise ValueError(
            f"The config {path!r} must have the model_type {' or '.join(map(repr, FAMILIES))}, "
            f"received {model_type!r}; models of other families cannot be imported."
        )
    family = FAMILIES[model_type]
    config = family.config(data, path)
    return ForeignConfig(path, data, family, config, labels.read(data, f"The BERT config {path!r}"))
