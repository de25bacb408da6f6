"""A BERT: encoder and task head in one Keras model."""

import tensorflow as tf

from bert_tf.encoders.config import UNIT_PROJECTIONS
from bert_tf.encoders.encoder import INPUT_NAMES, Encoder
from bert_tf.encoders.execution import TRAINING, Described
from bert_tf.heads.head import head_of
from flop_tf.backend import keras
from flop_tf.budget.budget import Budget
from flop_tf.budget.groups import Switched, Units
from flop_tf.gates.switched import mask_scope
from flop_tf.training.gated_model import GatedModel

#: Feature that carries the positions of examples `[B]` through `predict`.
EXAMPLE_INDEX = "example_index"


@keras.saving.register_keras_serializable("bert_tf")
class BertModel(Described, GatedModel):
    """Encoder and task head, `[B, T]` ids to the logits of the head that the config names.

    The layer of the head is an attribute, its `layer_path`, such as `model.classifier`. A pooler
    that the head does not read is not trained; it stays, as part of every encoder.

    Args:
      config: an `EncoderConfig`.
      execution: an `Execution`; default the one of training.
      **kwargs: of `keras.Model`.

    Raises:
      ValueError: if there is no such head, or `num_labels` does not fit it.
    """

    def __init__(self, config, execution=TRAINING, **kwargs):
        super().__init__(**kwargs)
        self.config, self.execution = config, execution
        self.head = head_of(config)
        self.encoder = Encoder(config, execution, name="encoder")
        if self.encoder.pooler is not None and not self.head.reads_pooler:
            self.encoder.pooler.trainable = False
        setattr(self, self.head.layer_path, self.head.layer())
        self._make_weights()

    def _make_weights(self):
        """Creates the weights, so that they can be assigned by path."""
        specs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in INPUT_NAMES}
        # Keras would take the shape of the first call for the only one a SavedModel accepts.
        self._set_save_spec(specs)
        # Called on a token, not on symbols: tracing every block takes twice as long.
        with mask_scope(0):
            self({name: tf.zeros([1, 1], tf.int32) for name in INPUT_NAMES})

    def call(self, inputs, training=None):
        """Returns float32 logits for the dict of inputs of `Encoder`.

        Args:
          inputs: dict of int32 `[B, T]` by `INPUT_NAMES`, and other features of the head.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        return self.logits(self.encoder(inputs, training=training), inputs, training)

    def logits(self, encoded, inputs, training=None):
        """Returns the logits of the encoder's outputs.

        Args:
          encoded: dict of tensors, the encoder's outputs.
          inputs: dict of the model's inputs.
          training: bool, see `keras.Model.call`.
        """
        if self.head.is_tied:
            encoded = {**encoded, "word_embeddings": self.encoder.embeddings.word_factors()}
        layer = getattr(self, self.head.layer_path)
        return self.head.logits(layer, encoded, inputs, training)

    def predict_step(self, data):
        """Returns predictions of the head, with the positions of their examples if given.

        Args:
          data: a batch: features, or a tuple that begins with them.
        """
        features, *_ = keras.utils.unpack_x_y_sample_weight(data)
        logits = self.head.predictions(self(features, training=False), features)
        if EXAMPLE_INDEX not in features:
            return logits
        return {"logits": logits, EXAMPLE_INDEX: features[EXAMPLE_INDEX]}

    def budget(self):
        """Returns the `Budget` of the projections, over the original dense kernels."""
        original = sum(i * o for *_, (i, o) in self.config.dense.projections())
        projections = dict(self.encoder.projections())
        found = {}
        for block, kind, gate, parent in self.encoder.steered_units():
            before, after = UNIT_PROJECTIONS[kind]
            layer = self.config.layers[int(block.rpartition(".")[2])]
            for name in (*before, after):
                width = layer.unit_width(name, self.config.head_size)
                own = None if gate is None else Units(gate, width)
                pair = (own, None) if name == after else (None, own)
                found[projections[f"{block}.{name}"]] = Switched(*pair, parent)
        return Budget(projections.values(), original, found)

    def build_from_config(self, config):
        """Does nothing: the weights exist since the constructor.

        Args:
          config: not used.
        """

    def get_config(self):
        """Returns the constructor's arguments, config and execution as plain data."""
        return {"name": self.name, **self.described()}
