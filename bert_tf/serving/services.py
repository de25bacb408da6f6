"""What a server takes and gives for each kind of task: texts in, answers by name out.

B batch, T tokens, C classes.
"""

import abc

import numpy as np
import tensorflow as tf

from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.tasks import squad_windows
from bert_tf.tokenizers.tokenization import first_tokens


class Service(abc.ABC):
    """Texts to inputs of a model, and its logits to answers; all of it works inside a graph.

    Args:
      task: a `bert_tf.tasks.task.Task`.
      tokenizer: a `bert_tf.tokenizers.tokenization.Tokenizer`.
      max_seq_length: the most tokens of an input, as in training; longer texts are cut.
    """

    #: Names of the classes, or None.
    labels = None

    def __init__(self, task, tokenizer, max_seq_length):
        self.task, self.tokenizer, self.max_seq_length = task, tokenizer, max_seq_length

    @property
    @abc.abstractmethod
    def text_names(self):
        """Names of the texts that a request holds."""

    @abc.abstractmethod
    def texts(self, examples):
        """Returns a list of strings by each of `text_names`, of what `Task.read` returns."""

    @abc.abstractmethod
    def encode(self, texts):
        """Returns the `Encoded` of string tensors `[B]` by name."""

    @abc.abstractmethod
    def outputs(self, logits):
        """Returns float32 tensors by name of a model's logits."""

    @abc.abstractmethod
    def logits(self, outputs):
        """Returns the logits, a NumPy array, of `outputs` as NumPy arrays."""

    def answers(self, outputs):
        """Returns `outputs` and what is made of them for people."""
        return outputs

    def text_answers(self, answers, word_ids):
        """Returns `answers` and what a client that sent texts needs beside them."""
        return answers

    def features(self, texts):
        """Returns the model's inputs `[B, T]` for texts by name, T of the longest one."""
        encoded = self.encode(texts)
        rows = (
            encoded.ids.to_tensor(self.tokenizer.pad_id),
            tf.ones_like(encoded.ids).to_tensor(0),
            encoded.segments.to_tensor(0),
        )
        # Of no texts T is 1, for models that read the first token.
        missing = tf.maximum(1 - tf.shape(rows[0])[1], 0)
        rows = [tf.pad(row, [[0, 0], [0, missing]]) for row in rows]
        return dict(zip(INPUT_NAMES, rows, strict=True))


class ClassService(Service):
    """A class for a text or a pair: `logits [B, C]`, `probabilities [B, C]` and `label [B]`.

    Args:
      task: a `bert_tf.tasks.task.TextTask`; the rest as in `Service`.
    """

    def __init__(self, task, *args):
        super().__init__(task, *args)
        self.labels = task.labels

    @property
    def text_names(self):
        """`text`, or `text_a` and `text_b`."""
        return ("text",) if self.task.num_texts == 1 else ("text_a", "text_b")

    def texts(self, examples):
        """Returns the texts of `Examples` by name."""
        return dict(zip(self.text_names, (examples.texts_a, examples.texts_b), strict=False))

    def encode(self, texts):
        """Returns what `Tokenizer.encode` returns for the same texts."""
        tokens = [self.tokenizer.tokenize(texts[name]) for name in self.text_names]
        return self.tokenizer.pack(tokens, self.max_seq_length)

    def outputs(self, logits):
        """Returns `logits` and `probabilities`, both `[B, C]`."""
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def logits(self, outputs):
        """Returns `[B, C]`."""
        return outputs["logits"]

    def answers(self, outputs):
        """Adds the class of the highest probability as text, `label [B]`."""
        best = tf.argmax(outputs["logits"], axis=-1)
        return {**outputs, "label": tf.gather(tf.constant(self.labels), best)}


class ScoreService(ClassService):
    """A number for a text or a pair: `score [B]`."""

    def outputs(self, logits):
        """Returns `score`, the logit, which may leave the range of the training's scores."""
        return {"score": logits[:, 0]}

    def logits(self, outputs):
        """Returns `[B, 1]`."""
        return outputs["score"][:, np.newaxis]

    def answers(self, outputs):
        """Returns `outputs`: a score needs no name."""
        return outputs


class SpanService(Service):
    """A span of a paragraph: `start_logits [B, T]` and `end_logits [B, T]`.

    Of texts only the first window over a paragraph is answered, with its `tokens [B, T]`
    beside it. A client that wants all windows cuts them itself and sends their ids.

    Args:
      task: a `bert_tf.tasks.squad.SquadTask`; the rest as in `Service`.

    Raises:
      ValueError: if `max_seq_length` does not hold a question.
    """

    text_names = ("question", "context")

    def __init__(self, task, tokenizer, max_seq_length):
        super().__init__(task, tokenizer, max_seq_length)
        squad_windows.check_length(max_seq_length, task.max_query_length)

    def texts(self, examples):
        """Returns questions and paragraphs of `SquadExamples`."""
        pairs = [(question["question"], context) for context, question in examples.questions()]
        return dict(zip(self.text_names, map(list, zip(*pairs, strict=True)), strict=True))

    def encode(self, texts):
        """Returns the first window of `squad_windows.encode` for each question."""
        questions, contexts = (self.tokenizer.tokenize(texts[name]) for name in self.text_names)
        questions = questions[:, : self.task.max_query_length]
        room = self.max_seq_length - 3 - questions.row_lengths()
        tokens = [questions, first_tokens(contexts, room)]
        return self.tokenizer.pack(tokens, self.max_seq_length)

    def outputs(self, logits):
        """Returns `start_logits` and `end_logits`, both `[B, T]`."""
        return {"start_logits": logits[:, 0], "end_logits": logits[:, 1]}

    def logits(self, outputs):
        """Returns `[B, 2, T]`."""
        return np.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)

    def text_answers(self, answers, word_ids):
        """Adds the WordPieces that the logits are of, `tokens [B, T]`."""
        return {**answers, "tokens": tf.gather(tf.constant(self.tokenizer.vocab), word_ids)}


def get(task, tokenizer, max_seq_length):
    """Returns the `Service` of a task.

    Raises:
      ValueError: if `max_seq_length` is too small for it, there are several tasks, or its head is
        not served.
    """
    if task.num_tasks:
        raise ValueError(
            f"A model of several tasks, here {list(task.names)}, is not served; cut it to one of "
            "them by flop-share-tickets."
        )
    head = task.head["head"]
    if head == "span":
        return SpanService(task, tokenizer, max_seq_length)
    if head != "classifier":
        raise ValueError(
            f"A model with the head {head!r} is not served, only ones that give classes, scores or "
            "spans; fine-tune it on such a task by flop-finetune first."
        )
    kind = ScoreService if task.is_regression else ClassService
    return kind(task, tokenizer, max_seq_length)
