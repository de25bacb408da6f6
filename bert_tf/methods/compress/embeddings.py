"""A dense BERT with fewer WordPieces and a word embedding of a rank, before units are chosen.

| folder | holds |
|---|---|
| `fewer_words` | the model without the WordPieces that nothing uses; teacher of all others |
| `word_factors` | the same with two factors of the word embedding, its projections repaired |

V WordPieces.
"""

import dataclasses
import os

import numpy as np
from absl import logging

from bert_tf.checkpoints import model_dir, tokenizer_files
from bert_tf.data import batching
from bert_tf.data.text_blocks import TextFile
from bert_tf.methods.compress import block_repair
from bert_tf.surgery import vocabulary, word_embedding
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import files

# No text has as many tokens: texts are counted whole.
_WHOLE = 2**30
# Examples a batch.
_BATCH = 32


def token_counts(tokenizer, *texts):
    """Returns how often texts have each WordPiece, int64 `[V]`, special tokens included.

    Args:
      tokenizer: a `bert_tf.tokenizers.tokenizer.TextTokenizer`.
      *texts: list of N strings, or two of pairs.
    """
    ids = tokenizer.encode(*texts, max_seq_length=_WHOLE).ids.flat_values.numpy()
    return np.bincount(ids, minlength=len(tokenizer.vocab))


def smallest(options, config):
    """Returns the config of a model with the least that the options may leave of its embedding.

    Args:
      options: `CompressOptions`.
      config: the `EncoderConfig` of the dense model.

    Raises:
      ValueError: if the rank does not fit, or the general text is missing, empty or not UTF-8.
    """
    if options.general_text:
        _general_lines(options)
    if options.embedding_rank is not None:
        word_embedding.check(config, options.embedding_rank)
        config = dataclasses.replace(config, word_embedding_rank=options.embedding_rank)
    return dataclasses.replace(config, vocab_size=1) if options.cut_vocabulary else config


def with_fewer_words(options, folder, inputs):
    """Makes a model without WordPieces that its task never uses, if options say so.

    Args:
      options: `CompressOptions`.
      folder: model directory of the dense model.
      inputs: its `bert_tf.runs.run_inputs.RunInputs`.

    Returns:
      The folder of the new model, or the one of the old model.

    Raises:
      ValueError: if the general text is empty or not UTF-8.
    """
    smaller = os.path.join(options.output_dir, "fewer_words")
    if not options.cut_vocabulary or _is_done(smaller):
        return smaller if options.cut_vocabulary else folder
    source, tokenizer = _source(folder, inputs), inputs.tokenizer
    kept = vocabulary.needed(tokenizer) | (_training_counts(options, inputs) > 0)
    if options.general_text:
        general = token_counts(tokenizer, _general_lines(options))
        kept |= vocabulary.frequent(general, options.general_share)
    config, weights = vocabulary.cut(source.config, source.weights, kept)
    pieces = np.array(tokenizer.vocab)[kept]
    logging.info("%d of %d WordPieces stay.", len(pieces), len(kept))
    os.makedirs(smaller, exist_ok=True)
    path = os.path.join(smaller, tokenizer_files.VOCAB_FILE)
    files.write_text(path, "".join(f"{piece}\n" for piece in pieces))
    model = dataclasses.replace(source, config=config, weights=weights).model()
    model_dir.save(smaller, model, Tokenizer(path, **tokenizer.rules), **source.inherited)
    return smaller


def with_factors(options, folder, inputs):
    """Makes a model whose word embedding has a rank, if options say so.

    Args:
      options: `CompressOptions`.
      folder: model directory of the model, with one matrix.
      inputs: its `RunInputs`.

    Returns:
      The folder of the new model, or the one of the old model.

    Raises:
      ValueError: if the rank does not fit.
    """
    factorized = os.path.join(options.output_dir, "word_factors")
    if options.embedding_rank is None or _is_done(factorized):
        return folder if options.embedding_rank is None else factorized
    source, counts = _source(folder, inputs), _training_counts(options, inputs)
    config, weights = word_embedding.factorize(
        source.config, source.weights, counts, options.embedding_rank
    )
    model = dataclasses.replace(source, config=config, weights=weights).model()
    examples = block_repair.some_examples(inputs.data.train, options)
    dataset = batching.evaluation_dataset(examples, _BATCH)
    teacher, report = source.model(), {}
    if options.repair:
        report = block_repair.repair(model, teacher, teacher, dataset)
    model_dir.save(factorized, model, inputs.tokenizer, repair=report, **source.inherited)
    return factorized


def _general_lines(options):
    place, name = os.path.split(options.general_text)
    return TextFile(name).read(place).lines


def _source(folder, inputs):
    return inputs.task.with_head(model_dir.read(folder), f"the model in {folder!r}")


def _training_counts(options, inputs):
    """Returns how often the training text has each WordPiece, int64 `[V]`."""
    examples = inputs.task.read(options.data_dir, "train")
    return token_counts(inputs.tokenizer, *inputs.task.texts(examples).values())


def _is_done(folder):
    return os.path.isfile(os.path.join(folder, model_dir.INFO_FILE))
