"""Our own model directories, at any stage: dense, factorized, gated or compact."""

from typing import Required, TypedDict

from bert_tf.checkpoints import folder, tokenizer_files
from bert_tf.checkpoints.formats import Format, register_format
from bert_tf.checkpoints.source import Source
from bert_tf.checkpoints.translation import translate
from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.names import From
from bert_tf.heads.head import head_of
from bert_tf.models.weight_paths import WORD_EMBEDDINGS, expected_shapes
from flop_tf.files import json_file

CONFIG_FILE = "bert_config.json"

#: Written last: a directory with it is complete.
INFO_FILE = "info.json"


class _Task(TypedDict, total=False):
    name: Required[str]
    labels: list[str] | None
    tasks: list["_Task"] | None


class _Info(TypedDict, total=False):
    """What other programs read of `info.json`, where it is there."""

    family: str
    stage: str
    task: _Task
    labels: list[str] | None
    data_dir: str
    max_seq_length: json_file.Size
    vocabulary: str
    scores: dict[str, dict[str, float]]


class Rules(TypedDict, total=False):
    """`tokenizer_config.json`: the arguments of the tokenizer next to the vocabulary."""

    do_lower_case: bool
    strip_accents: bool | None
    tokenize_chinese_chars: bool
    special_tokens: list[str]
    added_tokens: list[str]
    pad_token: str
    mask_token: str | None


@register_format("model_dir")
class ModelDirectory(Format):
    """Safetensors by our weight paths, `bert_config.json` and the rest of a model directory."""

    config_file = CONFIG_FILE

    @staticmethod
    def recognises(variables):
        """Returns whether they are safetensors by our paths."""
        return not variables.is_checkpoint and WORD_EMBEDDINGS in variables.shapes

    def read(self, files):
        """Returns the `Source` in some `Files`."""
        config = read_config(self.find_config(files))
        table = {path: From(path) for path in expected_shapes(config)}
        config, weights = translate(files.variables, table, config)
        rules = dict(read_rules(files.folder) or {})
        info = read_info(files.folder) or {}
        vocab_file = files.vocab_file
        if vocab_file:
            info.pop("vocabulary", None)  # The named one may have other words.
        return Source(
            config,
            weights,
            vocab_file or tokenizer_files.find_vocabulary(files.folder),
            rules.pop("do_lower_case", None),
            "model_dir",
            rules,
            labels(info),
            info=info,
        )


def read_config(path):
    """Returns the `EncoderConfig` in a file, which has a task head of ours.

    Args:
      path: of the file.

    Raises:
      ValueError: if the file is missing or damaged, or a value does not fit.
    """
    config = EncoderConfig.from_json_file(path)
    try:
        head_of(config)
    except ValueError as error:
        raise ValueError(f"The BERT config {path!r} cannot be used: {error}") from error
    return config


def read_info(place):
    """Returns `info.json` of a model directory, a dict, or None where there is none.

    Args:
      place: path of the directory.

    Raises:
      ValueError: if it is damaged.
    """
    path = folder.find(place, INFO_FILE)
    return None if path is None else json_file.read(path, _Info, "file")


def read_rules(place):
    """Returns `tokenizer_config.json` of a model directory, a dict, or None where there is none.

    Args:
      place: path of the directory.

    Raises:
      ValueError: if it is damaged.
    """
    path = folder.find(place, "tokenizer_config.json")
    if path is None:
        return None
    rules = json_file.read(path, Rules, "file")
    if unknown := sorted(set(rules) - set(Rules.__annotations__)):
        raise ValueError(
            f"The file {path!r} must have the keys of a tokenizer, received {unknown}."
        )
    return rules


def labels(info):
    """Returns the names of a model's classes that its `info.json` says, or None.

    Args:
      info: of `read_info`.
    """
    names = info.get("task", {}).get("labels") or info.get("labels")
    return names and tuple(names)
