"""GLUE and SQuAD from TensorFlow Datasets: prepared directories in place of the published files.

Labels are read by their names, since their order differs from that of our tasks, and examples in
the order of `idx`, the line of the published file: a writer of TFDS shuffles them. So the same
examples give the same batches, whichever way they come.
"""

import dataclasses
import difflib
import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

from bert_tf.tasks import glue
from bert_tf.tasks.squad import SquadTask
from bert_tf.tasks.squad_examples import SquadExamples
from flop_tf import files

#: Each data set: its task, and our splits with theirs.
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
DATASETS = {
    "glue/cola": ("CoLA", _SPLITS),
    "glue/sst2": ("SST-2", _SPLITS),
    "glue/mrpc": ("MRPC", _SPLITS),
    "glue/qqp": ("QQP", _SPLITS),
    "glue/stsb": ("STS-B", _SPLITS),
    "glue/mnli": (
        "MNLI",
        {
            "train": "train",
            "dev_matched": "validation_matched",
            "test_matched": "test_matched",
            "dev_mismatched": "validation_mismatched",
            "test_mismatched": "test_mismatched",
        },
    ),
    "glue/mnli_matched": ("MNLI", {"dev_matched": "validation", "test_matched": "test"}),
    "glue/mnli_mismatched": ("MNLI", {"dev_mismatched": "validation", "test_mismatched": "test"}),
    "glue/qnli": ("QNLI", _SPLITS),
    "glue/rte": ("RTE", _SPLITS),
    "glue/wnli": ("WNLI", _SPLITS),
    "glue/ax": ("MNLI", {"test": "test"}),
    "squad": ("SQuAD", {"train": "train", "dev": "validation"}),
}

# The builder of a data set where it has another name.
_BUILDERS = {"squad": "squad/v1.1"}

# Names of labels that our tasks call "0" and "1", in this order.
_BINARY_LABELS = {
    "CoLA": ("unacceptable", "acceptable"),
    "SST-2": ("negative", "positive"),
    "MRPC": ("not_equivalent", "equivalent"),
    "QQP": ("not_duplicate", "duplicate"),
    "WNLI": ("not_entailment", "entailment"),
}

# What a damaged file raises, depending on the file.
_DAMAGE = (OSError, ValueError, json_format.Error, tf.errors.OpError)
_DOWNLOAD_ERRORS = (
    OSError,
    tfds.download.DownloadError,
    tfds.download.download_manager.NonMatchingChecksumError,
    tfds.download.extractor.ExtractError,
)


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """One split of a prepared data set, a source of a `bert_tf.tasks.task.Task`.

    Args:
      dataset: name of the data set, such as "glue/sst2".
      split: as TFDS calls it, such as "validation".
    """

    dataset: str
    split: str

    @property
    def file(self):
        """What an error calls it."""
        return f"{self.dataset}/{self.split}"

    def exists(self, data_dir):
        """Whether to read this one; always, since a split has one source."""
        return True


@dataclasses.dataclass(frozen=True)
class PreparedSplit(_Prepared):
    """One split of texts and labels; what `bert_tf.data.examples.Table` is for a file.

    Args:
      dataset: name of the data set, such as "glue/sst2".
      split: as TFDS calls it, such as "validation".
      texts: names of the one or two text features.
    """

    texts: tuple

    def read(self, data_dir):
        """Reads the split in the order of `idx`.

        Args:
          data_dir: folder of TFDS, with the prepared data set in it.

        Returns:
          `(texts, labels, ids, numbers)` as `Table.read`: labels are names or
          numbers as text, or None where all are -1; numbers are `idx`.

        Raises:
          ValueError: if the data set is not prepared there, damaged or lacks a feature.
        """
        rows, features = _rows(self.dataset, self.split, data_dir, (*self.texts, "label", "idx"))
        order = np.argsort(rows["idx"], kind="stable")
        texts = [[rows[name][i].decode("utf-8") for i in order] for name in self.texts]
        labels = rows["label"][order]
        ids = rows["idx"][order].tolist()
        return texts, _label_texts(labels, features["label"]), [str(i) for i in ids], ids


