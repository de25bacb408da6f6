"""SQuAD v1.1: the answer to a question is a span of a paragraph."""

import dataclasses
import functools
import os

from official.nlp.tools import squad_evaluate_v1_1

from bert_tf import option_fields, ranges
from bert_tf.option_fields import option
from bert_tf.tasks import metrics, squad_windows
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.squad_examples import SquadFile
from bert_tf.tasks.task import Task
from bert_tf.tokenizers.tokenizer import first_tokens
from flop_tf import files

_number = functools.partial(option, allowed=ranges.FROM_1)


@dataclasses.dataclass(frozen=True)
class SquadOptions:
    """The options of SQuAD, with the defaults of Google's `run_squad.py`."""

    doc_stride: int = _number(128, "Task squad: tokens between the starts of two windows.")
    max_query_length: int = _number(64, "Task squad: tokens of a question that are kept.")
    n_best_size: int = _number(20, "Task squad: starts and ends combined, answers kept.")
    max_answer_length: int = _number(30, "Task squad: the most tokens of an answer.")


@dataclasses.dataclass(frozen=True)
class SquadTask(Task, SquadOptions):
    """SQuAD v1.1; the settings are the `SquadOptions`.

    Args:
      name: "SQuAD".
      splits: tuple of `(split, sources)`, see `bert_tf.tasks.squad_examples.SquadFile`.
      primary_metric: the metric that decides which checkpoint is best.
      arguments: tuple of `(name, value)` of the arguments of `get` next to name and settings.
      doc_stride: tokens between the starts of two windows of a paragraph.
      max_query_length: tokens of a question that are kept.
      n_best_size: starts and ends of a window that are combined, and answers that are kept.
      max_answer_length: the most tokens of an answer.

    Raises:
      ValueError: if a number is below 1.
    """

    name: str = "SQuAD"
    splits: tuple = (
        ("train", (SquadFile("train-v1.1.json"),)),
        ("dev", (SquadFile("dev-v1.1.json"),)),
    )
    primary_metric: str = "f1"

    text_names = ("question", "context")
    default_seq_length = 384
    metrics = ("exact_match", "f1")
    head = {"head": "span", "num_labels": 2}

    def __post_init__(self):
        for name, value in self._settings().items():
            ranges.check(f"Argument `{name}`", value, int, ranges.FROM_1)

    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again."""
        return {"name": self.name, **self._settings(), **dict(self.arguments)}

    def read(self, data_dir, split):
        """Reads the `SquadExamples` of a split, in an order that is the same from every source.

        Raises:
          ValueError: if the split or the file is missing or its content does not fit.
        """
        return self.source(data_dir, split).read(data_dir).in_order()

    def holdout(self, examples, num_examples, seed):
        """Splits off whole articles with `num_examples` questions or a few more."""
        return examples.split_by_article(num_examples, seed)

    def texts(self, examples):
        """Returns questions and paragraphs of `SquadExamples`."""
        pairs = [(question["question"], context) for context, question in examples.questions()]
        return dict(zip(self.text_names, map(list, zip(*pairs, strict=True)), strict=True))

    def encode_texts(self, texts, tokenizer, max_seq_length):
        """Returns the first window of `squad_windows.encode` for each question.

        A client that wants all windows cuts them itself and sends their ids.
        """
        questions, contexts = (tokenizer.tokenize(texts[name]) for name in self.text_names)
        questions = questions[:, : self.max_query_length]
        room = max_seq_length - tokenizer.num_special(2)
        tokens = [questions, first_tokens(contexts, room - questions.row_lengths())]
        return tokenizer.pack(tokens, max_seq_length)

    def check_length(self, max_seq_length, tokenizer):
        """Raises ValueError where windows of so many tokens do not hold a question."""
        num_special = tokenizer.num_special(2)
        squad_windows.check_length(max_seq_length, self.max_query_length, num_special)

    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns the windows over the paragraphs, see `bert_tf.tasks.squad_windows.encode`."""
        return squad_windows.encode(
            examples,
            tokenizer,
            max_seq_length,
            doc_stride=self.doc_stride,
            max_query_length=self.max_query_length,
            training=training,
        )

    def score(self, logits, encoded):
        """Returns `eval_loss`, `exact_match` and `f1` by the official definition, in [0, 1].

        The loss is the mean over windows, of the first answer where there are several.
        """
        best, _ = self._answers(logits, encoded)
        scores = squad_evaluate_v1_1.evaluate(encoded.articles, best)
        return {
            "eval_loss": metrics.cross_entropy(logits, encoded.labels),
            "exact_match": float(scores["exact_match"]),
            "f1": float(scores["final_f1"]),
        }

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes `predictions.json`, as SQuAD wants it, and `nbest_predictions.json`."""
        best, n_best = self._answers(logits, encoded)
        files.write_json(os.path.join(directory, "predictions.json"), best)
        files.write_json(os.path.join(directory, "nbest_predictions.json"), n_best)

    def _answers(self, logits, encoded):
        return squad_windows.answers(encoded, logits, self.n_best_size, self.max_answer_length)

    def _settings(self):
        return option_fields.values_of(self, SquadOptions)


@register_task("SQuAD", SquadOptions)
def squad(settings, data_dir, labels):
    """Returns SQuAD v1.1.

    Args:
      settings: `SquadOptions`.
      data_dir: not used; so `labels`.
      labels: see above.

    Raises:
      ValueError: if a number is below 1.
    """
    return SquadTask(**vars(settings))
