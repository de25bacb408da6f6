"""Masked language modelling on plain text, the objective of pretraining."""

import dataclasses
import math

import numpy as np

from bert_tf.data import masking, text_blocks
from bert_tf.data.text_blocks import TextFile
from bert_tf.option_fields import option
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class TextFileOptions:
    """The options of masked language modelling: its files."""

    train_file: str = option(
        "", "Task mlm: text of data_dir to train on; train.txt.", in_data_dir=True
    )
    dev_file: str = option(
        "", "Task mlm: text of data_dir to evaluate on; dev.txt.", in_data_dir=True
    )


@dataclasses.dataclass(frozen=True)
class MlmTask(Task):
    """The words at masked places of a text.

    Args:
      name: "mlm".
      splits: tuple of `(split, sources)`, follows from the files.
      primary_metric: the metric that decides which checkpoint is best.
      arguments: tuple of `(name, value)` of the other arguments of `get`.
      train_file: name of the file to train on.
      dev_file: name of the file to evaluate on.
    """

    name: str = "mlm"
    splits: tuple = ()
    primary_metric: str = "log_likelihood"
    train_file: str = "train.txt"
    dev_file: str = "dev.txt"

    metrics = ("log_likelihood", "perplexity", "eval_accuracy")
    head = {"head": "mlm", "num_labels": 1}

    def __post_init__(self):
        files = {"train": self.train_file, "dev": self.dev_file}
        splits = tuple((split, (TextFile(file),)) for split, file in files.items())
        object.__setattr__(self, "splits", splits)

    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again."""
        return {"name": self.name, "train_file": self.train_file, "dev_file": self.dev_file}

    def read(self, data_dir, split):
        """Reads the `bert_tf.data.text_blocks.TextLines` of a split."""
        return self.source(data_dir, split).read(data_dir)

    def texts(self, examples):
        """Returns the lines of `TextLines`."""
        return {"text": list(examples.lines)}

    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns the blocks of a text, see `bert_tf.data.text_blocks.encode`."""
        return text_blocks.encode(examples, tokenizer, max_seq_length)

    def batch_change(self, tokenizer):
        """Returns a function that masks the words of a batch anew."""
        return masking.Masking.of(tokenizer).mask_anew

    def score(self, logits, encoded):
        """Returns `eval_loss`, its negative, its exponential and the share of words ranked first.

        All are means over the masked words of the split.

        Args:
          logits: `[N, P, 2]`, of `bert_tf.heads.mlm.scores`.
          encoded: what `encode` returned.
        """
        likelihood, first = np.moveaxis(logits[encoded.labels >= 0].astype(np.float64), -1, 0)
        loss = -float(likelihood.mean())
        return {
            "eval_loss": loss,
            "log_likelihood": -loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "eval_accuracy": float(first.mean()),
        }

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes nothing: a masked text has no file of predictions."""


@register_task("mlm", TextFileOptions)
def mlm(settings, data_dir, labels):
    """Returns masked language modelling on two files.

    Args:
      settings: `TextFileOptions`; an empty name is the default of `MlmTask`.
      data_dir: not used; so `labels`.
      labels: see above.
    """
    return MlmTask(**{name: file for name, file in vars(settings).items() if file})
