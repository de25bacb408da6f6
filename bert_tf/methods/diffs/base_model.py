"""The frozen model that differences belong to, and that model with one of them."""

import dataclasses
import typing

import msgspec

from bert_tf.checkpoints import model_dir
from bert_tf.heads.head import head_of
from bert_tf.models.weight_paths import expected_shapes, in_encoder
from bert_tf.tasks import registry
from flop_tf.files import diff_file, json_file

_ENCODER = "encoder."
_EMBEDDINGS = "encoder.embeddings."


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    head: str
    num_labels: json_file.Size


class _Info(typing.TypedDict, total=False):
    """What others read of a difference's info next to its task, where it is there."""

    head: _Head
    data_dir: str
    max_seq_length: json_file.Size
    step: json_file.Count
    scores: dict[str, dict[str, float]]


def base_weights(source):
    """Returns the weights that differences belong to: all of a checkpoint but its task head.

    Args:
      source: a `bert_tf.checkpoints.Source`.

    Raises:
      ValueError: if it has gates.
    """
    if source.config.has_gates:
        raise ValueError(
            "The base of a difference must have no gates, received a gated model; remove them "
            "first by flop-remove-mask."
        )
    return {path: array for path, array in source.weights.items() if in_encoder(path)}


def applied(source, diff, path):
    """Returns the `Source` of a base with a difference and its task head.

    Args:
      source: a `bert_tf.checkpoints.Source` of the base.
      diff: a `flop_tf.files.diff_file.Diff`.
      path: of its file, for errors.

    Raises:
      ValueError: if the difference has no task head or belongs to another base.
    """
    config = check_head(diff, path, source.config)
    weights = diff_file.apply(diff, base_weights(source), path)
    names = model_dir.labels(diff.info)
    return dataclasses.replace(
        source, config=config, weights=weights, labels=names, missing_head=""
    )


def build(source, diff, path):
    """Returns the BERT of `applied`.

    Args:
      source: see `applied`.
      diff: see `applied`.
      path: see `applied`.
    """
    return applied(source, diff, path).model()


def check_head(diff, path, config):
    """Returns the config of a base with the task head of a difference.

    Args:
      diff: a `flop_tf.files.diff_file.Diff`.
      path: of its file, for errors.
      config: the `EncoderConfig` of the base.

    Raises:
      ValueError: if it does not say its task, or its head is missing or another one.
    """
    if not (diff.info.get("task") and diff.info.get("head")):
        raise ValueError(
            f"The file {str(path)!r} must have a task and its head, received a difference without; "
            "write it anew by flop-diff-prune."
        )
    # With the options of the tasks that are registered by now.
    form = typing.TypedDict(
        "_Info", {**_Info.__annotations__, "task": registry.form()}, total=False
    )
    json_file.check(diff.info, form, f"The info in {str(path)!r} must be that of a difference")
    config = dataclasses.replace(config, **diff.info["head"])
    shapes = expected_shapes(config)
    for name in sorted({*head_of(config).weights, *diff.dense}):
        found = diff.dense[name].shape if name in diff.dense else "none"
        if found != shapes.get(name):
            raise ValueError(
                f"The file {str(path)!r} must have {name!r} of the shape {shapes.get(name)} as its "
                f"head {config.head!r} says, received {found}; write it anew by flop-diff-prune."
            )
    return config


def layer_of(path, config):
    """Returns the layer of a weight: 0 of embeddings, 1 to L of the blocks, L + 1 of the rest.

    Args:
      path: of the weight.
      config: the `EncoderConfig`.
    """
    if path.startswith(_EMBEDDINGS):
        return 0
    parts = path.split(".")
    if parts[:2] == ["encoder", "blocks"]:
        return int(parts[2]) + 1
    return config.num_hidden_layers + 1


def kind_of(path):
    """Returns the kind of a weight in any layer: `query.kernel`, `embeddings.word_embeddings`.

    Args:
      path: of the weight.
    """
    parts = path.removeprefix(_ENCODER).split(".")
    return ".".join(parts[2:] if parts[0] == "blocks" else parts)


def frozen_paths(paths, config, layers=None, names=""):
    """Returns the weights that get no difference.

    Args:
      paths: of all weights of the base.
      config: the `EncoderConfig`.
      layers: k, freezes embeddings and the first k layers; None freezes none.
      names: whole names with commas, which freeze what they name and what is below it:
        `embeddings`, `blocks.1` (and not `blocks.10`), `blocks.1.query.kernel`.

    Returns:
      A set of paths.

    Raises:
      ValueError: if a name is of none of the weights, there are fewer layers, or all are frozen.
    """
    if layers is not None and layers > config.num_hidden_layers:
        raise ValueError(
            f"Argument `frozen_layers` must be at most {config.num_hidden_layers}, the layers of "
            f"the base, received {layers}."
        )
    found = set()
    if layers is not None:
        found = {path for path in paths if layer_of(path, config) <= layers}
    for name in filter(None, (name.strip() for name in names.split(","))):
        below = {path for path in paths if f"{path}.".startswith(f"{_ENCODER}{name}.")}
        if not below:
            raise ValueError(
                f"Argument `frozen` must name weights of the base, such as embeddings, blocks.0 or "
                f"blocks.0.query.kernel, received {name!r}, which names none."
            )
        found |= below
    if found.issuperset(paths):
        raise ValueError(
            "Arguments `frozen_layers` and `frozen` must leave weights that get a difference, "
            f"received {layers} and {names!r}, which freeze all."
        )
    return found
