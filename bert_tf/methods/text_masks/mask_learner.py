"""The model whose masks are trained: masked words, a teacher's hidden states, or both."""

import dataclasses

import tensorflow as tf

from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.methods.text_masks import hidden_losses
from bert_tf.models.bert import BertModel
from flop_tf.backend import keras

#: Feature of a batch of training: the weight of each text, float32 `[B]`, 0 where it only fills up.
TEXT_WEIGHTS = "text_weights"


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is learned; the parts are added up, each with weight 1.

    Args:
      mlm: whether masked words are predicted.
      hidden: distance to the teacher's hidden states, of `hidden_losses.HIDDEN`; "" for none.
      last_layer: whether only those of the last layer count.
      first_token: whether only those of the first token of each text count.
      attention: whether raw attention scores are compared.
      relation: of `hidden_losses.RELATIONS`, or "" for none.
      padding: whether padding counts as tokens do, as in the published code.

    Raises:
      ValueError: if nothing is to be learned.
    """

    mlm: bool = True
    hidden: str = ""
    last_layer: bool = False
    first_token: bool = False
    attention: bool = False
    relation: str = ""
    padding: bool = False

    def __post_init__(self):
        if not (self.mlm or self.distills):
            raise ValueError(
                "An objective is needed: masked words, or a teacher's hidden states, attention or "
                "relations, received none of them."
            )

    @property
    def distills(self):
        """Whether there is anything to learn from a teacher."""
        return bool(self.hidden or self.attention or self.relation)

    def check_teacher(self, student, teacher):
        """Checks that a teacher fits.

        Args:
          student: its `BertConfig`.
          teacher: that of the teacher.

        Raises:
          ValueError: if widths, heads or numbers of layers do not fit what is learned.
        """
        if self.hidden and teacher.hidden_size != student.hidden_size:
            raise ValueError(
                f"The teacher must have the student's width of {student.hidden_size} where hidden "
                f"states are matched, received {teacher.hidden_size}; match relations or attention "
                "instead."
            )
        if self.attention and teacher.num_attention_heads != student.num_attention_heads:
            raise ValueError(
                f"The teacher must have the student's {student.num_attention_heads} heads where "
                f"attention is matched, received {teacher.num_attention_heads}; match hidden "
                "states or relations instead."
            )
        for name, config in (("student", student), ("teacher", teacher)):
            removed = [one for one in config.layers if one.num_heads < config.num_attention_heads]
            if self.attention and removed:
                raise ValueError(
                    f"The {name} must have all its heads where attention is matched, received one "
                    f"with heads removed in {len(removed)} layers; match hidden states or "
                    "relations instead."
                )
        hidden_losses.layer_map(len(student.layers), len(teacher.layers))


@keras.saving.register_keras_serializable("bert_tf")
class MaskLearner(BertModel):
    """A `BertModel` whose loss is what an `Objective` says, see `learn`.

    Args:
      config: a `BertConfig` with the head "mlm".
      **kwargs: of `keras.Model`.
    """

    objective = Objective()
    #: The teacher in a tuple, where Keras does not look for layers, or nothing.
    teacher = ()

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def learn(self, objective, teacher=None):
        """Says what to learn; call it before `compile`.

        Args:
          objective: an `Objective`.
          teacher: a `BertModel`, where there is something to learn from it. It
            is no part of this model.

        Raises:
          ValueError: if there is no teacher where one is needed, or it does not fit.
        """
        if objective.distills:
            if teacher is None:
                raise ValueError(
                    "A teacher is needed where hidden states, attention or relations are learned, "
                    "received none; name one by --teacher."
                )
            objective.check_teacher(self.config, teacher.config)
        self.objective = objective
        self.teacher = (teacher,) if objective.distills else ()

    def call(self, inputs, training=None):
        """Returns float32 logits; of training without masked words, something without meaning."""
        encoded = self.encoder(inputs, training=training)
        if training and self.teacher:
            self.add_loss(self._distance(inputs, encoded))
            if not self.objective.mlm:
                return encoded["sequence_output"][:, 0, :1]
        return self.logits(encoded, inputs, training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        """Returns the loss of masked words, if they are learned, and that of the teacher."""
        if self.objective.mlm:
            return super().compute_loss(x, y, y_pred, sample_weight)
        return tf.add_n(self.losses)

    def distance(self, inputs):
        """Returns how far the student is from its teacher on a batch, without dropout; a scalar."""
        return self._distance(inputs, self.encoder(inputs, training=False))

    def _distance(self, inputs, encoded):
        (teacher,), objective = self.teacher, self.objective
        taught = teacher.encoder({name: inputs[name] for name in INPUT_NAMES}, training=False)
        layers = hidden_losses.layer_map(len(self.encoder.blocks), len(teacher.encoder.blocks))
        mask = _counted(inputs, objective.padding)
        students = encoded["encoder_outputs"]
        teachers = [tf.stop_gradient(taught["encoder_outputs"][layer]) for layer in layers]
        if objective.last_layer:
            students, teachers = students[-1:], teachers[-1:]
        parts = []
        if objective.hidden:
            first = slice(0, 1 if objective.first_token else None)
            pairs = ([h[:, first] for h in each] for each in (students, teachers))
            own = mask[:, first]
            parts.append(hidden_losses.hidden_distance(*pairs, own, objective.hidden))
        if objective.relation:
            kind = objective.relation
            parts.append(hidden_losses.relation_distance(students, teachers, mask, kind))
        if objective.attention:
            ours = _attention(self.encoder, encoded, range(len(self.encoder.blocks)), inputs)
            theirs = _attention(teacher.encoder, taught, layers, inputs)
            theirs = [tf.stop_gradient(scores) for scores in theirs]
            parts.append(hidden_losses.attention_distance(ours, theirs, mask))
        # So that the parts of a batch, of which one may have fewer texts, have their mean as a sum.
        share = tf.reduce_mean(inputs[TEXT_WEIGHTS]) if TEXT_WEIGHTS in inputs else 1.0
        return share * tf.add_n(parts)


def with_text_weights(features, labels, weights):
    """Returns a batch of training whose features say what each text weighs."""
    return {**features, TEXT_WEIGHTS: weights}, labels, weights


def _counted(inputs, padding):
    """Returns `[B, T]`, 1 for the tokens of texts, with or without padding, that weigh anything."""
    mask = inputs["input_mask"]
    mask = tf.ones_like(mask) if padding else mask
    if TEXT_WEIGHTS in inputs:
        mask *= tf.cast(inputs[TEXT_WEIGHTS] > 0, mask.dtype)[:, tf.newaxis]
    return mask


def _attention(encoder, encoded, layers, inputs):
    received = encoded["projection_inputs"]
    return [
        hidden_losses.attention_scores(encoder.blocks[i], received[i], inputs["input_mask"])
        for i in layers
    ]
