"""A class or a score for a text or a pair of texts."""

import dataclasses

import numpy as np
from absl import logging
from scipy import special

from bert_tf.data import batching
from bert_tf.data.examples import Examples
from bert_tf.tasks import class_counts, metrics, predictions
from bert_tf.tasks.labelled_task import LabelledTask

CLASSIFICATION_METRICS = (
    "eval_accuracy",
    "precision",
    "recall",
    "f1_score",
    "matthews_corrcoef",
)
REGRESSION_METRICS = ("pearson", "spearmanr", "mse")
#: What the label of a regression without a range is.
NUMBER = "a finite number such as 1.5"

# The largest score, since they are float32.
_MOST = float(np.finfo(np.float32).max)
# Labels that an error names.
_LISTED = 20


@dataclasses.dataclass(frozen=True)
class TextTask(LabelledTask):
    """A class or a score for a text or a pair of texts.

    Args:
      name: as it is written in GLUE, for example "SST-2".
      splits: tuple of `(split, tables)`, see `bert_tf.data.examples.Table`.
      primary_metric: the metric that decides which checkpoint is best.
      labels: the classes as text, in the order of the logits; None for a regression.
      prediction_files: tuple of `(split, file name)` of a GLUE submission.
      score_range: `(lowest, highest)` score of a regression, or None for any.
      label_names: tuple of `(text in the file, label)` where they differ.
      class_names: published names of the classes, in the order of `labels`, where these are
        numbers; empty where they are names themselves.
      arguments: tuple of `(name, value)` of the other arguments of `get`, for `to_dict`.
    """

    primary_metric: str = "eval_accuracy"
    labels: tuple | None = None
    prediction_files: tuple = ()
    score_range: tuple | None = None
    label_names: tuple = ()
    class_names: tuple = ()

    has_single_answer = True

    @property
    def is_regression(self):
        """Whether a float is predicted."""
        return self.labels is None

    @property
    def num_outputs(self):
        """Width of the classifier."""
        return 1 if self.is_regression else len(self.labels)

    @property
    def num_texts(self):
        """1, or 2 for pairs of texts."""
        _, tables = self.splits[0]
        return len(tables[0].texts)

    @property
    def head(self):
        """A classifier of `num_outputs`, as fields of `EncoderConfig`."""
        return {"head": "classifier", "num_labels": self.num_outputs}

    @property
    def metrics(self):
        """Names that `bert_tf.tasks.metrics.score` returns."""
        return REGRESSION_METRICS if self.is_regression else CLASSIFICATION_METRICS

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
        table = self.source(data_dir, split)
        path = f"{data_dir}/{table.file}"
        texts, labels, ids, line_numbers = table.read(data_dir)
        if labels is not None and split == "test" and self._are_placeholders(labels, path):
            logging.info("%s: its labels are all %r, so it counts as without.", path, labels[0])
            labels = None
        if labels is not None:
            labels = self._parse(labels, line_numbers, path)
            self._report(path, labels, split)
        return Examples(texts[0], texts[1] if len(texts) > 1 else None, labels, ids)

    @property
    def text_names(self):
        """`text`, or `text_a` and `text_b`."""
        return ("text",) if self.num_texts == 1 else ("text_a", "text_b")

    def texts(self, examples):
        """Returns the texts of `Examples` by name."""
        return dict(zip(self.text_names, (examples.texts_a, examples.texts_b), strict=False))

    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns the `EncodedExamples` of `Examples`; longer ones are cut."""
        return batching.encode(examples, tokenizer, max_seq_length)

    def score(self, logits, encoded):
        """Returns `eval_loss` and the metrics of logits `[N, num_outputs]`, a dict of floats."""
        scores = metrics.score(self, logits, encoded.labels)
        return {"eval_loss": metrics.loss(self, logits, encoded.labels), **scores}

    def by_label(self, logits, encoded):
        """Returns the scores of each class, see `Task`."""
        if self.is_regression:
            return []
        return metrics.by_class(self._names, self.decided(logits), encoded.labels)

    def compared(self, examples, answers, other, other_answers):
        """Returns which classes differ, or how far all scores are apart, see `Task`.

        Of classes the distance is half the sum of the absolute differences of the probabilities.
        """
        (logits, _), (other_logits, _) = answers, other_answers
        if self.is_regression:
            scores = examples.labels, logits[:, 0], other_logits[:, 0]
            return np.ones(len(examples), bool), np.abs(scores[1] - scores[2]), scores
        classes = examples.labels, self.decided(logits), other.decided(other_logits)
        both = (logits, other_logits)
        first, second = (special.softmax(x.astype(np.float64), axis=1) for x in both)
        shown = [[self._names[number] for number in numbers] for numbers in classes]
        return classes[1] != classes[2], np.abs(first - second).sum(axis=1) / 2, shown

    def texts_of(self, logits):
        """Returns the text of each answer, as in files of predictions.

        Args:
          logits: `[N, num_outputs]`.
        """
        if self.is_regression:
            if self.score_range is None:
                return [f"{score:.6g}" for score in logits[:, 0]]
            return [f"{score:.3f}" for score in np.clip(logits[:, 0], *self.score_range)]
        return [self.labels[number] for number in self.decided(logits)]

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes what GLUE wants, see `bert_tf.tasks.predictions.write`."""
        predictions.write(self, split, examples.ids, logits, directory)

    @property
    def _names(self):
        """The names of the classes for people."""
        return self.class_names or self.labels

    @property
    def _listing(self):
        """The labels, as an error names them."""
        more = len(self.labels) - _LISTED
        return f"{list(self.labels[:_LISTED])}" + (f" and {more} others" if more > 0 else "")

    def _are_placeholders(self, labels, path):
        """Returns whether all labels of a test file are the same and none, as -1 or empty cells."""
        cells = {"".join(one).strip() for one in labels}
        if len(cells) > 1:
            return False
        try:
            self._parse(labels[:1], [1], path)
        except ValueError:
            return True
        return cells == {""}

    def _report(self, path, labels, split):
        """Logs what a training file says of its labels."""
        if not self.is_regression and split == "train":
            class_counts.report(path, self.labels, labels)

    def _parse(self, labels, line_numbers, path):
        """Turns label texts into int32 classes or float32 scores."""
        if self.is_regression:
            expected = (
                NUMBER
                if self.score_range is None
                else "a number from {} to {}".format(*self.score_range)
            )
            values = [self._score(text) for text in labels]
        else:
            expected = f"one of {self._listing}"
            classes = {label: i for i, label in enumerate(self.labels)}
            classes.update((text, classes[label]) for text, label in self.label_names)
            values = [classes.get(text.strip()) for text in labels]
        for text, value, number in zip(labels, values, line_numbers, strict=True):
            if value is None:
                raise self._refused(path, expected, text, number)
        return np.array(values, np.float32 if self.is_regression else np.int32)

    @staticmethod
    def _refused(path, expected, text, number):
        return ValueError(
            f"The data file {path!r} needs {expected} as a label, received {text[:80]!r} in line "
            f"{number}."
        )

    def _score(self, text):
        """Returns the number in `text`, or None where it is not one that is expected."""
        if "_" in text or not text.isascii():  # Python reads "1_000" and digits of all scripts.
            return None
        try:
            value = float(text)
        except ValueError:
            return None
        low, high = self.score_range or (-_MOST, _MOST)
        return value if low <= value <= high else None  # NaN is not.
