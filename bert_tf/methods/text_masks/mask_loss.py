"""The loss that masks are trained by: masked words, a teacher's hidden states, or both."""

import dataclasses

import tensorflow as tf

from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.methods.text_masks import hidden_losses

#: Feature of a batch of training: the weight of each text, float32 `[B]`, 0 where it only fills up.
TEXT_WEIGHTS = "text_weights"


@dataclasses.dataclass(frozen=True)
class LossTerms:
    """The terms of the loss, which are added up, each with weight 1.

    Args:
      mlm: whether masked words are predicted.
      hidden: distance to the teacher's hidden states, of `hidden_losses.HIDDEN`; "" for none.
      last_layer: whether only hidden states of the last layer count.
      first_token: whether only hidden states of each text's first token count.
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
        """Checks that a teacher fits its student.

        Args:
          student: the `EncoderConfig` of the student.
          teacher: the `EncoderConfig` of the teacher.

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


class MaskLoss:
    """The loss of masked words and the distance to a teacher, as `LossTerms` say.

    An objective takes it in place of `flop_tf.training.batch_gradients.task_loss`.

    Args:
      terms: `LossTerms`.
      teacher: a `BertModel`, needed where there is something to learn from it.

    Raises:
      ValueError: if there is no teacher where one is needed.
    """

    def __init__(self, terms, teacher=None):
        if terms.distills and teacher is None:
            raise ValueError(
                "A teacher is needed where hidden states, attention or relations are learned, "
                "received none; name one by --teacher."
            )
        self.terms = terms
        self.teacher = teacher if terms.distills else None

    def __call__(self, model, x, y, sample_weight):
        """Returns loss and predictions of a batch, see `task_loss`."""
        encoded = model.encoder(x, training=True)
        if not self.terms.mlm:
            # Nothing is predicted: metrics get a column without meaning.
            return self._share(x, model, encoded), encoded["sequence_output"][:, 0, :1]
        logits = model.logits(encoded, x, training=True)
        loss = model.compute_loss(x, y, logits, sample_weight)
        if self.teacher is not None:
            loss += self._share(x, model, encoded)
        return loss, logits

    def distance(self, model, inputs):
        """Returns the distance of a student to its teacher on a batch, without dropout.

        Args:
          model: the student.
          inputs: dict of the features of a batch.

        Returns:
          A float32 scalar.
        """
        return self._distance(inputs, model, model.encoder(inputs, training=False))

    def _share(self, inputs, model, encoded):
        # Optimizers add up what the replicas give them.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return self._distance(inputs, model, encoded) / replicas

    def _distance(self, inputs, student, encoded):
        teacher, terms = self.teacher, self.terms
        taught = teacher.encoder({name: inputs[name] for name in INPUT_NAMES}, training=False)
        layers = hidden_losses.layer_map(len(student.encoder.blocks), len(teacher.encoder.blocks))
        mask = _counted(inputs, terms.padding)
        students = encoded["encoder_outputs"]
        teachers = [tf.stop_gradient(taught["encoder_outputs"][layer]) for layer in layers]
        if terms.last_layer:
            students, teachers = students[-1:], teachers[-1:]
        parts = []
        if terms.hidden:
            first = slice(0, 1 if terms.first_token else None)
            pairs = ([h[:, first] for h in each] for each in (students, teachers))
            own = mask[:, first]
            parts.append(hidden_losses.hidden_distance(*pairs, own, terms.hidden))
        if terms.relation:
            kind = terms.relation
            parts.append(hidden_losses.relation_distance(students, teachers, mask, kind))
        if terms.attention:
            all_layers = range(len(student.encoder.blocks))
            ours = _attention(student.encoder, encoded, all_layers, inputs)
            theirs = _attention(teacher.encoder, taught, layers, inputs)
            theirs = [tf.stop_gradient(scores) for scores in theirs]
            parts.append(hidden_losses.attention_distance(ours, theirs, mask))
        # So that the parts of a batch, of which one may have fewer texts, have their mean as a sum.
        share = tf.reduce_mean(inputs[TEXT_WEIGHTS]) if TEXT_WEIGHTS in inputs else 1.0
        return share * tf.add_n(parts)


def with_text_weights(features, labels, weights):
    """Returns a batch of training whose features hold the weight of each text.

    Args:
      features: dict of tensors.
      labels: of the batch.
      weights: float32 `[B]`.
    """
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
