"""What a server takes and gives for a task: texts in, answers by name out.

The task says which texts a request holds, its head what becomes of the logits.
B batch, T tokens.
"""

import tensorflow as tf

from bert_tf.encoders.encoder import INPUT_NAMES


class Service:
    """Texts to inputs of a model, and its logits to answers; all of it works inside a graph.

    Args:
      task: a `bert_tf.tasks.task.Task` with `text_names`.
      tokenizer: a `bert_tf.tokenizers.tokenizer.TextTokenizer`.
      max_seq_length: the most tokens of an input, as in training; longer texts are cut.

    Raises:
      ValueError: if `max_seq_length` is too small for the task.
    """

    def __init__(self, task, tokenizer, max_seq_length):
        task.check_length(max_seq_length, tokenizer)
        self.task, self.tokenizer, self.max_seq_length = task, tokenizer, max_seq_length
        self._head = task.head_class

    @property
    def labels(self):
        """Names of the classes, labels or numbers, or None."""
        return self.task.labels

    @property
    def text_names(self):
        """Names of the texts that a request holds."""
        return self.task.text_names

    def texts(self, examples):
        """Returns the texts of examples.

        Args:
          examples: the result of `Task.read`.

        Returns:
          Dict of lists of strings by each of `text_names`.
        """
        return self.task.texts(examples)

    def encode(self, texts):
        """Returns the `Encoded` of texts.

        Args:
          texts: dict of string tensors `[B]` by name.
        """
        return self.task.encode_texts(texts, self.tokenizer, self.max_seq_length)

    def outputs(self, logits):
        """Returns float32 tensors by name, made of the logits.

        Args:
          logits: float32 tensor, of the model.
        """
        return self._head.outputs(logits)

    def logits(self, outputs):
        """Returns the logits of outputs.

        Args:
          outputs: dict of NumPy arrays, see `outputs`.

        Returns:
          A NumPy array.
        """
        return self._head.logits_of(outputs)

    def answers(self, outputs):
        """Returns outputs together with what people read of them.

        Args:
          outputs: dict of tensors, see `outputs`.
        """
        return self.task.answers(outputs, self.tokenizer.vocab)

    def text_answers(self, answers, texts, word_ids):
        """Returns answers together with what a client that sent texts needs in addition.

        Args:
          answers: dict of tensors, see `answers`.
          texts: dict of string tensors `[B]` by name.
          word_ids: int32 `[B, T]`, of the texts.
        """
        return self.task.text_answers(answers, texts, word_ids, self.tokenizer)

    def features(self, texts):
        """Returns the model's inputs for texts.

        Args:
          texts: dict of string tensors `[B]` by name.

        Returns:
          Dict of int32 `[B, T]`, T of the longest one.
        """
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


def get(task, tokenizer, max_seq_length):
    """Returns the `Service` of a task.

    Args:
      task: a `bert_tf.tasks.task.Task`.
      tokenizer: the `Tokenizer` of the model.
      max_seq_length: T, the longest input.

    Raises:
      ValueError: if `max_seq_length` is too small for it or there are several tasks.
    """
    if task.num_tasks:
        raise ValueError(
            f"A model of several tasks, here {list(task.names)}, is not served; cut it to one of "
            "them by flop-share-tickets."
        )
    return Service(task, tokenizer, max_seq_length)