class PreparedSquad(_Prepared):
    """One split of SQuAD v1.1; what `bert_tf.tasks.squad_examples.SquadFile` is for a file."""

    def read(self, data_dir):
        """Returns the `SquadExamples` of the split: questions with one context are a paragraph.

        Raises:
          ValueError: if the data set is not prepared there, damaged or lacks a feature.
        """
        names = ("id", "title", "context", "question", "answers")
        rows, _ = _rows(self.dataset, self.split, data_dir, names)
        articles = {}
        for i, context in enumerate(rows["context"]):
            texts, starts = rows["answers"]["text"][i], rows["answers"]["answer_start"][i]
            question = {
                "id": rows["id"][i].decode("utf-8"),
                "question": rows["question"][i].decode("utf-8"),
                "answers": [
                    {"text": text.decode("utf-8"), "answer_start": int(start)}
                    for text, start in zip(texts.tolist(), starts.tolist(), strict=True)
                    if text  # Rows are padded to the most answers.
                ],
            }
            article = articles.setdefault(rows["title"][i].decode("utf-8"), {})
            article.setdefault(context.decode("utf-8"), []).append(question)
        return SquadExamples(
            [
                {"title": title, "paragraphs": [{"context": c, "qas": q} for c, q in paragraphs]}
                for title, paragraphs in ((t, list(p.items())) for t, p in articles.items())
            ]
        )


def task(dataset):
    """Returns the task of a data set; its `data_dir` is the folder of TFDS.

    Args:
      dataset: name of TFDS, such as "glue/sst2".

    Raises:
      ValueError: if it is unknown.
    """
    if dataset not in DATASETS:
        nearest = difflib.get_close_matches(dataset, DATASETS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"Unknown data set {dataset!r}, did you mean {nearest!r}? Expected one of "
            f"{list(DATASETS)}."
        )
    name, splits = DATASETS[dataset]
    if name == "SQuAD":
        return SquadTask(
            splits=tuple(
                (ours, (PreparedSquad(dataset, theirs),)) for ours, theirs in splits.items()
            ),
            arguments=(("tfds", dataset),),
        )
    collection, config = dataset.split("/")
    texts = tuple(tfds.builder_cls(collection).builder_configs[config].text_features)
    names = zip(_BINARY_LABELS.get(name, ()), ("0", "1"), strict=False)
    changes = {"prediction_files": (("test", "AX.tsv"),)} if config == "ax" else {}
    return dataclasses.replace(
        glue.TASKS[name],
        splits=tuple(
            (ours, (PreparedSplit(dataset, theirs, texts),)) for ours, theirs in splits.items()
        ),
        label_names=tuple(names),
        arguments=(("tfds", dataset),),
        **changes,
    )


def folder(data_dir=""):
    """Returns the folder of TFDS: `data_dir`, or its own default where that is empty."""
    return os.path.abspath(os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR))


def download(dataset, data_dir):
    """Downloads and prepares a data set, unless it is prepared already.

    Args:
      dataset: name of TFDS, such as "glue/sst2".
      data_dir: folder of TFDS.

    Raises:
      ValueError: if the name is unknown, or the data set cannot be downloaded.
    """
    task(dataset)
    builder = _builder(dataset, data_dir)
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare()
    except _DOWNLOAD_ERRORS as error:
        raise ValueError(
            f"The data set {dataset!r} cannot be downloaded to {str(data_dir)!r}, check the "
            f"network, or copy a prepared folder there: {error}"
        ) from error


def _builder(dataset, data_dir):
    """Returns the builder of the newest version in the folder, or one that can prepare it."""
    for folder, _, names in os.walk(os.path.join(data_dir, dataset)):
        for name in names:  # TensorFlow would wait for ever for what a FIFO holds.
            files.check_regular(os.path.join(folder, name), f"file of the data set {dataset!r}")
    try:
        return tfds.builder(f"{_BUILDERS.get(dataset, dataset)}:*.*.*", data_dir=data_dir)
    except _DAMAGE as error:
        raise _damaged(dataset, os.path.join(data_dir, dataset), error) from error


def _rows(dataset, split, data_dir, names):
    """Returns a whole split, an array or dict for each feature, and the features.

    Raises:
      ValueError: if the data set is not prepared there, damaged or lacks one of `names`.
    """
    builder = _builder(dataset, data_dir)
    if not builder.is_prepared():
        raise ValueError(
            f"The data set {dataset!r} is not prepared in {str(data_dir)!r}; name the "
            "folder of TFDS by --tfds_data_dir, or pass --tfds_download to download it there."
        )
    features = builder.info.features
    if missing := [name for name in names if name not in features]:
        raise ValueError(
            f"The data set {dataset!r} in {str(data_dir)!r} needs the features {missing}, "
            f"it has {sorted(features)}."
        )
    try:
        return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1)), features
    except _DAMAGE as error:
        raise _damaged(dataset, builder.data_dir, error) from error


def _damaged(dataset, path, error):
    return ValueError(
        f"The data set {dataset!r} in {str(path)!r} is damaged, delete that folder and prepare it "
        f"anew: {error}"
    )


def _label_texts(labels, feature):
    """Returns names of classes, or numbers, as text; None where all are -1, as in test splits."""
    if (labels == -1).all():
        return None
    if isinstance(feature, tfds.features.ClassLabel):
        return [feature.int2str(label) if label >= 0 else str(label) for label in labels]
    return [str(label) for label in labels]
