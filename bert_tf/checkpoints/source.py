"""One entrance for every BERT: the format is recognised by what lies in the files."""

import dataclasses
import json
import os

import tensorflow as tf

from bert_tf.checkpoints import google_tf1, hugging_face, live_encoder, model_dir, tf_models
from bert_tf.checkpoints.variables import (
    SAFETENSORS_FILE,
    SAFETENSORS_INDEX,
    open_checkpoint,
    open_safetensors,
)
from bert_tf.data.text_files import read_lines
from bert_tf.model.config import BertConfig

# Word embeddings are rounded up to a multiple of it at most; more rows mean another vocabulary.
_VOCABULARY_MULTIPLE = 128


@dataclasses.dataclass(frozen=True)
class Source:
    """A BERT as it was found.

    Args:
      config: its `BertConfig`; `head` and `num_labels` are those of the task head, if there is one.
      weights: float32 arrays by our weight paths; those of the head only where there is one.
      vocab_file: path of its vocabulary, or None.
      do_lower_case: whether it was trained on lower-cased text, or None where nothing says so.
      format: "google_tf1", "hugging_face", "tf_models", "model_dir" or "live".
    """

    config: BertConfig
    weights: dict
    vocab_file: str | None
    do_lower_case: bool | None
    format: str


def read_source(path, config_file=None, vocab_file=None, pretraining_head=False):
    """Reads a BERT of Google, Hugging Face, tf-models or our own.

    Args:
      path: a folder, the prefix of a TensorFlow checkpoint, or a file of either.
      config_file: the BERT config; None takes `bert_config.json` or `config.json`
        beside the weights.
      vocab_file: the vocabulary; None takes `vocab.txt` beside the weights, if it is there.
      pretraining_head: whether the head of masked language modelling is read too, if a checkpoint
        of Google or Hugging Face has one. Defaults to False.

    Returns:
      A `Source`.

    Raises:
      ValueError: if nothing is there, it is damaged or its parts do not fit each other.
    """
    variables, reader, folder = _open(os.fspath(path))
    config_file = config_file or _beside(folder, reader.CONFIG_FILE)
    if config_file is None and reader is not tf_models:
        raise ValueError(
            f"{variables.origin} needs a BERT config: expected {reader.CONFIG_FILE!r} in "
            f"{folder!r}, found none; name the file by `config_file`."
        )
    tables = ()
    if pretraining_head and reader in (google_tf1, hugging_face):
        tables = (reader.TABLE | reader.MLM_TABLE,)
    config, weights = reader.read(variables, config_file, *tables)
    vocab_file = vocab_file or _beside(folder, "vocab.txt")
    if vocab_file is not None:
        _check_vocab(vocab_file, config)
    lower_case = _read_lower_case(_beside(folder, "tokenizer_config.json"))
    return Source(config, weights, vocab_file, lower_case, reader.FORMAT)


def read_live_encoder(encoder):
    """Reads a live `BertEncoder` or `BertEncoderV2` of tf-models.

    Args:
      encoder: the encoder; its config is read too, activation included.

    Returns:
      A `Source` without vocabulary.

    Raises:
      ValueError: if it is another encoder or has an option that this BERT lacks.
    """
    return Source(*live_encoder.read(encoder), None, None, "live")


def _open(path):
    """Returns the variables at `path`, the module that reads them, and their folder."""
    folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
    asked = (SAFETENSORS_FILE, SAFETENSORS_INDEX)
    if not os.path.isdir(path):
        asked = tuple(name for name in asked if name == os.path.basename(path))
    if any(_beside(folder, name) for name in asked):
        variables = open_safetensors(folder)
        ours = "encoder.embeddings.word_embeddings" in variables.shapes
        return variables, model_dir if ours else hugging_face, folder
    prefix = _checkpoint_prefix(path)
    variables = open_checkpoint(prefix)
    object_based = tf_models.OBJECT_GRAPH in variables.shapes
    return variables, tf_models if object_based else google_tf1, os.path.dirname(prefix)


def _checkpoint_prefix(path):
    if os.path.isdir(path):
        return _latest_checkpoint(path)
    for candidate in (path, os.path.splitext(path)[0]):
        if os.path.isfile(f"{candidate}.index"):
            return candidate
    if not os.path.exists(path):
        raise ValueError(
            f"The checkpoint {path!r} does not exist: expected a folder or a checkpoint prefix "
            f"with {os.path.basename(path) + '.index'!r} beside its data."
        )
    if os.path.basename(path) == "checkpoint":
        return _latest_checkpoint(os.path.dirname(path) or ".")
    raise ValueError(
        f"The file {path!r} is no checkpoint: expected {SAFETENSORS_FILE!r}, the prefix of a "
        "TensorFlow checkpoint with its '.index' file, or a folder with either."
    )


def _latest_checkpoint(folder):
    latest = tf.train.latest_checkpoint(folder)
    if latest:
        return latest
    names = sorted(os.listdir(folder))
    prefixes = [name.removesuffix(".index") for name in names if name.endswith(".index")]
    if len(prefixes) == 1:
        return os.path.join(folder, prefixes[0])
    if prefixes:
        raise ValueError(
            f"The folder {folder!r} holds several checkpoints, {', '.join(prefixes)}; pass the "
            "prefix of one of them."
        )
    if any(name.startswith("pytorch_model") and name.endswith(".bin") for name in names):
        raise ValueError(
            f"The folder {folder!r} has its weights only in PyTorch's pickle format; convert "
            f"pytorch_model.bin to {SAFETENSORS_FILE}, as save_pretrained of transformers does."
        )
    raise ValueError(
        f"The folder {folder!r} holds no checkpoint: expected {SAFETENSORS_FILE!r}, "
        f"{SAFETENSORS_INDEX!r} or a TensorFlow checkpoint with its '.index' file."
    )


def _beside(folder, name):
    path = os.path.join(folder, name)
    return path if os.path.isfile(path) else None


def _check_vocab(vocab_file, config):
    """Some rows more than tokens are normal: embeddings are padded. More tokens have no row."""
    num_tokens = len(read_lines(vocab_file, "vocabulary"))
    if num_tokens > config.vocab_size:
        raise ValueError(
            f"The vocabulary {vocab_file!r} has {num_tokens} lines, more than the "
            f"{config.vocab_size} rows of the word embedding; take the one of this checkpoint."
        )
    if config.vocab_size - num_tokens >= _VOCABULARY_MULTIPLE:
        raise ValueError(
            f"The vocabulary {vocab_file!r} has {num_tokens} lines, too few for the "
            f"{config.vocab_size} rows of the word embedding; take the one of this checkpoint."
        )


def _read_lower_case(path):
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file).get("do_lower_case")
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise ValueError(
            f"The tokenizer config {path!r} must be a JSON object with 'do_lower_case': {error}."
        ) from error
