"""The task "embedding": vectors of texts, learned from a teacher or from scored pairs."""

import dataclasses
import fnmatch
import os

import numpy as np
from absl import logging

from bert_tf.data.examples import DataFile, Table, check_alone
from bert_tf.data.text_blocks import TextFile
from bert_tf.encoders.config import POOLINGS
from bert_tf.heads.head import with_changes
from bert_tf.models.weight_paths import in_encoder
from bert_tf.option_fields import option
from bert_tf.tasks import predictions, text_pairs
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.task import Task
from bert_tf.tasks.text_task import TextTask

#: Files with a sentence a line, which are all read.
SENTENCES = "train*.txt"

_SPLITS = ("train", "dev", "test")
_ENDINGS = ("tsv", "csv", "jsonl")


@dataclasses.dataclass(frozen=True)
class PairOptions:
    """The options of embeddings: the columns of pairs, and the head of a checkpoint without one."""

    pair_columns: str = option(
        "sentence1,sentence2,score",
        "Task embedding: columns of two texts and of their score; of two columns alone the first "
        "is a query, the second its answer.",
        list_of=str,
    )
    pooling: str = option(
        "",
        "Task embedding: what the embedding is of the tokens of a checkpoint that does not say it.",
        ("", *POOLINGS),
    )
    l2_normalize: bool = option(
        False, "Task embedding: whether it is divided by its length there.", needs="pooling"
    )


@dataclasses.dataclass(frozen=True)
class SentenceLines(DataFile):
    """Files with a sentence a line; blank lines are none.

    Args:
      file: pattern of their names, such as `SENTENCES`.
      excludes: files that must not lie next to them, since they could be meant as well.
    """

    excludes: tuple = ()

    def exists(self, data_dir):
        """Whether one of the files lies in `data_dir`.

        Args:
          data_dir: folder of the task.
        """
        return bool(self._names(data_dir))

    def read(self, data_dir):
        """Reads all sentences, those of a file after each other.

        Args:
          data_dir: the folder of the files.

        Returns:
          `(texts, labels, ids, line_numbers)` as `bert_tf.data.examples.Table.read`; the labels
          are None.

        Raises:
          ValueError: if a file is empty or not UTF-8, or there is a table next to them.
        """
        check_alone(data_dir, self.file, self.excludes)
        found = [TextFile(name).read(data_dir).lines for name in self._names(data_dir)]
        sentences = [line.strip() for lines in found for line in lines]
        numbers = list(range(1, len(sentences) + 1))
        return [sentences], None, [str(number) for number in range(len(sentences))], numbers

    def _names(self, data_dir):
        names = os.listdir(data_dir) if os.path.isdir(data_dir) else []
        return sorted(fnmatch.filter(names, self.file))


