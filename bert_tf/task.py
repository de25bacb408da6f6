"""What a task is: labels, splits, metrics and the reading of its files."""

import dataclasses
import math

import numpy as np

from bert_tf.examples import Examples

CLASSIFICATION_METRICS = (
    "eval_accuracy",
    "precision",
    "recall",
    "f1_score",
    "matthews_corrcoef",
)
REGRESSION_METRICS = ("pearson", "spearmanr", "mse")


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learned, and where its examples lie.

    Args:
      name: as it is written in GLUE, for example "SST-2".
      labels: the classes as text, in the order of the logits; None for a regression.
      splits: tuple of `(split, tables)`; the first table whose files exist is read.
      primary_metric: the metric that decides which checkpoint is best.
      prediction_files: tuple of `(split, file name)` of a GLUE submission.
      score_range: `(lowest, highest)` score of a regression, or None for any.
      label_names: tuple of `(text in the file, label)` where they differ.
      arguments: tuple of `(name, value)` of what `get` received beside the name.
    """

    name: str
    labels: tuple | None
    splits: tuple
    primary_metric: str = "eval_accuracy"
    prediction_files: tuple = ()
    score_range: tuple | None = None
    label_names: tuple = ()
    arguments: tuple = ()

    @property
    def is_regression(self):
        """Whether a float is predicted."""
        return self.labels is None

    @property
    def num_outputs(self):
        """Width of the classifier."""
        return 1 if self.is_regression else len(self.labels)

    @property
    def metrics(self):
        """Names that `bert_tf.metrics.score` returns."""
        return REGRESSION_METRICS if self.is_regression else CLASSIFICATION_METRICS

    @property
    def dev_splits(self):
        """Names of the splits to evaluate on; the first one decides."""
        return self.expand("dev")

    @property
    def test_splits(self):
        """Names of the splits to predict."""
        return self.expand("test")

    def expand(self, split):
        """Returns the splits that `split` names: "dev" of MNLI is two.

        Raises:
          ValueError: if the task has no such split.
        """
        names = tuple(name for name, _ in self.splits)
        found = tuple(name for name in names if name == split or name.startswith(f"{split}_"))
        if not found:
            raise self._no_split(split)
        return found

    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again, without looking at files."""
        labels = None if self.is_regression else list(self.labels)
        arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in self.arguments}
        return {"name": self.name, "labels": labels, **arguments}

    def read(self, data_dir, split):
        """Reads one split of the published layout.

        Args:
          data_dir: folder of the task, such as "glue/SST-2".
          split: one of the names in `splits`.

        Returns:
          `Examples`; the labels are None where a test file has none.

        Raises:
          ValueError: if the split, a file or a column is missing, or the
            content is empty, not UTF-8, too short or has an unknown label.
        """
        table = self._table(data_dir, split)
        texts, labels, ids, line_numbers = table.read(data_dir)
        if labels is not None:
            labels = self._parse(labels, line_numbers, f"{data_dir}/{table.file}")
        return Examples(texts[0], texts[1] if len(texts) > 1 else None, labels, ids)

    def _table(self, data_dir, split):
        if not data_dir:
            raise ValueError(f"Task {self.name} needs `data_dir`, the folder of its files.")
        tables = dict(self.splits).get(split)
        if tables is None:
            raise self._no_split(split)
        for table in tables:
            if table.exists(data_dir):
                return table
        files = list(dict.fromkeys(table.file for table in tables))
        raise ValueError(
            f"Task {self.name} reads its split {split!r} from {' or '.join(files)}, but the folder "
            f"{str(data_dir)!r} has no such file."
        )

    def _no_split(self, split):
        tfds = dict(self.arguments).get("tfds")
        source = f" in the data set {tfds!r}" if tfds else ""
        return ValueError(
            f"Task {self.name} has no split {split!r}{source}, expected one of "
            f"{[name for name, _ in self.splits]}."
        )

    def _parse(self, labels, line_numbers, path):
        """Turns label texts into int32 classes or float32 scores."""
        if self.is_regression:
            expected = (
                "a number"
                if self.score_range is None
                else "a number from {} to {}".format(*self.score_range)
            )
            values = [self._score(text) for text in labels]
        else:
            expected = f"one of {list(self.labels)}"
            classes = {label: i for i, label in enumerate(self.labels)}
            classes.update((text, classes[label]) for text, label in self.label_names)
            values = [classes.get(text.strip()) for text in labels]
        if None in values:
            row = values.index(None)
            raise ValueError(
                f"The data file {path!r} needs {expected} as a label, received {labels[row]!r} in "
                f"line {line_numbers[row]}."
            )
        return np.array(values, np.float32 if self.is_regression else np.int32)

    def _score(self, text):
        """Returns the number in `text`, or None where it is not one that is expected."""
        try:
            value = float(text)
        except ValueError:
            return None
        low, high = self.score_range or (-math.inf, math.inf)
        return value if math.isfinite(value) and low <= value <= high else None
