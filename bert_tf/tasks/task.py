"""What a task is: splits, inputs, head, loss, scores and predictions."""

import abc
import dataclasses

import numpy as np
from absl import logging

from bert_tf.data import batching
from bert_tf.data.examples import Examples
from bert_tf.heads.head import HEADS
from bert_tf.tasks import class_counts, label_order, metrics, predictions

CLASSIFICATION_METRICS = (
    "eval_accuracy",
    "precision",
    "recall",
    "f1_score",
    "matthews_corrcoef",
)
REGRESSION_METRICS = ("pearson", "spearmanr", "mse")

# The largest score, since they are float32.
_MOST = float(np.finfo(np.float32).max)
# Labels that an error names.
_LISTED = 20


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """What is learned. Callers never branch on the task's name.

    N examples; the shape of logits and labels is the task's own.

    Args:
      name: as it is published, for example "SST-2".
      splits: tuple of `(split, sources)`; a source has `file`, `exists(data_dir)` and
        `read(data_dir)`, the first one that exists is read.
      primary_metric: the metric that decides which checkpoint is best.
      arguments: tuple of `(name, value)` of what `get` received beside the name.
    """

    name: str
    splits: tuple
    primary_metric: str
    arguments: tuple = ()

    #: Names of the classes in the order of the logits; None of a task without.
    labels = None
    #: Names of the texts that a request to a server holds.
    text_names = ("text",)
    #: Longest input in WordPieces where no length is given.
    default_seq_length = 128
    #: How many tasks share the model, each perhaps with a mask of its own; 0 of a single one.
    num_tasks = 0

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

    def check_head(self, config, owner):
        """Raises ValueError, naming `owner`, where a model of a config has not the task's head."""
        found = {name: getattr(config, name) for name in self.head}
        if found != self.head:
            raise ValueError(
                f"Task {self.name!r} needs {_listing(self.head)}, but {owner} has "
                f"{_listing(found)}; take one that was trained on this task."
            )
        self.check_masks(config, owner)

    def with_head(self, source, owner):
        """Returns a `Source` whose task head answers as this task wants it.

        Args:
          source: a `bert_tf.checkpoints.Source`.
          owner: of the head, for errors: "the model in 'x'".

        Raises:
          ValueError: if it is the head of another task, or one that this project lacks.
        """
        if source.missing_head:
            raise ValueError(
                f"Task {self.name!r} needs {_listing(self.head)}, but {owner} has the head of "
                f"{source.missing_head}, which this project lacks."
            )
        self.check_head(source.config, owner)
        return source

    def outputs_of(self, names, owner):
        """Returns which outputs of a head answer this task, in its order; slice or list.

        Args:
          names: of the outputs, or None.
          owner: of the head, for errors.

        Raises:
          ValueError: if they are of other labels.
        """
        return slice(None)

    def start(self, source, owner):
        """Returns a `Source` to train from: a head of other labels is dropped, with a word.

        Args:
          source: a `bert_tf.checkpoints.Source`.
          owner: of the head, for the log.
        """
        return source

    def check_masks(self, config, owner):
        """Raises ValueError, naming `owner`, where a model has masks of other tasks."""
        if config.num_masks not in (0, self.num_tasks):
            raise ValueError(
                f"Task {self.name!r} needs a model "
                f"{f'of {self.num_tasks}' if self.num_tasks else 'without'} masks of tasks, but "
                f"{owner} has {config.num_masks}; cut it to one task by flop-share-tickets."
            )

    def source(self, data_dir, split):
        """Returns the first source of a split that exists in `data_dir`.

        Raises:
          ValueError: if there is no such split or none of its files.
        """
        if not data_dir:
            raise ValueError(f"Task {self.name} needs `data_dir`, the folder of its files.")
        sources = dict(self.splits).get(split)
        if sources is None:
            raise self._no_split(split)
        for source in sources:
            if source.exists(data_dir):
                return source
        files = list(dict.fromkeys(source.file for source in sources))
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

    def holdout(self, examples, num_examples, seed):
        """Splits examples into `(rest, held out)`, see `bert_tf.data.batching.holdout`."""
        return batching.holdout(examples, num_examples, seed)

    def first(self, examples, num_examples):
        """Returns the first of what `read` returned, at most so many."""
        return examples.take(range(min(num_examples, len(examples))))

    def sample(self, examples, num_examples, seed):
        """Returns some of what `read` returned, drawn at random, in their old order.

        Raises:
          ValueError: if there are not so many.
        """
        if not 1 <= num_examples <= len(examples):
            raise ValueError(
                f"Argument `train_subset` must be at most the {len(examples)} training examples, "
                f"received {num_examples}."
            )
        chosen = np.random.default_rng(seed).permutation(len(examples))[:num_examples]
        return examples.take(np.sort(chosen))

    @property
    @abc.abstractmethod
    def head(self):
        """Fields of the `BertConfig` that make the task head, a dict."""

    @property
    def head_class(self):
        """The class of the task head, a `bert_tf.heads.head.Head`."""
        return HEADS[self.head["head"]]

    @property
    @abc.abstractmethod
    def metrics(self):
        """Names of the scores beside `eval_loss`."""

    @abc.abstractmethod
    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again, without looking at files."""

    @abc.abstractmethod
    def read(self, data_dir, split):
        """Reads one split; the examples have a length and `take(indices)`.

        Raises:
          ValueError: if the split or a file is missing or its content does not fit.
        """

    @abc.abstractmethod
    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns the `EncodedExamples` of what `read` returns.

        Args:
          examples: what `read` returned.
          tokenizer: `bert_tf.tokenizers.tokenization.Tokenizer`.
          max_seq_length: the most tokens of an example.
          training: whether they are only trained on, not scored.
        """

    @abc.abstractmethod
    def texts(self, examples):
        """Returns a list of strings by each of `text_names`, of what `read` returned."""

    def encode_texts(self, texts, tokenizer, max_seq_length):
        """Returns what a server makes of requests, as `encode` does; it works inside a graph.

        Args:
          texts: string tensors `[B]` by each of `text_names`.
          tokenizer: `bert_tf.tokenizers.tokenization.Tokenizer`.
          max_seq_length: the most tokens of a request; longer ones are cut.

        Returns:
          A `bert_tf.tokenizers.tokenization.Encoded`.
        """
        tokens = [tokenizer.tokenize(texts[name]) for name in self.text_names]
        return tokenizer.pack(tokens, max_seq_length)

    def check_length(self, max_seq_length):
        """Raises ValueError where requests of so many tokens are too short for the task."""
        return None

    def batch_change(self, tokenizer):
        """Returns what happens to each batch of training, or None for nothing.

        Args:
          tokenizer: `bert_tf.tokenizers.tokenization.Tokenizer`.

        Returns:
          A function of features and two ints, the seed of the batch, that returns features and
          labels.
        """
        return None

    def loss(self):
        """Returns the Keras loss of `(labels, logits)`, that of the head."""
        return self.head_class.loss(self.head["num_labels"])

    @abc.abstractmethod
    def score(self, logits, encoded):
        """Returns `eval_loss` and the metrics of a whole labelled split, a dict of floats.

        Args:
          logits: of every example of `encoded`, in its order.
          encoded: what `encode` returned.
        """

    @abc.abstractmethod
    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes the predictions for a split in the published format.

        Args:
          split: its name.
          examples: what `read` returned.
          encoded: what `encode` returned for them.
          logits: of every example of `encoded`, in its order.
          directory: where to write; made if it does not exist.
        """


@dataclasses.dataclass(frozen=True)
class TextTask(Task):
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
      arguments: tuple of `(name, value)` of what `get` received beside the name.
    """

    primary_metric: str = "eval_accuracy"
    labels: tuple | None = None
    prediction_files: tuple = ()
    score_range: tuple | None = None
    label_names: tuple = ()
    class_names: tuple = ()

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
        """A classifier of `num_outputs`, as fields of `BertConfig`."""
        return {"head": "classifier", "num_labels": self.num_outputs}

    @property
    def metrics(self):
        """Names that `bert_tf.tasks.metrics.score` returns."""
        return REGRESSION_METRICS if self.is_regression else CLASSIFICATION_METRICS

    def with_head(self, source, owner):
        """Returns a `Source` whose outputs are in the order of the labels, see `Task`."""
        source = super().with_head(source, owner)
        if self.is_regression or not source.has_head:
            return source
        return label_order.in_order(source, self.outputs_of(source.labels, owner), self.labels)

    def outputs_of(self, names, owner):
        """Returns the outputs in the order of the labels, see `Task`."""
        return label_order.outputs_of(names, self, owner)

    def start(self, source, owner):
        """Returns a `Source` to train from; a head of these labels goes on, see `Task`."""
        if not source.has_head:
            return source
        try:
            return self.with_head(source, owner)
        except ValueError as error:
            logging.info("The task head starts anew. %s", error)
            return label_order.without_head(source)

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
        texts, labels, ids, line_numbers = table.read(data_dir)
        if labels is not None:
            labels = self._parse(labels, line_numbers, f"{data_dir}/{table.file}")
            if split == "train" and not self.is_regression:
                class_counts.report(f"{data_dir}/{table.file}", self.labels, labels)
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

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes what GLUE wants, see `bert_tf.tasks.predictions.write`."""
        predictions.write(self, split, examples.ids, logits, directory)

    def _parse(self, labels, line_numbers, path):
        """Turns label texts into int32 classes or float32 scores."""
        if self.is_regression:
            expected = (
                "a finite number such as 1.5"
                if self.score_range is None
                else "a number from {} to {}".format(*self.score_range)
            )
            values = [self._score(text) for text in labels]
        else:
            expected = f"one of {list(self.labels[:_LISTED])}"
            expected += f" and {len(self.labels) - _LISTED} others" * (len(self.labels) > _LISTED)
            classes = {label: i for i, label in enumerate(self.labels)}
            classes.update((text, classes[label]) for text, label in self.label_names)
            values = [classes.get(text.strip()) for text in labels]
        if None in values:
            row = values.index(None)
            raise ValueError(
                f"The data file {path!r} needs {expected} as a label, received "
                f"{labels[row][:80]!r} in line {line_numbers[row]}."
            )
        return np.array(values, np.float32 if self.is_regression else np.int32)

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


def _listing(fields):
    return " and ".join(f"{name}={value!r}" for name, value in fields.items())
