"""Several tasks of one encoder: a classifier over the outputs of all, of which each has a slice.

A label is float32 `[2]`: which task, and its class or score. A split holds the examples of all
tasks, and each batch the examples of one. C outputs of all tasks, N examples.

Reference:
  Multi-Task Deep Neural Networks for Natural Language Understanding, arXiv 1901.11504; Super
  Tickets in Pre-Trained Language Models, arXiv 2105.12002.
"""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from bert_tf.data import batching
from bert_tf.heads import losses
from bert_tf.tasks.task import Task, plain

#: What it is called in model directories.
NAME = "multitask"

#: The mean of the tasks' primary metrics.
MEAN = "mean"

_KINDS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True)
class MultiExamples:
    """Examples of several tasks.

    Args:
      parts: dict of `bert_tf.data.examples.Examples` by the index of the task, in its order.
    """

    parts: dict

    def __len__(self):
        return sum(map(len, self.parts.values()))

    def take(self, indices):
        """Returns the examples at `indices`; the order within a task is kept.

        Args:
          indices: sequence of ints.
        """
        indices = np.asarray(indices, np.int64)
        ends = np.cumsum([len(part) for part in self.parts.values()])
        owner = np.searchsorted(ends, indices, side="right")
        return MultiExamples(
            {
                task: part.take(indices[owner == i] - (ends[i] - len(part)))
                for i, (task, part) in enumerate(self.parts.items())
            }
        )


