"""The names of a classifier's outputs, as a foreign config has them."""

from typing import TypedDict

from flop_tf.files import json_file


class _Labels(TypedDict, total=False):
    id2label: dict[str, str | int | float] | None
    label2id: dict[str, json_file.Count] | None


def read(data, subject):
    """Returns the names in the order of the outputs, a tuple, or None where there are none.

    `id2label` counts where both keys are there, as in `transformers`.

    Args:
      data: the config, a dict.
      subject: with which an error begins: "The BERT config 'x'".

    Raises:
      ValueError: if they are not the names of outputs 0, 1, 2, ...
    """
    json_file.check(data, _Labels, f"{subject} must have names of labels that fit")
    names = {key: str(name) for key, name in (data.get("id2label") or {}).items()}
    if not names:
        names = {str(number): name for name, number in (data.get("label2id") or {}).items()}
    if set(names) != {str(number) for number in range(len(names))}:
        raise ValueError(
            f"{subject} must name the labels of the outputs 0 to {len(names) - 1}, received names "
            f"of {', '.join(sorted(names))}."
        )
    return tuple(names[str(number)] for number in range(len(names))) or None


def check(names, num_labels, subject):
    """Raises ValueError where there are not as many names as outputs, or one is used twice.

    Args:
      names: of the classes, a sequence of texts.
      num_labels: number of outputs, int.
      subject: with which the error begins.
    """
    if names is not None and len(set(names)) != num_labels:
        raise ValueError(
            f"{subject} must have a name of its own for each of the {num_labels} outputs of its "
            f"head, received {list(names)}."
        )
