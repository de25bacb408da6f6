"""The BERT encoder, every block as its config says.

B batch, T tokens, H hidden, N heads, D head size, F feed-forward. Between attentions the tokens of
a batch lie in one matrix `[B T, H]`, so that TensorFlow fuses matmul, bias, GELU and residual.
Reference: BERT, arXiv 1810.04805.
"""

import contextlib
import math

import tensorflow as tf

from bert_tf.encoders.attention import Attention, EinsumAttention
from bert_tf.encoders.config import ATTENTION_INPUTS, PARENTS
from bert_tf.encoders.dropout import StepDropout
from bert_tf.encoders.execution import TRAINING, Described
from bert_tf.encoders.layer_norm import LayerNorm
from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.gates.switched import mask_scope
from flop_tf.layers.fused_dense import FusedProjections
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.layers.projection import ProjectionSpec

#: The model's inputs, named as in tf-models; int32 `[B, T]` each.
INPUT_NAMES = ("input_word_ids", "input_mask", "input_type_ids")

#: Feature next to them in batches of one of several tasks: its index, int32 `[B]`, all the same.
TASK = "task"

# Seeds of dropout: block i takes them from 100 (i + 1) on. Those of gates are in their config.
_EMBEDDING_SEED = 1
_BLOCK_SEEDS = 100


def initializer(config):
    """Returns a new initializer of kernels and embeddings; each weight needs its own.

    Args:
      config: an `EncoderConfig`.
    """
    return keras.initializers.TruncatedNormal(stddev=config.initializer_range)


def activation(name):
    """Returns the function of a `hidden_act`: erf or tanh GELU, or ReLU.

    Args:
      name: "gelu" (erf), "gelu_tanh" or "relu".
    """
    if name == "relu":
        return tf.nn.relu
    return _gelu_tanh if name == "gelu_tanh" else _gelu_erf


def _gelu_tanh(inputs):
    return tf.nn.gelu(inputs, approximate=True)


def _gelu_erf(inputs):
    # As the fusion with a matmul expects it; `tf.nn.gelu` is written with erfc.
    return 0.5 * inputs * (1.0 + tf.math.erf(inputs * math.sqrt(0.5)))


def _mask_of(inputs):
    """Returns the scope of the masks of the batch's task, where it says one."""
    return mask_scope(inputs[TASK][0]) if TASK in inputs else contextlib.nullcontext()


def _layer_norm(config, execution):
    return LayerNorm(execution.fused_layer_norm, epsilon=config.layer_norm_eps)


@keras.saving.register_keras_serializable("bert_tf")
class BertEmbeddings(keras.layers.Layer):
    """`LayerNorm(word + position + token type)`, then dropout; ids `[B, T]` to `[B T, H]`.

    Where the embeddings have another width than H, E, a dense layer follows. A word embedding of
    rank R is two factors, `[V, R]` and `[R, E]`. A gate scales the weights of the rows that are
    looked up.

    Args:
      config: an `EncoderConfig`.
      execution: an `Execution`; default the one of training.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, config, execution=TRAINING, **kwargs):
        super().__init__(**kwargs)
        self.config, self.execution = config, execution
        width, rank = config.embedding_width, config.word_embedding_rank
        shapes = {
            "word_embeddings": [config.vocab_size, rank or width],
            "position_embeddings": [config.max_position_embeddings, width],
            "token_type_embeddings": [config.type_vocab_size, width],
            "word_projection": [rank, width],
        }
        for name, shape in shapes.items():
            if shape[0]:
                weight = self.add_weight(name=name, shape=shape, initializer=initializer(config))
                setattr(self, name, weight)
        self.gate = gates.get(config.gates.get("word_embeddings"))
        if self.gate is not None:
            self.gate.build(self.word_embeddings.shape)
        self.layer_norm = _layer_norm(config, execution)
        self.dropout = StepDropout(config.hidden_dropout_prob, seed=_EMBEDDING_SEED)
        if config.embedding_size is not None:
            self.projection = keras.layers.Dense(
                config.hidden_size, kernel_initializer=initializer(config), name="projection"
            )

    def call(self, word_ids, type_ids, training=None):
        """Returns the embedded tokens `[B T, H]`.

        Args:
          word_ids: int32 `[B, T]`.
          type_ids: int32 `[B, T]`, the segments.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        outputs = self._words(word_ids, training)
        first = self.config.position_offset
        positions = tf.convert_to_tensor(self.position_embeddings)[first:]
        outputs += positions[: tf.shape(word_ids)[1]]
        outputs = tf.reshape(outputs, [-1, self.config.embedding_width])
        if self.config.type_vocab_size:
            outputs += self._segments(type_ids, outputs.dtype)
        outputs = self.dropout(self.layer_norm(outputs, training=training), training=training)
        return outputs if self.config.embedding_size is None else self.projection(outputs)

    def word_factors(self):
        """Returns the tensors whose product is the word embedding, a tuple of one or two."""
        ranked = self.config.word_embedding_rank is not None
        factors = [self.word_embeddings, *([self.word_projection] if ranked else [])]
        return tuple(map(tf.convert_to_tensor, factors))

    def _words(self, word_ids, training):
        """Returns the embedded words `[B, T, E]`."""
        if self.gate is None:
            rows = tf.gather(self.word_embeddings, word_ids)
        else:
            rows = self.gate.rows(self.word_embeddings, word_ids, training=training)
            rows = tf.cast(rows, self.compute_dtype)
        if self.config.word_embedding_rank is None:
            return rows
        # Of two axes, as all other products.
        tokens = tf.reshape(rows, [-1, self.config.word_embedding_rank])
        words = tf.matmul(tokens, tf.convert_to_tensor(self.word_projection))
        return tf.reshape(words, [*tf.unstack(tf.shape(word_ids)), self.config.embedding_width])

    def _segments(self, type_ids, dtype):
        """Returns the embedded segments `[B T, E]`."""
        # A matmul with the one-hot type: its gradient is a matmul too, not a scatter of B * T rows.
        # Not by `tf.one_hot`, nor by a cast, of which LiteRT makes one: formats differ in what that
        # makes of types that do not exist.
        types = tf.reshape(type_ids, [-1, 1]) == tf.range(self.config.type_vocab_size)
        types = tf.where(types, tf.ones([], dtype), tf.zeros([], dtype))
        return tf.matmul(types, tf.convert_to_tensor(self.token_type_embeddings))


