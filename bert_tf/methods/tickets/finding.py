"""Finds tickets in a fine-tuned BERT: masks of its units or weights, a file for each.

| method | finds |
|---|---|
| `super` | winning, losing and random tickets at levels of sparsity, by importance, in one shot |
| `lottery` | the smallest subnetwork whose score stays above a threshold, by importance |
| `magnitude` | the same for single weights, by magnitude |
"""

import functools
import os

from bert_tf.checkpoints import model_dir
from bert_tf.methods.tickets import one_shot, searches, ticket_file
from bert_tf.methods.tickets.measured_bert import MeasuredBert
from bert_tf.models import model_info
from bert_tf.runs import run_data
from bert_tf.surgery import masks
from flop_tf import files

#: The kinds of tickets that a method finds, by its name.
KINDS = {
    "super": one_shot.KINDS,
    "lottery": searches.LOTTERY_KINDS,
    "magnitude": searches.MAGNITUDE_KINDS,
}

# Functions of a `Finder`, by the name of the method.
_METHODS = {
    "super": one_shot.levels,
    "lottery": searches.lottery,
    "magnitude": searches.largest_weights,
}


def find(options):
    """Finds the tickets of a model and writes their masks.

    Args:
      options: `FindOptions`.

    Returns:
      What `tickets.json` holds.

    Raises:
      ValueError: if the model, its data or an option do not fit.
    """
    finder = Finder(options)
    tickets = _METHODS[options.method](finder)
    identity = masks.identity(finder.source.config)
    data = {"method": options.method, "model": identity, **finder.about, "tickets": tickets}
    files.write_json(os.path.join(options.output_dir, ticket_file.TICKETS_FILE), data)
    return data


class Finder:
    """A model, its examples and the folder for what is found.

    Attributes:
      options: `FindOptions`.
      source: the model.
      task: its `Task`.
      about: where tickets come from, plain data.
    """

    def __init__(self, options):
        self.options = options
        self.source = model_dir.read(options.model_dir)
        info = self.source.info
        if self.source.config != self.source.config.dense:
            raise ValueError(
                f"Tickets are found in dense models, but the one in {options.model_dir!r} is "
                f"{info.get('stage', model_info.stage(self.source.config))}."
            )
        self.task, data_dir = options.find_task(info)
        if self.task.head_class.is_tied:
            raise ValueError(
                f"Tickets are found on a task with labels, received the task {self.task.name!r}; "
                "train_mask.py finds masks on text."
            )
        split = options.split_name or self.task.dev_splits[0]
        length = options.longest(info, self.source.config, self.task)
        if split == "train":
            examples, _ = run_data.training_examples(self.task, data_dir, options)
        else:
            examples = self.task.read(data_dir, split)
        if options.examples:
            examples = self.task.first(examples, options.examples)
        self._examples, self._length = examples, length
        self._tokenizer = self.source.tokenizer()
        self.source = self.task.with_head(self.source, "the model to measure")
        self.about = {
            "model_dir": os.path.abspath(options.model_dir),
            "task": self.task.to_dict(),
            "split": split,
            "examples": len(examples),
        }

    @functools.cached_property
    def encoded(self):
        """The examples to measure and score; a level of importances that are known needs none."""
        return self.task.encode(self._examples, self._tokenizer, self._length)

    def measured(self):
        """Returns the model with gates that measure."""
        options = self.options
        return MeasuredBert(
            self.source, self.task, options.kinds, options.reducer_name, options.batch_size
        )

    def path(self, name):
        """Returns the path of a file.

        Args:
          name: of the file.
        """
        return os.path.join(self.options.output_dir, name)

    def write(self, name, kind, mask, removed):
        """Writes the file of a mask and returns its entry in `tickets.json`, plain data.

        Args:
          name: of the file.
          kind: of the ticket: winning, random, good, ...
          mask: dict of boolean arrays by path.
          removed: how many units or weights went, plain data.
        """
        return ticket_file.write(
            self.options.output_dir,
            name,
            kind,
            self.source.config,
            mask,
            removed,
            self.options.method,
            **self.about,
            seed=self.options.seed,
        )
