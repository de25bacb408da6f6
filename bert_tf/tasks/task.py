"""What a task is: splits, inputs, head, loss, scores and predictions."""

import abc
import dataclasses

from bert_tf.heads.head import HEADS
from bert_tf.tasks.splits import Splits


@dataclasses.dataclass(frozen=True)
class Task(Splits, abc.ABC):
    """What is learned. Callers never branch on the task's name.

    N examples; the shape of logits and labels is the task's own.

    Args:
      name: as it is published, for example "SST-2".
      splits: tuple of `(split, sources)`; a source has `file`, `exists(data_dir)` and
        `read(data_dir)`, the first one that exists is read.
      primary_metric: the metric that decides which checkpoint is best.
      arguments: tuple of `(name, value)` of the other arguments of `get`, for `to_dict`.
    """

    name: str
    splits: tuple
    primary_metric: str
    arguments: tuple = ()

    #: Names of the classes, labels or numbers in the order of the logits; None of a task without.
    labels = None
    #: Least probability of each label that holds, C floats; empty of a task without such labels.
    least_probabilities = ()
    #: Names of the texts that a request to a server holds.
    text_names = ("text",)
    #: Longest input in WordPieces where no length is given.
    default_seq_length = 128
    #: Whether the label of an example is one class or one number, as of tasks that share a model.
    has_single_answer = False
    #: Whether a checkpoint with the head must be fine-tuned before it is compressed.
    needs_finetuning = True
    #: How many tasks share the model, each perhaps with a mask of its own; 0 of a single one.
    num_tasks = 0

    def check_head(self, config, owner):
        """Raises ValueError where a model lacks the task's head.

        Args:
          config: `EncoderConfig` of the model.
          owner: what the error calls it: "the checkpoint 'x'".
        """
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

    def has_head(self, source):
        """Returns whether a `Source` can be scored without training, or `with_head` says why not.

        Args:
          source: a `bert_tf.checkpoints.Source`.
        """
        return source.has_head or bool(source.missing_head)

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
        """Raises ValueError where a model has masks of other tasks, see `check_head`."""
        if config.num_masks not in (0, self.num_tasks):
            raise ValueError(
                f"Task {self.name!r} needs a model "
                f"{f'of {self.num_tasks}' if self.num_tasks else 'without'} masks of tasks, but "
                f"{owner} has {config.num_masks}; cut it to one task by flop-share-tickets."
            )

    @property
    @abc.abstractmethod
    def head(self):
        """Fields of the `EncoderConfig` that make the task head, a dict."""

    @property
    def head_class(self):
        """The class of the task head, a `bert_tf.heads.head.Head`."""
        return HEADS[self.head["head"]]

    @property
    @abc.abstractmethod
    def metrics(self):
        """Names of the scores next to `eval_loss`, a tuple."""

    @abc.abstractmethod
    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again, without looking at files."""

    @abc.abstractmethod
    def read(self, data_dir, split):
        """Reads one split; the examples have a length and `take(indices)`.

        Args:
          data_dir: folder of the task.
          split: its name, such as "train" or "dev".

        Raises:
          ValueError: if the split or a file is missing or its content does not fit.
        """

    @abc.abstractmethod
    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns the `EncodedExamples` of what `read` returns.

        Args:
          examples: what `read` returned.
          tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
          max_seq_length: the most tokens of an example.
          training: whether they are only trained on, not scored.
        """

    @abc.abstractmethod
    def texts(self, examples):
        """Returns a list of strings by each of `text_names`, a dict.

        Args:
          examples: the result of `read`.
        """

    def encode_texts(self, texts, tokenizer, max_seq_length):
        """Returns the encoded requests of a server, as `encode` does; it works inside a graph.

        Args:
          texts: string tensors `[B]` by each of `text_names`.
          tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
          max_seq_length: the most tokens of a request; longer ones are cut.

        Returns:
          A `bert_tf.tokenizers.tokenizer.Encoded`.
        """
        tokens = [tokenizer.tokenize(texts[name]) for name in self.text_names]
        return tokenizer.pack(tokens, max_seq_length)

    def seq_length(self, info):
        """Returns the longest input of a training where no length is given.

        Args:
          info: `Source.info` of the checkpoint, a dict.
        """
        return self.default_seq_length

    def text_answers(self, answers, texts, word_ids, tokenizer):
        """Returns the answers of a server with further ones for texts; it works inside a graph.

        Args:
          answers: dict of tensors, see `bert_tf.heads.head.Head.answers`.
          texts: string tensors `[B]` by each of `text_names`.
          word_ids: int32 `[B, T]`, the tokens of the texts.
          tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
        """
        return self.head_class.text_answers(answers, word_ids, tokenizer.vocab)

    def check_length(self, max_seq_length, tokenizer):
        """Raises ValueError where requests of so many tokens are too short for the task.

        Args:
          max_seq_length: int, the most tokens.
          tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
        """
        return None

    def check_training(self, encoded, has_teacher):
        """Raises ValueError where a model cannot learn anything.

        Args:
          encoded: what `encode` returned for training.
          has_teacher: whether there is a teacher.
        """
        return None

    def batch_change(self, tokenizer):
        """Returns a function that changes each batch of training, or None.

        Args:
          tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.

        Returns:
          A function of features and two ints, the seed of the batch, that returns features and
          labels.
        """
        return None

    def loss(self):
        """Returns the Keras loss of `(labels, logits)`, by the head."""
        return self.head_class.loss(self.head["num_labels"])

    def importance_loss(self):
        """Returns the Keras loss whose gradients say what weights are worth, by the head."""
        return self.head_class.importance_loss(self.head["num_labels"])

    @abc.abstractmethod
    def score(self, logits, encoded):
        """Returns `eval_loss` and the metrics of a whole labelled split, a dict of floats.

        Args:
          logits: of every example of `encoded`, in its order.
          encoded: what `encode` returned.
        """

    def tuned(self, logits, encoded):
        """Returns the task with what is chosen by a model's answers, such as thresholds.

        Args:
          logits: of every example of `encoded`, in its order.
          encoded: what `encode` returned for the labelled split that decides.
        """
        return self

    def tuned_as(self, info):
        """Returns the task with what `tuned` chose for a model.

        Args:
          info: `info.json` of the model, a dict.
        """
        return self

    def decided(self, logits, encoded=None):
        """Returns the class of each answer, an array of ints or truth values; None without classes.

        Args:
          logits: see `score`; so `encoded`.
          encoded: see above; only tasks whose examples have several answers need it.
        """
        return None if self.labels is None else logits.argmax(axis=-1)

    def by_label(self, logits, encoded):
        """Returns the scores of each label, plain data, see `metrics.by_class`; [] without labels.

        Args:
          logits: see `score`; so `encoded`.
          encoded: see above.
        """
        return []

    def compared(self, examples, answers, other, other_answers):
        """Returns how two models answer examples, or None where that is not shown.

        Args:
          examples: N of them, with labels, as `read` returns them.
          answers: `(logits, encoded)` of the first model, see `score`.
          other: the task as `tuned_as` for the second model; this one is for the first.
          other_answers: the same of the second model, whose tokenizer may be another one.

        Returns:
          `(differing, difference, shown)`: bool `[N]`, which answers are different ones, or that
          all are shown; float `[N]`, how far they are apart; and for label, first and second model
          N texts or numbers that people read.
        """
        return None

    def answers(self, outputs, vocab):
        """Returns outputs of a server together with what people read of them.

        Args:
          outputs: dict of tensors, of `Head.outputs`.
          vocab: list of the tokens.
        """
        return self.head_class.answers(outputs, self.labels, vocab)

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


def plain(name):
    """Returns the name of a task without case, hyphens and underscores.

    Args:
      name: the name; two with the same plain name are one task.
    """
    return str(name).lower().replace("-", "").replace("_", "")


def _listing(fields):
    return " and ".join(f"{name}={value!r}" for name, value in fields.items())
