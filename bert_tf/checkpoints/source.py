"""One entrance for every BERT: the format is recognised by what lies in the files."""

import dataclasses
import os

import tensorflow as tf
from absl import logging

from bert_tf.checkpoints import (
    config_keys,
    google_tf1,
    hugging_face,
    labels,
    live_encoder,
    own_format,
    tf_models,
    tokenizer_files,
)
from bert_tf.checkpoints.folder import find
from bert_tf.checkpoints.sentence_transformers import transformer_folder
from bert_tf.checkpoints.variables import (
    SAFETENSORS_FILE,
    SAFETENSORS_INDEX,
    open_checkpoint,
    open_safetensors,
)
from bert_tf.encoders.config import BertConfig
from bert_tf.heads.head import head_of

# Word embeddings are rounded up to a multiple of it; more rows that no token has are worth a word.
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
      tokenizer_rules: other arguments of the `Tokenizer`, a dict; what is left out is the default.
      labels: names of the classes in the order of the classifier's outputs, or None.
      missing_head: what its head is called if this project lacks it, else "".
    """

    config: BertConfig
    weights: dict
    vocab_file: str | None
    do_lower_case: bool | None
    format: str
    tokenizer_rules: dict = dataclasses.field(default_factory=dict)
    labels: tuple | None = None
    missing_head: str = ""

    @property
    def has_head(self):
        """Whether the weights of the task head are there."""
        return head_of(self.config).weights.keys() <= self.weights.keys()


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
    variables, reader, folder = _open(transformer_folder(os.fspath(path)))
    config_file = config_file or find(folder, reader.CONFIG_FILE, "BERT config")
    if config_file is None and reader is not tf_models:
        raise ValueError(
            f"{variables.origin} needs a BERT config: expected {reader.CONFIG_FILE!r} in "
            f"{folder!r}, found none; name the file by `config_file`."
        )
    tables = ()
    if pretraining_head and reader in (google_tf1, hugging_face):
        tables = (reader.TABLE | reader.MLM_TABLE,)
    config, weights = reader.read(variables, config_file, *tables)
    if reader is own_format:
        source = _own(folder, config, weights, vocab_file)
    else:
        source = _foreign(folder, config, weights, vocab_file, reader, config_file)
    if source.vocab_file is not None:
        _check_vocab(source)
    if reader is hugging_face and (missing := hugging_face.missing_head(variables, config_file)):
        logging.info("%s has the head of %s, which is left out.", variables.origin, missing)
        return dataclasses.replace(source, missing_head=missing, labels=None)
    return source


def _own(folder, config, weights, vocab_file):
    rules = dict(own_format.read_rules(folder) or {})
    return Source(
        config,
        weights,
        vocab_file or find(folder, tokenizer_files.VOCAB_FILE, "vocabulary"),
        rules.pop("do_lower_case", None),
        own_format.FORMAT,
        rules,
        own_format.labels(own_format.read_info(folder) or {}),
    )


def _foreign(folder, config, weights, vocab_file, reader, config_file):
    about, names = {}, None
    if config_file is not None:
        _, about, names = config_keys.read(config_file)
    vocab_file, rules = tokenizer_files.read(
        folder, vocab_file, about.get("tokenizer_class"), special_tokens=reader is hugging_face
    )
    do_lower_case = rules.pop("do_lower_case", None)
    source = Source(config, weights, vocab_file, do_lower_case, reader.FORMAT, rules)
    if config.head != "classifier" or not source.has_head:
        return source
    labels.check(names, config.num_labels, f"The BERT config {str(config_file)!r}")
    return dataclasses.replace(source, labels=names)


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
    targets = (SAFETENSORS_FILE, SAFETENSORS_INDEX)
    if not os.path.isdir(path):
        targets = tuple(name for name in targets if name == os.path.basename(path))
    if any(os.path.lexists(os.path.join(folder, name)) for name in targets):
        variables = open_safetensors(folder)
        ours = "encoder.embeddings.word_embeddings" in variables.shapes
        return variables, own_format if ours else hugging_face, folder
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
