"""One entrance for every BERT: the format is recognised by what lies in the files."""

import os

import tensorflow as tf
from absl import logging

from bert_tf.checkpoints import (
    foreign_config,
    live_encoder,
    sentence_transformers,
    tokenizer_files,
)
from bert_tf.checkpoints.folder import find
from bert_tf.checkpoints.formats import Files, format_of
from bert_tf.checkpoints.source import Source
from bert_tf.checkpoints.variables import (
    SAFETENSORS_FILE,
    SAFETENSORS_INDEX,
    open_checkpoint,
    open_safetensors,
)
from bert_tf.encoders.config import EncoderConfig
from flop_tf.files import json_file

# Word embeddings are rounded up to a multiple of it; more rows that no token has are worth a word.
_VOCABULARY_MULTIPLE = 128


def read_source(path, config_file=None, vocab_file=None, pretraining_head=False):
    """Reads a BERT of Google, Hugging Face, tf-models or our own.

    Args:
      path: a folder, also of sentence-transformers, the prefix of a TensorFlow checkpoint, or a
        file of either.
      config_file: the BERT config; None takes `bert_config.json` or `config.json`
        next to the weights.
      vocab_file: the vocabulary; None takes `tokenizer.json` or `vocab.txt` next to the weights, if
        one is there.
      pretraining_head: whether the head of masked language modelling is read too, if a checkpoint
        of Google or Hugging Face has one. Defaults to False.

    Returns:
      A `Source`.

    Raises:
      ValueError: if nothing is there, it is damaged or its parts do not fit each other.
    """
    path = os.fspath(path)
    variables, folder = _open(sentence_transformers.transformer_folder(path))
    files = Files(variables, folder, config_file, vocab_file, pretraining_head)
    source = sentence_transformers.with_pooling(path, format_of(variables).read(files))
    if source.vocab_file is not None:
        _check_vocab(source)
    return source


def read_architecture(path):
    """Returns the `EncoderConfig` in a JSON file of ours, or of Hugging Face for any family.

    Args:
      path: of the file.

    Raises:
      ValueError: if it is damaged, of no known family, or has a key that would not be heard.
    """
    data = json_file.read(path, json_file.Object, "BERT config")
    if "model_type" in data:
        return foreign_config.read_config(path).config
    return EncoderConfig.from_json_file(path)


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
    """Returns the `Variables` at `path`, and their folder."""
    folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
    targets = (SAFETENSORS_FILE, SAFETENSORS_INDEX)
    if not os.path.isdir(path):
        targets = tuple(name for name in targets if name == os.path.basename(path))
    if any(os.path.lexists(os.path.join(folder, name)) for name in targets):
        return open_safetensors(folder), folder
    prefix = _checkpoint_prefix(path)
    return open_checkpoint(prefix), os.path.dirname(prefix)


def _checkpoint_prefix(path):
    if os.path.isdir(path):
        return _latest_checkpoint(path)
    for candidate in (path, os.path.splitext(path)[0]):
        if os.path.isfile(f"{candidate}.index"):
            return candidate
    if not os.path.exists(path):
        raise ValueError(
            f"The checkpoint {path!r} does not exist: expected a folder or a checkpoint prefix "
            f"with {os.path.basename(path) + '.index'!r} next to its data."
        )
    if os.path.basename(path) == "checkpoint":
        return _latest_checkpoint(os.path.dirname(path) or ".")
    raise ValueError(
        f"The file {path!r} is no checkpoint: expected {SAFETENSORS_FILE!r}, the prefix of a "
        "TensorFlow checkpoint with its '.index' file, or a folder with either."
    )


def _latest_checkpoint(folder):
    find(folder, "checkpoint")  # A FIFO would be waited for.
    latest = tf.train.latest_checkpoint(folder)
    if latest:
        if os.path.realpath(os.path.dirname(latest)) != os.path.realpath(folder):
            raise ValueError(
                f"The file {os.path.join(folder, 'checkpoint')!r} must name a checkpoint of its "
                f"own folder, received {latest!r}; pass the prefix of the one that you mean."
            )
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
    if "saved_model.pb" in names:
        raise ValueError(
            f"The folder {folder!r} holds a SavedModel, as those of TF Hub; pass the checkpoint "
            f"inside of it, {os.path.join(folder, 'variables', 'variables')!r}."
        )
    raise ValueError(
        f"The folder {folder!r} holds no checkpoint: expected {SAFETENSORS_FILE!r}, "
        f"{SAFETENSORS_INDEX!r} or a TensorFlow checkpoint with its '.index' file."
    )


def _check_vocab(source):
    """Some rows more than tokens are normal: embeddings are padded. More tokens have no row."""
    rows = source.config.vocab_size
    words = source.tokenizer_rules.get("extra_words", ())
    num_tokens = tokenizer_files.count(source.vocab_file) + len(words)
    if num_tokens > rows:
        raise ValueError(
            f"The vocabulary {source.vocab_file!r} has {num_tokens} lines, more than the {rows} "
            "rows of the word embedding; take the one of this checkpoint."
        )
    if rows - num_tokens >= _VOCABULARY_MULTIPLE:
        logging.warning(
            "The vocabulary %s has %d tokens for the %d rows of the word embedding; check that it "
            "is the one of this checkpoint.",
            source.vocab_file,
            num_tokens,
            rows,
        )