@dataclasses.dataclass(frozen=True)
class MultiTask(Task):
    """Tasks that are learned together; made by `of`.

    Each reads a folder of its name in `data_dir`, such as "glue/RTE"; one of TensorFlow Datasets
    reads `data_dir` itself. There is a split of each kind: "dev" has the first dev set of
    every task, "dev_mismatched" the second one of MNLI.

    Args:
      name: `NAME`.
      splits: tuple of `(split, ((index of the task, its split), ...))`.
      primary_metric: `MEAN`.
      tasks: tuple of `TextTask`.
    """

    tasks: tuple = ()

    @property
    def num_tasks(self):
        """How many tasks there are."""
        return len(self.tasks)

    @property
    def names(self):
        """The names of the tasks, in the order of their indices."""
        return tuple(task.name for task in self.tasks)

    def index(self, name):
        """Returns the index of a task, however the case and hyphens of its name are written.

        Args:
          name: of the task.

        Raises:
          ValueError: if it is none of them.
        """
        known = [plain(one) for one in self.names]
        if plain(name) not in known:
            raise ValueError(
                f"Unknown task {name!r}, expected one of those trained together, "
                f"{list(self.names)}."
            )
        return known.index(plain(name))

    def outputs(self, index):
        """Returns the slice of the logits that belongs to a task.

        Args:
          index: of the task, int.
        """
        first = sum(task.num_outputs for task in self.tasks[:index])
        return slice(first, first + self.tasks[index].num_outputs)

    def folder(self, data_dir, index):
        """Returns the folder of a task.

        Args:
          data_dir: folder with one for each task, or "".
          index: of the task, int.
        """
        task = self.tasks[index]
        return data_dir if "tfds" in dict(task.arguments) else os.path.join(data_dir, task.name)

    @property
    def head(self):
        """A classifier of all outputs, as fields of `EncoderConfig`."""
        return {"head": "classifier", "num_labels": sum(task.num_outputs for task in self.tasks)}

    @property
    def metrics(self):
        """The mean of the primary metrics, then each task's metrics after its name."""
        own = (f"{task.name}/{metric}" for task in self.tasks for metric in task.metrics)
        return (MEAN, *own)

    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again, without looking at files."""
        return {"name": self.name, "tasks": [task.to_dict() for task in self.tasks]}

    def read(self, data_dir, split):
        """Reads a split of every task that has it, as `MultiExamples`."""
        if split not in dict(self.splits):
            raise self._no_split(split)
        if not data_dir:
            raise ValueError(
                f"The tasks {list(self.names)} need `glue_dir`, the folder with one for each."
            )
        return MultiExamples(
            {
                index: self.tasks[index].read(self.folder(data_dir, index), own)
                for index, own in dict(self.splits)[split]
            }
        )

    def holdout(self, examples, num_examples, seed):
        """Splits examples into `(rest, held out)`, of each task the same share, at least one.

        Raises:
          ValueError: if `num_examples` is not at least 0 and below their number.
        """
        batching.check_holdout(num_examples, len(examples))
        share, rest, held = num_examples / len(examples), {}, {}
        for index, part in examples.parts.items():
            size = min(max(1, round(share * len(part))), len(part) - 1)
            rest[index], held[index] = batching.holdout(part, size, seed)
        return MultiExamples(rest), MultiExamples(held)

    def first(self, examples, num_examples):
        """Returns the first examples of each task."""
        parts = examples.parts.items()
        return MultiExamples({k: self.tasks[k].first(part, num_examples) for k, part in parts})

    def texts(self, examples):
        """Raises ValueError: requests are of one of the tasks."""
        raise ValueError("Several tasks have no texts in common, take one of them.")

    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns the `EncodedExamples` of `MultiExamples`, in groups by task."""
        encoded = {
            index: self.tasks[index].encode(part, tokenizer, max_seq_length, training)
            for index, part in examples.parts.items()
        }
        groups = [np.full(len(part), index, np.int32) for index, part in encoded.items()]
        labels = [part.labels for part in encoded.values()]
        parts = list(encoded.values())
        return dataclasses.replace(
            parts[0],
            ids=tf.concat([part.ids for part in parts], axis=0),
            segments=tf.concat([part.segments for part in parts], axis=0),
            labels=None
            if any(one is None for one in labels)
            else np.stack([np.concatenate(groups), np.concatenate(labels)], 1).astype(np.float32),
            groups=np.concatenate(groups),
        )

    def loss(self):
        """Returns the loss of the task that each label names."""
        return losses.SlicedLoss([None if t.is_regression else t.num_outputs for t in self.tasks])

    def score(self, logits, encoded):
        """Returns the mean of the primary metrics, `eval_loss`, and each task's own scores."""
        scores, primary, sums = {}, [], 0.0
        for index, rows in self._rows(encoded.groups):
            task = self.tasks[index]
            labels = encoded.labels[rows, 1].astype(np.float32 if task.is_regression else np.int32)
            part = dataclasses.replace(encoded.take(rows), labels=labels, groups=None)
            own = task.score(logits[rows, self.outputs(index)], part)
            scores |= {f"{task.name}/{key}": value for key, value in own.items()}
            primary.append(own[task.primary_metric])
            sums += own["eval_loss"] * len(rows)
        return {MEAN: float(np.mean(primary)), "eval_loss": sums / len(encoded), **scores}

    def scores_of(self, scores, index):
        """Returns the scores of one task.

        Args:
          scores: dict of dicts by split, of all tasks.
          index: of the task, int.

        Returns:
          Dict of dicts by split.
        """
        prefix, found = f"{self.tasks[index].name}/", {}
        for split, sources in self.splits:
            own = dict(sources).get(index)
            if own is not None and split in scores:
                values = scores[split].items()
                found[own] = {k.removeprefix(prefix): v for k, v in values if k.startswith(prefix)}
        return found

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes the predictions of each task, see `bert_tf.tasks.predictions.write`."""
        own = dict(dict(self.splits)[split])
        for index, rows in self._rows(encoded.groups):
            task, part = self.tasks[index], examples.parts[index]
            found = logits[rows, self.outputs(index)]
            task.write_predictions(own[index], part, encoded.take(rows), found, directory)

    def _rows(self, groups):
        """Yields each task's index and the rows of its examples."""
        for index in np.unique(groups):
            yield int(index), np.flatnonzero(groups == index)


def of(tasks):
    """Returns the `MultiTask` of several tasks.

    Args:
      tasks: `Task`s, at least one; each name once.

    Raises:
      ValueError: if there is none, one occurs twice, or one is no classification or regression.
    """
    names = [task.name for task in tasks]
    if not names:
        raise ValueError("Argument `tasks` must name at least one task, received none.")
    for task in tasks:
        if not task.has_single_answer:
            raise ValueError(
                "Argument `tasks` takes classifications and regressions with one label an example, "
                f"received {task.name!r}; train it alone by `task_name`."
            )
    if len(set(names)) < len(names):
        raise ValueError(f"Argument `tasks` must name each task once, received {names}.")
    return MultiTask(NAME, _splits(tasks), MEAN, tasks=tuple(tasks))


def _splits(tasks):
    """Returns the splits of all tasks, each with the tasks and their own splits."""
    found = {}
    for index, task in enumerate(tasks):
        for kind in _KINDS:
            names = [name for name, _ in task.splits if name.partition("_")[0] == kind]
            for number, own in enumerate(names):
                found.setdefault(own if number else kind, []).append((index, own))
    return tuple((split, tuple(sources)) for split, sources in found.items())