@keras.saving.register_keras_serializable("bert_tf")
class TransformerBlock(keras.layers.Layer):
    """Self-attention and feed-forward, each with residual and LayerNorm after it.

    `a = LayerNorm(x + O softmax(q k^T / sqrt(D)) v)`, `y = LayerNorm(a + W2 gelu(W1 a))`.
    Without heads, or without neurons, only the bias of the output projection is left; without
    an FFN `y = LayerNorm(a)`. Gates scale the contexts of the heads, the activated neurons
    (one by one, or all of a sublayer) and the output of the FFN.

    Args:
      config: an `EncoderConfig`.
      index: which of its `layers` this is.
      execution: an `Execution`; default the one of training.
      **kwargs: of `keras.layers.Layer`.
    """

    #: Whether the weights of the query hold the scale of attention.
    is_scaled = False

    def __init__(self, config, index, execution=TRAINING, **kwargs):
        super().__init__(**kwargs)
        self.config, self.execution = config, execution
        self.layer = config.layers[index]
        for name in self.own_projections():
            units = self.layer.shape(name, config.hidden_size, config.head_size)[1]
            spec = self.layer.projection(name)
            setattr(self, name, spec.make(units, name=name, kernel_initializer=initializer(config)))
        for kind, gate in self.layer.gates.items():
            setattr(self, f"{kind}_gate", gates.deserialize(gate))
        self.activation = activation(config.hidden_act)
        seed = _BLOCK_SEEDS * (index + 1)
        if self.layer.num_heads:
            attention = EinsumAttention if execution.einsum_attention else Attention
            self.attention = attention(
                self.layer.num_heads,
                config.head_size,
                is_scaled=self.is_scaled,
                dropout=config.attention_probs_dropout_prob,
                seed=seed,
            )
        self.attention_output_dropout = StepDropout(config.hidden_dropout_prob, seed=seed + 1)
        self.ffn_dropout = StepDropout(config.hidden_dropout_prob, seed=seed + 2)
        self.attention_norm = _layer_norm(config, execution)
        self.ffn_norm = _layer_norm(config, execution)

    def own_projections(self):
        """Returns the names of the projections that are a layer of their own."""
        return self.layer.names()

    def call(self, hidden, attention_bias, training=None):
        """Returns `(outputs [B T, H], inputs)`.

        Args:
          hidden: `[B T, H]`.
          attention_bias: `[B, 1, 1, T]`, added to the attention scores: 0 or very low.
          training: whether to drop out and draw gates.

        Returns:
          The outputs, and what each projection received by its name, `[B T, I]`:
          calibration and importance need it.
        """
        inputs, batch = {}, tf.shape(attention_bias)[0]
        if self.layer.num_heads:
            inputs.update(query=hidden, key=hidden, value=hidden)
        context = self.context(hidden, attention_bias, training)
        attended = self.attended(hidden, context, training)
        inputs["attention_output"] = context
        if not self.layer.has_ffn:
            return self.outputs(attended, attended, batch, training), inputs
        if self.layer.intermediate_size:
            inputs["ffn_in"] = attended
        inputs["ffn_out"] = neurons = self.neurons(attended, batch, training)
        return self.outputs(attended, neurons, batch, training), inputs

    def context(self, hidden, attention_bias, training=None):
        """Returns what the attention output receives, `[B T, N V]`; without heads `hidden`.

        Args:
          hidden: `[B T, H]`.
          attention_bias: see `call`.
          training: bool, see `call`.
        """
        if not self.layer.num_heads:
            return hidden
        projected = self.project(hidden, training)
        context = self.attention(*projected, attention_bias, training=training)
        batch = tf.shape(attention_bias)[0]
        context = self.gated("heads", context, batch, training)
        return self.gated("attention", context, batch, training)

    def attended(self, hidden, context, training=None):
        """Returns what leaves the attention sublayer, `[B T, H]`.

        Args:
          hidden: `[B T, H]`.
          context: of `context`.
          training: bool, see `call`.
        """
        attended = self.attention_output(context, training=training)
        attended = self.attention_output_dropout(attended, training=training)
        return self.attention_norm(hidden + attended, training=training)

    def neurons(self, attended, batch, training=None):
        """Returns what the FFN's second matrix receives, `[B T, F]`; without any `attended`.

        Args:
          attended: of `attended`.
          batch: B.
          training: bool, see `call`.
        """
        if not self.layer.intermediate_size:
            return attended
        neurons = self.activation(self.ffn_in(attended, training=training))
        neurons = self.gated("neurons", neurons, batch, training)
        return self.gated("feed_forward", neurons, batch, training)

    def outputs(self, attended, neurons, batch, training=None):
        """Returns what leaves the block, `[B T, H]`.

        Args:
          attended: of `attended`.
          neurons: of `neurons`.
          batch: B.
          training: bool, see `call`.
        """
        if not self.layer.has_ffn:
            return self.ffn_norm(attended, training=training)
        outputs = self.ffn_out(neurons, training=training)
        outputs = self.ffn_dropout(outputs, training=training)
        outputs = self.gated("ffn", outputs, batch, training)
        return self.ffn_norm(attended + outputs, training=training)

    def project(self, hidden, training=None):
        """Returns query, key and value.

        Args:
          hidden: `[B T, H]`.
          training: bool, see `keras.layers.Layer.call`.

        Returns:
          Three tensors `[B T, N D]`, or as wide as heads of the block are.
        """
        return [getattr(self, name)(hidden, training=training) for name in ATTENTION_INPUTS]

    def gated(self, kind, inputs, batch, training=None):
        """Returns inputs with the units of a kind scaled by their gate, if they have one.

        Args:
          kind: one of `GATED_UNITS`, U units of the width W.
          inputs: `[B T, U W]`.
          batch: B.
          training: bool, see `call`.
        """
        if kind not in self.layer.gates:
            return inputs
        units = self.layer.num_units(kind)
        shape = [batch, -1, units, inputs.shape[1] // units]
        scaled = getattr(self, f"{kind}_gate")(tf.reshape(inputs, shape), training=training)
        return tf.reshape(scaled, [-1, inputs.shape[1]])


@keras.saving.register_keras_serializable("bert_tf")
class FusedBlock(TransformerBlock):
    """A `TransformerBlock` whose query, key and value share their first product.

    The weights of the query hold the scale of attention. For inference only, and without gates on
    the three; see `bert_tf.serving.execution_plan`.
    """

    is_scaled = True

    def __init__(self, config, index, execution=TRAINING, **kwargs):
        super().__init__(config, index, execution, **kwargs)
        specs = [self.layer.projection(name) for name in ATTENTION_INPUTS]
        units = [
            self.layer.shape(name, config.hidden_size, config.head_size)[1]
            for name in ATTENTION_INPUTS
        ]
        self.attention_inputs = FusedProjections(units, [spec.rank for spec in specs])

    def own_projections(self):
        """Returns the names of the projections but query, key and value."""
        return tuple(name for name in self.layer.names() if name not in ATTENTION_INPUTS)

    def project(self, hidden, training=None):
        """See `TransformerBlock.project`."""
        return self.attention_inputs(hidden, training=training)


@keras.saving.register_keras_serializable("bert_tf")
class Encoder(Described, keras.layers.Layer):
    """Embeddings, blocks and pooler; inputs and outputs are named as in tf-models.

    Args:
      config: an `EncoderConfig`.
      execution: an `Execution`; default the one of training.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, config, execution=TRAINING, **kwargs):
        super().__init__(**kwargs)
        self.config, self.execution = config, execution
        self.embeddings = BertEmbeddings(config, execution)
        self.blocks = []
        for index in range(config.num_hidden_layers):
            block = FusedBlock if index in execution.fused_blocks else TransformerBlock
            self.blocks.append(block(config, index, execution, name=f"block_{index}"))
        self.pooler = None
        if config.pooler_act is not None:
            act = config.pooler_act
            self.pooler = ProjectionSpec(gate=config.gates.get("pooler")).make(
                config.hidden_size,
                activation=act if act == "tanh" else activation(act),
                kernel_initializer=initializer(config),
            )

    # Nothing in here branches on tensors by `if`: AutoGraph would only make tracing slower.
    @tf.autograph.experimental.do_not_convert
    def call(self, inputs, training=None):
        """Encodes a batch.

        Args:
          inputs: dict of int tensors `[B, T]`: `input_word_ids`, `input_mask` (1 for
            a token, 0 for padding) and `input_type_ids`; with `TASK` its mask is taken where
            gates have several.
          training: whether to drop out and draw gates.

        Returns:
          dict with `sequence_output [B, T, H]`, `pooled_output [B, H]` of the first token,
          `encoder_outputs` (a `[B, T, H]` for each block) and `projection_inputs`
          (for each block a dict of what its projections received, `[B T, I]`).
        """
        hidden, attention_bias = self.block_inputs(inputs, training)
        shape = tf.shape(inputs["input_mask"])
        encoder_outputs, projection_inputs = [], []
        with _mask_of(inputs):
            for block in self.blocks:
                hidden, received = block(hidden, attention_bias, training=training)
                encoder_outputs.append(
                    tf.reshape(hidden, [shape[0], shape[1], self.config.hidden_size])
                )
                projection_inputs.append(received)
        sequence = tf.reshape(hidden, [shape[0], shape[1], self.config.hidden_size])
        pooled = sequence[:, 0]
        if self.pooler is not None:
            pooled = self.pooler(pooled, training=training)
        return {
            "sequence_output": sequence,
            "pooled_output": pooled,
            "encoder_outputs": encoder_outputs,
            "projection_inputs": projection_inputs,
        }

    def block_inputs(self, inputs, training=None):
        """Returns the embedded tokens `[B T, H]`, and the bias of attention `[B, 1, 1, T]`.

        Args:
          inputs: see `call`.
          training: bool, see `call`.
        """
        hidden = self.embeddings(
            inputs["input_word_ids"], inputs["input_type_ids"], training=training
        )
        padding = 1 - tf.cast(inputs["input_mask"], hidden.dtype)
        # Two axes by two calls: LiteRT has no slice that makes both.
        padding = tf.expand_dims(tf.expand_dims(padding, 1), 1)
        return hidden, padding * (hidden.dtype.min / 2)

    def projections(self):
        """Yields `(path, layer)` of every projection, in the order of `config.projections()`."""
        for index, name, *_ in self.config.projections():
            yield f"blocks.{index}.{name}", getattr(self.blocks[index], name)

    def weight_gates(self):
        """Yields `(path, gate, variable)` of the gates over single weights, and what they scale.

        The paths are weight paths without `encoder`: `blocks.0.query.kernel`, ...
        """
        for path, layer in self.projections():
            if isinstance(layer, GatedDense):
                yield f"{path}.kernel", layer.gate, layer.kernel
        if "pooler" in self.config.gates:
            yield "pooler.kernel", self.pooler.gate, self.pooler.kernel
        if self.embeddings.gate is not None:
            table = self.embeddings.word_embeddings
            yield "embeddings.word_embeddings", self.embeddings.gate, table

    def unit_gates(self):
        """Yields `(path, gate)` of the gates on `GATED_UNITS`: `blocks.0.heads`, ..."""
        for index, block in enumerate(self.blocks):
            for kind in block.layer.gates:
                yield f"blocks.{index}.{kind}", getattr(block, f"{kind}_gate")

    def steered_units(self):
        """Yields `(path of a block, kind, gate, parent)` where a budget steers heads or neurons.

        The gate is the one over the units and the parent the one over their sublayer; either may be
        None, not both.
        """
        gates = {path: gate for path, gate in self.unit_gates() if gate.calibrates}
        for index in range(len(self.blocks)):
            for kind, sublayer in PARENTS.items():
                block = f"blocks.{index}"
                pair = gates.get(f"{block}.{kind}"), gates.get(f"{block}.{sublayer}")
                if pair != (None, None):
                    yield block, kind, *pair

    def get_config(self):
        """Returns the constructor's arguments, config and execution as plain data."""
        return {**super().get_config(), **self.described()}
