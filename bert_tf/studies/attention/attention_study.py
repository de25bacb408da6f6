"""Attention maps of a model as files, a classifier of their patterns, and the patterns of heads.

B batch, T tokens, N heads of a block.
"""

import os

import numpy as np

from bert_tf import ranges
from bert_tf.checkpoints import read_source
from bert_tf.data import batching
from bert_tf.studies.attention import (
    attention_maps,
    attention_plots,
    pattern_classifier,
    pattern_data,
    pattern_shares,
    pattern_training,
)
from bert_tf.studies.masks import kept_units
from bert_tf.tasks import model_task
from flop_tf import files

#: The fields of `AttentionMaps` by the word of the paper.
KINDS = {"raw": "probabilities", "normed": "norms"}

#: Written last by each of the functions.
MAPS_FILE = "maps.json"
TRAINING_FILE = "training.json"
PATTERNS_FILE = "patterns.json"

CLASSIFIER_FOLDER = "classifier"

_BATCH = 8
# Pictures are of the first few texts.
_PICTURES = 3


def save_maps(examined, output_dir, num_texts=10, seed=0):
    """Writes the attention maps of random dev texts, and how widely each head looks.

    `raw.npz` and `normed.npz` hold a map `[T, T]` for each text, layer and head under the name
    TEXT_LAYER_HEAD, as `pattern_data.read_maps` reads them; `maps.json` the tokens by text and the
    entropies by layer and head, in nats; pictures are of the first three texts.

    Args:
      examined: an `Examined`.
      output_dir: where to write.
      num_texts: how many texts, all if there are fewer.
      seed: int, of their choice.

    Returns:
      The content of `maps.json`.

    Raises:
      ValueError: if a number is out of range.
      OSError: if a file cannot be written.
    """
    ranges.check("Argument `num_texts`", num_texts, int, ranges.FROM_1)
    number = min(num_texts, len(examined.encoded))
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(examined.encoded), number, replace=False))
    dataset = batching.evaluation_dataset(examined.encoded.take(chosen), _BATCH)
    by_text = _maps_by_text(examined.model, dataset)
    for kind, field in KINDS.items():
        named = {
            f"{text:04d}_{layer:02d}_{head:02d}": values
            for text, blocks in by_text.items()
            for layer, block in enumerate(blocks)
            for head, values in enumerate(getattr(block, field))
        }
        with files.replacing(os.path.join(output_dir, f"{kind}.npz")) as aside:
            with open(aside, "wb") as file:
                np.savez_compressed(file, **named)
        for text in sorted(by_text)[:_PICTURES]:
            picture = attention_plots.attention_heads([getattr(b, field) for b in by_text[text]])
            files.write_bytes(os.path.join(output_dir, f"{kind}-{text:04d}.png"), picture)
    entropy = attention_maps.attention_entropy(examined.model, dataset)
    data = {
        "model_dir": os.path.abspath(examined.folder),
        "texts": {
            f"{text:04d}": {"example": int(chosen[text]), "tokens": examined.tokens(chosen[text])}
            for text in sorted(by_text)
        },
        "entropy": [one.tolist() for one in entropy],
    }
    files.write_json(os.path.join(output_dir, MAPS_FILE), data)
    return data


def train_patterns(labels, maps, output_dir, kind, **settings):
    """Trains a classifier of patterns and writes it to the folder `classifier`.

    Args:
      labels: file, see `pattern_data.read_labels`.
      maps: folder or `.npz`, see `pattern_data.read_maps`.
      output_dir: where to write.
      kind: of `KINDS`.
      **settings: of `pattern_training.train`.

    Returns:
      The content of `training.json`: the report on the maps that were held out.

    Raises:
      ValueError: if a file or a setting does not fit.
      OSError: if a file cannot be written.
    """
    found = pattern_data.labelled(pattern_data.read_maps(maps), pattern_data.read_labels(labels))
    classifier, report = pattern_training.train(*found, kind=KINDS[kind], **settings)
    pattern_classifier.save(classifier, os.path.join(output_dir, CLASSIFIER_FOLDER))
    data = {"kind": kind, "maps": len(found[0]), "validation": report}
    files.write_json(os.path.join(output_dir, TRAINING_FILE), data)
    return data


