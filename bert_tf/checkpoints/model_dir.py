"""A model directory: everything that one stage of a model needs to be used again.

| file | holds |
|---|---|
| `bert_config.json` | `EncoderConfig`, uneven ranks, heads and widths included |
| `model.safetensors` | float32 weights by object path |
| `vocab.txt` or `tokenizer.json`, `tokenizer_config.json` | the tokenizer |
| `info.json`, `info.txt` | counts, task, labels, scores; the second with the original's keys |
| `run.flags` | every flag of the run that made it |
"""

import os

import safetensors.numpy

from bert_tf.checkpoints import tokenizer_files
from bert_tf.checkpoints.folder import find
from bert_tf.checkpoints.own_format import INFO_FILE, labels, read_info
from bert_tf.checkpoints.reading import read_source
from bert_tf.models import model_info
from flop_tf import files, surgery

__all__ = ["INFO_FILE", "labels"]


def save(folder, model, tokenizer, *, factorized=None, **info):
    """Writes a model directory, file by file, each replaced at once.

    Args:
      folder: the directory; made where it is missing.
      model: a `BertModel`.
      tokenizer: its `Tokenizer`.
      factorized: the `EncoderConfig` before the removal of masks, if there was one.
      **info: what else `info.json` says: task, labels, scores, ...; and the stage, where it
        is not the one that `model_info.stage` reads off the config.

    Raises:
      OSError: if a file cannot be written; no file is left half written.
    """
    os.makedirs(folder, exist_ok=True)
    zeros = model.budget().zero_parameters()
    counts = model_info.counts(model.config, factorized, zeros)
    with files.replacing(os.path.join(folder, "model.safetensors")) as aside:
        _save_weights(surgery.named_weights(model), aside)
    name, text = tokenizer.file()
    files.write_text(os.path.join(folder, name), text)
    files.write_json(os.path.join(folder, "tokenizer_config.json"), tokenizer.rules)
    files.write_json(os.path.join(folder, "bert_config.json"), model.config.to_dict())
    files.write_text(os.path.join(folder, "info.txt"), model_info.as_text(counts))
    files.write_json(
        os.path.join(folder, INFO_FILE),
        {
            "stage": model_info.stage(model.config),
            "vocabulary": tokenizer.digest,
            **info,
            **counts,
            "projections": model_info.per_projection(model.config),
        },
    )


def family_of(info):
    """Returns the part of `info.json` that all models of one checkpoint have: its family.

    Args:
      info: `Source.info`, a dict.
    """
    return {"family": info["family"]} if "family" in info else {}


def read(folder, config_file=None):
    """Returns the `Source` of a model directory: config, weights, tokenizer and info at once.

    Args:
      folder: the model directory.
      config_file: its config; None takes `bert_config.json` in the folder.

    Raises:
      ValueError: if the folder is no model directory or is damaged.
    """
    for name in (INFO_FILE, tokenizer_files.CONFIG_FILE):
        _present(folder, name, find(folder, name))
    _present(folder, tokenizer_files.VOCAB_FILE, tokenizer_files.find_vocabulary(folder))
    return read_source(folder, config_file)


def load(folder, config_file=None):
    """Returns the BERT of a model directory, at any stage and with any task head.

    Args:
      folder: the model directory.
      config_file: its config; None takes `bert_config.json` in the folder.

    Raises:
      ValueError: if the folder is no model directory or is damaged.
    """
    return read_source(folder, config_file).model()


def load_tokenizer(folder):
    """Returns the `Tokenizer` of a model directory.

    Args:
      folder: the model directory.

    Raises:
      ValueError: if the folder is no model directory or is damaged, or its vocabulary is not the
        one of the model.
    """
    return read(folder).tokenizer()


def load_info(folder):
    """Returns `info.json` of a model directory as a dict.

    Args:
      folder: the model directory.

    Raises:
      ValueError: if the folder has none or it is damaged.
    """
    return _present(folder, INFO_FILE, read_info(folder))


def stage_after(info, config):
    """Returns the stage of a model that was trained from another: a compact one stays so.

    Args:
      info: `info.json` of the model that the training began with, a dict; empty for a checkpoint.
      config: the `EncoderConfig` of the trained model.
    """
    stage = model_info.stage(config)
    return "compact" if stage != "gated" and info.get("stage") == "compact" else stage


def _present(folder, name, content):
    if content is None:
        raise ValueError(
            f"The folder {str(folder)!r} is no model directory: expected {name!r} in it."
        )
    return content


def _save_weights(weights, path):
    try:
        safetensors.numpy.save_file(weights, path)
    except safetensors.SafetensorError as error:
        raise OSError(f"The weights cannot be written to {path!r}: {error}.") from error
