"""BERT with a task head, and the classifier: logits of a class, or one number of a regression."""

import tensorflow as tf

from bert_tf.encoders.config import BertConfig
from bert_tf.encoders.dropout import StepDropout
from bert_tf.encoders.encoder import INPUT_NAMES, BertEncoder, initializer
from bert_tf.heads import losses
from flop_tf.backend import keras
from flop_tf.budget.kernel_sparsity import KernelSparsity
from flop_tf.gates.switched import mask_scope
from flop_tf.training.gated_model import GatedModel

#: Feature that carries the positions of examples `[B]` through `predict`.
EXAMPLE_INDEX = "example_index"

_HEAD_SEED = 2


class BertModel(GatedModel):
    """Encoder and task head; a subclass adds the head as a layer of the name `config.head`.

    Args:
      config: a `BertConfig`.
      **kwargs: of `keras.Model`.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.encoder = BertEncoder(config, name="encoder")
        setattr(self, config.head, self.make_head())

    def make_head(self):
        """Returns the layer of the task head, which takes hidden states to logits."""
        return keras.layers.Dense(
            self.config.num_labels,
            kernel_initializer=initializer(self.config),
            dtype="float32",
            name=self.config.head,
        )

    def make_weights(self):
        """Creates the weights, so that they can be assigned by path; ends every constructor."""
        specs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in INPUT_NAMES}
        # Keras would take the shape of the first call for the only one a SavedModel accepts.
        self._set_save_spec(specs)
        # Called on a token, not on symbols: tracing every block takes twice as long.
        with mask_scope(0):
            self({name: tf.zeros([1, 1], tf.int32) for name in INPUT_NAMES})

    def compile(self, *args, distill_alpha=0.0, distill_temperature=1.0, **kwargs):
        """Configures training, see `GatedModel.compile`.

        Args:
          *args: of `GatedModel.compile`.
          distill_alpha: share in [0, 1] of the distillation loss, for batches whose
            features hold `losses.TEACHER_LOGITS`.
          distill_temperature: T > 0 of the distillation loss.
          **kwargs: of `GatedModel.compile`.

        Raises:
          ValueError: if a distillation argument is out of range.
        """
        if not 0 <= distill_alpha <= 1:
            raise ValueError(
                f"Argument `distill_alpha` must be in [0, 1], received {distill_alpha}."
            )
        if distill_temperature <= 0:
            raise ValueError(
                f"Argument `distill_temperature` must be above 0, received {distill_temperature}."
            )
        super().compile(*args, **kwargs)
        self.distill_alpha = distill_alpha
        self.distill_temperature = distill_temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        """Returns `(1 - a) task + a distillation`, with a = 0 where there is no teacher."""
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        if losses.TEACHER_LOGITS not in x:
            return loss
        teacher = losses.distillation_loss(
            x[losses.TEACHER_LOGITS], y_pred, self.distill_temperature, sample_weight
        )
        # As Keras does with the task's loss: optimizers add up what the replicas give them.
        teacher /= tf.distribute.get_strategy().num_replicas_in_sync
        return (1 - self.distill_alpha) * loss + self.distill_alpha * teacher

    def predict_step(self, data):
        """Returns logits, and beside them the positions of the examples if they are given."""
        features, *_ = keras.utils.unpack_x_y_sample_weight(data)
        return self.beside_index(self.joinable(self(features, training=False)), features)

    def beside_index(self, logits, features):
        """Returns what a batch predicts, beside it the positions of its examples if given."""
        if EXAMPLE_INDEX not in features:
            return logits
        return {"logits": logits, EXAMPLE_INDEX: features[EXAMPLE_INDEX]}

    def joinable(self, logits):
        """Returns logits whose shape does not depend on the width of the batch."""
        return logits

    def kernel_sparsity(self):
        """Returns the `KernelSparsity` of the projections, over the original dense kernels."""
        original = sum(i * o for *_, (i, o) in self.config.dense.projections())
        return KernelSparsity([layer for _, layer in self.encoder.projections()], original)

    def build_from_config(self, config):
        """Does nothing: the weights exist since the constructor."""

    def get_config(self):
        """Returns the constructor's arguments, the `BertConfig` as plain data."""
        return {"name": self.name, "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config):
        """Builds a model from `get_config`."""
        config = dict(config)
        return cls(BertConfig.from_dict(config.pop("config")), **config)


@keras.saving.register_keras_serializable("bert_tf")
class BertClassifier(BertModel):
    """`logits = dropout(pooled) W + b`, `[B, T]` ids to `[B, num_labels]`.

    Args:
      config: a `BertConfig` with the head "classifier".
      **kwargs: of `keras.Model`.
    """

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.dropout = StepDropout(config.hidden_dropout_prob, seed=_HEAD_SEED)
        self.make_weights()

    def call(self, inputs, training=None):
        """Returns float32 logits `[B, num_labels]` for the dict of inputs of `BertEncoder`."""
        pooled = self.encoder(inputs, training=training)["pooled_output"]
        return self.classifier(self.dropout(pooled, training=training))

    @staticmethod
    def head_multiplications(config, length):
        """Returns those of pooler and head for an input of `length` tokens: they read one."""
        return config.hidden_size * (config.hidden_size + config.num_labels)