def find_patterns(classifier, examined, masks, output_dir, num_texts=100, seed=0):
    """Writes the patterns of the heads of models, of all heads and of the kept ones.

    Args:
      classifier: folder of a `PatternClassifier`.
      examined: list of `Examined`, one for each seed.
      masks: mask files, one for each of them, or none.
      output_dir: where to write `patterns.json` and `patterns.png`.
      num_texts: dev texts of each model.
      seed: int, of their choice.

    Returns:
      Dict of `kind`, `shares` (by name of the bar, `TASK all` and `TASK kept`, None without a
      head), and with masks `survival`: for each pattern Pearson's correlation with it, and p.

    Raises:
      ValueError: if the models are of several tasks, there are not as many masks as models, or one
        is damaged or of another model.
      OSError: if a file cannot be written.
    """
    tasks = sorted({one.task.name for one in examined})
    if len(tasks) != 1:
        raise ValueError(
            f"Argument `examined` must be models of one task, received {tasks}; look at them apart."
        )
    if masks and len(masks) != len(examined):
        raise ValueError(
            f"Argument `masks` must have one file for each of the {len(examined)} models, received "
            f"{len(masks)}."
        )
    loaded = pattern_classifier.load(classifier)
    heads = [
        kept_units.unit_mask(path, one.model.config.dense)["heads"]
        for path, one in zip(masks, examined, strict=False)
    ]
    patterns = [
        pattern_shares.classify_heads(
            loaded, one.model, one.encoded, loaded.kind, num_texts=num_texts, seed=seed
        )
        for one in examined
    ]
    (task,) = tasks
    kind = next(word for word, field in KINDS.items() if field == loaded.kind)
    data = {"kind": kind, "shares": {f"{task} all": pattern_shares.shares(patterns, loaded.labels)}}
    if heads:
        data["shares"][f"{task} kept"] = pattern_shares.shares(patterns, loaded.labels, heads)
        data["survival"] = {}
        for number, label in enumerate(loaded.labels):
            r, p = pattern_shares.survivor_correlation(patterns, number, heads)
            data["survival"][label] = {"r": r, "p": p}
    picture = attention_plots.pattern_shares({n: bar for n, bar in data["shares"].items() if bar})
    files.write_bytes(os.path.join(output_dir, "patterns.png"), picture)
    files.write_json(os.path.join(output_dir, PATTERNS_FILE), data)
    return data


class Examined:
    """A model, and the dev texts of a task that it looks at.

    Attributes:
      folder: of the model.
      model: the BERT.
      task: its `Task`.
      encoded: the dev texts.

    Args:
      folder: a BERT of any format; one that knows its task needs no other argument.
      task_name: of the task, see `bert_tf.tasks.registry.get`.
      data_dir: its folder.
      tfds: data set of TensorFlow Datasets instead.
      max_seq_length: longest input in WordPieces; None takes the length of the training.

    Raises:
      ValueError: if the model or the task does not fit.
    """

    def __init__(self, folder, task_name="", data_dir="", tfds="", max_seq_length=None):
        self.folder = folder
        source = read_source(folder)
        self.task, data_dir = model_task.find_task(source.info, task_name, data_dir, tfds)
        length = model_task.longest(
            max_seq_length, source.info, source.config, self.task.default_seq_length
        )
        self.model = source.model()
        self._tokenizer = source.tokenizer()
        examples = self.task.read(data_dir, self.task.dev_splits[0])
        self.encoded = self.task.encode(examples, self._tokenizer, length)

    def tokens(self, index):
        """Returns the WordPieces of a text, a list.

        Args:
          index: int, the position of the text in `encoded`.
        """
        return [self._tokenizer.vocab[i] for i in self.encoded.ids[int(index)].numpy()]


def _maps_by_text(model, dataset):
    """Returns for each text the `AttentionMaps` of its blocks, cut to its tokens."""
    compute, found = attention_maps.attention_maps(model), {}
    for features, *_, indices in dataset:
        blocks = compute(features)
        tokens = np.sum(features["input_mask"], axis=1)
        for row, (index, size) in enumerate(zip(indices.numpy(), tokens, strict=True)):
            found[int(index)] = [
                attention_maps.AttentionMaps(
                    *(maps[row, :, :size, :size].numpy() for maps in block)
                )
                for block in blocks
            ]
    return found
