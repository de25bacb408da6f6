"""What a task head is, and the registry in which each one is found by its name."""

import abc
import dataclasses

from bert_tf.encoders.encoder import initializer
from bert_tf.heads import losses
from flop_tf.backend import keras
from flop_tf.registry import Registry, nearest

#: Classes of heads by the `head` of a config.
HEADS = Registry("head", "bert_tf.heads")

#: Decorator of a head's class: `@register_head("classifier")`.
register_head = HEADS.register


class Head(abc.ABC):
    """How hidden states become logits, and everything else that depends on it.

    B batch, T tokens, H hidden, C outputs. A model holds the weights of its head in a layer that
    has the name of the head, or its `layer_name`. All methods but `logits` are functions of their
    arguments alone; those of tensors also run inside a graph.

    ```python
    @register_head("mean")
    class Mean(Head):
        reads_pooler = False
        output_weights = ("kernel", "bias")

        def shapes(self):
            outputs = self.config.num_labels
            return {"kernel": (self.config.hidden_size, outputs), "bias": (outputs,)}

        def layer(self):
            return keras.layers.Dense(self.config.num_labels, dtype="float32", name=self.name)

        def logits(self, layer, encoded, features, training=None):
            return layer(tf.reduce_mean(encoded["sequence_output"], axis=1))
        ...
    ```

    Args:
      config: the `EncoderConfig` of the model.
    """

    #: Name of the layer; None is the name of the head. Heads that share a layer have the same
    #: weights, in every format, and differ in what their logits mean.
    layer_name = None
    #: Number of outputs, None where `num_labels` of the config decides.
    num_outputs = None
    #: Whether it reads the pooled output. Otherwise the pooler is not trained, and a checkpoint
    #: may lack it.
    reads_pooler = True
    #: Whether it also reads the word embedding, without the gate on it; `logits` then receives its
    #: factors, one or two tensors whose product it is, as `encoded["word_embeddings"]`.
    is_tied = False
    #: Names, as in `shapes`, of the weights whose last axis is the outputs.
    output_weights = ()
    #: Names of the fields of an `EncoderConfig` that describe the head.
    fields = ("head", "num_labels")
    #: Axis of the logits that is the outputs.
    output_axis = 1

    def __init__(self, config):
        self.config = config

    @property
    def name(self):
        """The name under which the class is registered."""
        return HEADS.name_of(type(self))

    @property
    def layer_path(self):
        """Path in the model of the layer with the weights: `classifier`, ..."""
        return self.layer_name or self.name

    @property
    def weights(self):
        """Shapes of the weights by path in the model: `classifier.kernel`, ..."""
        return {f"{self.layer_path}.{part}": shape for part, shape in self.shapes().items()}

    @property
    def output_paths(self):
        """Paths in the model of the weights whose last axis is the outputs."""
        return tuple(f"{self.layer_path}.{part}" for part in self.output_weights)

    @property
    def num_logits(self):
        """Length of the logits' `output_axis`, an int."""
        return self.config.num_labels

    @abc.abstractmethod
    def shapes(self):
        """Returns the shape of each weight by its path below the layer."""

    @abc.abstractmethod
    def layer(self):
        """Returns a new Keras layer of these weights with the name `layer_path`."""

    @abc.abstractmethod
    def logits(self, layer, encoded, features, training=None):
        """Returns the float32 logits of a batch.

        Args:
          layer: of `layer()`.
          encoded: outputs of `bert_tf.encoders.encoder.Encoder`, a dict.
          features: inputs of the model, a dict.
          training: whether to drop out.
        """

    @staticmethod
    @abc.abstractmethod
    def loss(num_outputs):
        """Returns the Keras loss of `(labels, logits)` for a number of outputs.

        Args:
          num_outputs: C.
        """

    @classmethod
    def importance_loss(cls, num_outputs):
        """Returns the Keras loss whose gradients say what weights are worth to the logits.

        Args:
          num_outputs: C.
        """
        return cls.loss(num_outputs)

    @staticmethod
    def distance(others, logits, temperature, weights=None, counted=None):
        """Returns how far logits are from other ones, such as a teacher's, a scalar.

        Args:
          others: of the teacher, or of a model before a change.
          logits: of the same examples.
          temperature: T > 0, see `losses.distillation_loss`.
          weights: of the examples, `[B]`; None weighs all of them 1.
          counted: see `counted`; None counts all.
        """
        return losses.distillation_loss(others, logits, temperature, weights, counted)

    @staticmethod
    def angles(logits, others):
        """Returns `1 - cos` of each example's logits to other ones; None where it says nothing.

        Args:
          logits: NumPy array of a batch.
          others: of the same shape.
        """
        return None

    @abc.abstractmethod
    def multiplications(self, length):
        """Returns the multiplications of pooler and head for an input of `length` tokens.

        Args:
          length: T.
        """

    # Logits of batches of any width, joined.

    def pad_to_max_length(self, logits):
        """Returns logits whose shape does not depend on the width of the batch.

        Args:
          logits: of a batch, with an axis of T or without.
        """
        return logits

    def restrict(self, logits, features):
        """Returns the part of all logits that training and scores look at.

        Args:
          logits: of a batch, at all tokens where the head has any there.
          features: inputs of the model, a dict.
        """
        return logits

    def predictions(self, logits, features):
        """Returns the predictions that a task scores, from restricted logits.

        Args:
          logits: of `logits()` or `restrict()`.
          features: inputs of the model, a dict.
        """
        return self.pad_to_max_length(logits)

    def counted(self, features):
        """Returns which tokens of a batch have an answer that training and scores look at.

        Args:
          features: inputs of the model, a dict.

        Returns:
          `[B, S]` of 0 and 1, with S at least T; None where an answer is of a whole text.
        """
        return None

    @classmethod
    def of_outputs(cls, logits, outputs):
        """Returns the logits of some outputs.

        Args:
          logits: of a batch, a NumPy array or a tensor.
          outputs: a slice, or of an array a list of ints.
        """
        return logits[(slice(None),) * cls.output_axis + (outputs,)]

    @staticmethod
    def solves(problem_type, num_outputs):
        """Returns whether it is the head of a foreign model.

        Args:
          problem_type: in the config of `transformers`, or None.
          num_outputs: C.
        """
        return True

    @staticmethod
    def problem_type(num_outputs):
        """Returns the problem type in the config of `transformers`, None where it needs none.

        Args:
          num_outputs: C.
        """
        return None

    # Answers of a server.

    @staticmethod
    def outputs(logits):
        """Returns float32 tensors by name, from which `logits_of` restores the logits.

        By default `logits`.

        Args:
          logits: float32, of a batch.
        """
        return {"logits": logits}

    @staticmethod
    def logits_of(outputs):
        """Returns the logits, a NumPy array, of `outputs` as NumPy arrays.

        Args:
          outputs: dict of arrays.
        """
        return outputs["logits"]

    @staticmethod
    def answers(outputs, labels, vocab):
        """Returns `outputs` with further answers for people.

        Args:
          outputs: of `outputs()`.
          labels: names of the classes, or None.
          vocab: list of the tokens.
        """
        return outputs

    @staticmethod
    def text_answers(answers, word_ids, vocab):
        """Returns `answers` with further ones for a client that sent texts.

        Args:
          answers: of `answers()`.
          word_ids: int32 `[B, T]`, the tokens of the texts.
          vocab: list of the tokens.
        """
        return answers


