"""GLUE from TensorFlow Datasets.

Labels are read by their names, since their order differs from the order of our tasks, and examples
in the order of `idx`, the line of the published file.
"""

import dataclasses
import functools

import numpy as np
import tensorflow_datasets as tfds

from bert_tf.tasks import tfds_data

_SPLITS = {"train": "train", "dev": "validation", "test": "test"}

# The task of each data set, and our splits with those of TFDS.
_GLUE = {
    "cola": ("CoLA", _SPLITS),
    "sst2": ("SST-2", _SPLITS),
    "mrpc": ("MRPC", _SPLITS),
    "qqp": ("QQP", _SPLITS),
    "stsb": ("STS-B", _SPLITS),
    "mnli": (
        "MNLI",
        {
            "train": "train",
            "dev_matched": "validation_matched",
            "test_matched": "test_matched",
            "dev_mismatched": "validation_mismatched",
            "test_mismatched": "test_mismatched",
        },
    ),
    "mnli_matched": ("MNLI", {"dev_matched": "validation", "test_matched": "test"}),
    "mnli_mismatched": ("MNLI", {"dev_mismatched": "validation", "test_mismatched": "test"}),
    "qnli": ("QNLI", _SPLITS),
    "rte": ("RTE", _SPLITS),
    "wnli": ("WNLI", _SPLITS),
    "ax": ("MNLI", {"test": "test"}),
}

# Names of a submission's files where they differ from the task's.
_PREDICTION_FILES = {"ax": (("test", "AX.tsv"),)}


@dataclasses.dataclass(frozen=True)
class PreparedSplit(tfds_data.Prepared):
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
        rows, features = tfds_data.rows(
            self.dataset, self.split, data_dir, (*self.texts, "label", "idx")
        )
        order = np.argsort(rows["idx"], kind="stable")
        texts = [[rows[name][i].decode("utf-8") for i in order] for name in self.texts]
        labels = rows["label"][order]
        ids = rows["idx"][order].tolist()
        return texts, _label_texts(labels, features["label"]), [str(i) for i in ids], ids


def _prepared(config, splits, task):
    """Returns a GLUE task that reads a config of the data set "glue"."""
    dataset = f"glue/{config}"
    texts = tuple(tfds.builder_cls("glue").builder_configs[config].text_features)
    return dataclasses.replace(
        task,
        splits=tuple((ours, (PreparedSplit(dataset, theirs, texts),)) for ours, theirs in splits),
        label_names=tuple(zip(task.class_names, task.labels or (), strict=False)),
        prediction_files=_PREDICTION_FILES.get(config, task.prediction_files),
        arguments=(("tfds", dataset),),
    )


def _label_texts(labels, feature):
    """Returns names of classes, or numbers, as text; None where all are -1, as in test splits."""
    if (labels == -1).all():
        return None
    if isinstance(feature, tfds.features.ClassLabel):
        return [feature.int2str(label) if label >= 0 else str(label) for label in labels]
    return [str(label) for label in labels]


for _config, (_task, _splits) in _GLUE.items():
    _function = functools.partial(_prepared, _config, tuple(_splits.items()))
    tfds_data.DATASETS.register(f"glue/{_config}")(tfds_data.Dataset(_task, _function))