@dataclasses.dataclass(frozen=True)
class EmbeddingTask(Task):
    """Vectors of texts, scored by the cosines of pairs.

    Args:
      name: "embedding".
      splits: tuple of `(split, sources)`, follows from the columns.
      primary_metric: the metric that decides which checkpoint is best, follows from the columns.
      arguments: tuple of `(name, value)` of the other arguments of `get`.
      pair_columns: names of the columns of two texts and, of scored pairs, of their score.
      pooling: of a checkpoint that does not say its own, or "".
      l2_normalize: whether its embedding is divided by its length.
    """

    name: str = "embedding"
    splits: tuple = ()
    primary_metric: str = ""
    pair_columns: tuple = ()
    pooling: str = ""
    l2_normalize: bool = False

    needs_finetuning = False

    def __post_init__(self):
        splits = tuple((split, _sources(split, *self.pair_columns)) for split in _SPLITS)
        object.__setattr__(self, "splits", splits)
        object.__setattr__(self, "primary_metric", self.metrics[0])

    @property
    def is_scored(self):
        """Whether pairs have scores; else the second text is the answer to the first."""
        return len(self.pair_columns) == 3

    @property
    def head(self):
        """The head of embeddings, as fields of `EncoderConfig`."""
        fields = {"head": "embedding", "num_labels": 1}
        if self.pooling:
            fields |= {"pooling": self.pooling, "normalized": self.l2_normalize}
        return fields

    @property
    def metrics(self):
        """Correlations with the scores of pairs, or recalls of answers."""
        if self.is_scored:
            return ("spearmanr", "pearson")
        return tuple(map(text_pairs.recall_name, text_pairs.RECALLS))

    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again, without looking at files."""
        return {
            "name": self.name,
            "pair_columns": list(self.pair_columns),
            "pooling": self.pooling,
            "l2_normalize": self.l2_normalize,
        }

    def has_head(self, source):
        """Returns True: without a head there is the `pooling`, which has no weights."""
        return True

    def with_head(self, source, owner):
        """Returns a `Source` with the head, by the `pooling` if it lacks one, see `Task`."""
        name = self.head["head"]
        if source.config.head != name:
            if not self.pooling:
                raise ValueError(
                    f"Task {self.name!r} needs a folder of sentence-transformers or a model of its "
                    f"own, but {owner} does not say how its tokens become an embedding; name it by "
                    "`pooling`."
                )
            encoder = {path: one for path, one in source.weights.items() if in_encoder(path)}
            config = with_changes(source.config, **self.head)
            changes = {"config": config, "weights": encoder, "labels": None, "missing_head": ""}
            source = dataclasses.replace(source, **changes)
        return super().with_head(source, owner)

    def start(self, source, owner):
        """Returns a `Source` to train from, which has the head, see `with_head`."""
        return self.with_head(source, owner)

    def seq_length(self, info):
        """Returns the length that the folder of the model says, else the usual one."""
        return info.get("max_seq_length", self.default_seq_length)

    def read(self, data_dir, split):
        """Reads the `bert_tf.data.examples.Examples` of a split: sentences, or pairs of texts.

        Scores are brought to [0, 1] by the lowest and the highest of the file.
        """
        found = self._table.read(data_dir, split)
        if found.labels is None:
            return found
        return dataclasses.replace(found, labels=_share_of_range(found.labels))

    def holdout(self, examples, num_examples, seed):
        """Splits examples at random; sentences have no scores to hold out."""
        if num_examples and examples.texts_b is None:
            raise ValueError(
                "Argument `holdout_examples` must be 0 where single sentences are trained on, "
                f"which have no score, received {num_examples}."
            )
        return super().holdout(examples, num_examples, seed)

    def texts(self, examples):
        """Returns all texts; those of a pair follow each other."""
        return {"text": text_pairs.flat(examples)}

    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns `bert_tf.tasks.text_pairs.EncodedTexts`.

        Texts without a score have labels too where they are trained on, with the number -1.
        """
        scores, in_pairs = None, False
        if examples.labels is not None:
            scores, in_pairs = examples.labels, training
        elif not (training or self.is_scored):
            scores = np.ones(len(examples))
        encoded = text_pairs.encode(examples, tokenizer, max_seq_length, scores, in_pairs)
        if encoded.labels is None and training:
            labels = np.tile(np.float32([-1, 0]), [len(encoded), 1])
            return dataclasses.replace(encoded, labels=labels)
        return encoded

    def check_training(self, encoded, has_teacher):
        """Raises ValueError where texts have neither a score nor a teacher."""
        if not has_teacher and encoded.labels[0, 0] < 0:
            raise ValueError(
                f"Task {self.name!r} learns from texts without scores by a `teacher` alone, "
                "received none; name the model directory of one, or train on scored pairs."
            )

    def score(self, logits, encoded):
        """Returns `eval_loss` and the metrics of embeddings `[N, H]`, a dict of floats.

        The loss is the mean of `(cos - score)^2`, where the answer to a query has the score 1.
        """
        found, pairs = text_pairs.pair_cosines(logits, encoded), encoded.pairs
        if encoded.labels is None or not len(pairs):
            raise ValueError(f"Task {self.name!r} scores pairs of texts, received none.")
        scores = encoded.labels[pairs[:, 0], 1].astype(np.float64)
        loss = {"eval_loss": float(np.square(found - scores).mean())}
        if self.is_scored:
            return loss | text_pairs.correlations(found, scores)
        return loss | text_pairs.recalls(logits, encoded)

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes the cosine of each pair, see `bert_tf.tasks.predictions.write`."""
        found = text_pairs.pair_cosines(logits, encoded)
        predictions.write(self._table, split, examples.ids, found[:, np.newaxis], directory)

    @property
    def _table(self):
        """The same files as a task of scores."""
        return TextTask(self.name, self.splits)


@register_task("embedding", PairOptions)
def task(settings, data_dir, labels):
    """Returns the task of embeddings.

    Args:
      settings: `PairOptions`; `pair_columns` may be a list too.
      data_dir: not used; so `labels`.
      labels: see above.

    Raises:
      ValueError: if the columns are not two or three different ones, or the pooling is none.
    """
    columns = settings.pair_columns
    if isinstance(columns, str):
        columns = [name.strip() for name in columns.split(",") if name.strip()]
    if len(columns) not in (2, 3) or len(set(columns)) < len(columns):
        raise ValueError(
            "Argument `pair_columns` must be two columns of texts and perhaps one of scores, "
            f"received {list(columns)}."
        )
    if settings.pooling not in ("", *POOLINGS):
        raise ValueError(
            f"Argument `pooling` must be one of {list(POOLINGS)}, received {settings.pooling!r}."
        )
    return EmbeddingTask(**{**vars(settings), "pair_columns": tuple(columns)})


def _sources(split, first, second, score=None):
    """Returns the sources of a split: of training sentences too, else pairs in one table."""
    names = [f"{split}.{ending}" for ending in _ENDINGS]
    tables = tuple(
        Table(
            name,
            (first, second),
            score,
            # What is trained on without scores are texts.
            label_is_optional=split != "dev",
            # As in STS-B; CSV files are those of spreadsheets.
            quoting="minimal" if name.endswith(".csv") else "none",
            is_rectangular=True,
            excludes=tuple(names[number:]),
        )
        for number, name in enumerate(names, start=1)
    )
    return (SentenceLines(SENTENCES, tuple(names)), *tables) if split == "train" else tables


def _share_of_range(scores):
    """Returns scores in [0, 1]: 0 for the lowest and 1 for the highest of them."""
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        logging.warning("All %d pairs have the score %g; it counts as 0.", len(scores), low)
    return (scores - low) / (high - low if high > low else 1.0)