def head_of(config):
    """Returns the `Head` of an `EncoderConfig`.

    Args:
      config: an `EncoderConfig`.

    Raises:
      ValueError: if there is none of that name, or `num_labels` does not fit it.
    """
    if config.head not in HEADS:
        raise ValueError(
            f"Argument `head` must be one of {sorted(HEADS)}, received {config.head!r}"
            f"{nearest(config.head, HEADS)}"
        )
    head = HEADS[config.head](config)
    if head.num_outputs not in (None, config.num_labels):
        raise ValueError(
            f"Argument `num_labels` must be {head.num_outputs} with the head {config.head!r}, "
            f"received {config.num_labels}."
        )
    return head


def with_changes(config, **changes):
    """Returns an `EncoderConfig` with other values; fields that only its old head had are reset.

    Args:
      config: an `EncoderConfig`.
      **changes: values by the names of its fields.
    """
    kept = HEADS[changes.get("head", config.head)].fields
    own = set(HEADS[config.head].fields) - set(kept)
    reset = {one.name: one.default for one in dataclasses.fields(config) if one.name in own}
    return dataclasses.replace(config, **{**reset, **changes})


class DenseHead(Head):
    """A head of one dense layer: `logits = x W + b`."""

    output_weights = ("kernel", "bias")

    def shapes(self):
        """Returns `kernel [H, C]` and `bias [C]`."""
        outputs = self.config.num_labels
        return {"kernel": (self.config.hidden_size, outputs), "bias": (outputs,)}

    def layer(self, kind=keras.layers.Dense, **settings):
        """Returns the dense layer, which computes in float32.

        Args:
          kind: class of the layer.
          **settings: of the class.
        """
        settings |= {"kernel_initializer": initializer(self.config), "name": self.layer_path}
        return kind(self.config.num_labels, dtype="float32", **settings)

    def multiplications(self, length):
        """Returns the multiplications of a head that reads all tokens."""
        return length * self.config.hidden_size * self.config.num_labels

    @staticmethod
    def loss(num_outputs):
        """Returns cross-entropy, or mean squared error for one output."""
        return losses.task_loss(is_regression=num_outputs == 1)
