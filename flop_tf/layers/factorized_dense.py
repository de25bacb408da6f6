"""A dense layer whose kernel is a product of two factors with a gate between them."""

import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.linalg import costs


@keras.saving.register_keras_serializable("flop_tf")
class FactorizedDense(keras.layers.Layer):
    """`y = activation(x · P · diag(z) · Q + bias)`, a low-rank `keras.layers.Dense`.

    The gate z scales the rows of Q, which costs `R * O` for any batch.
    With more tokens than `merge_above_tokens` the layer multiplies `x · (P · Q)`,
    otherwise `(x · P) · Q`; both are the same function. With rank 0 only the
    bias is left. Once the gate is fixed (`trainable` false), the ranks that it
    closes are not multiplied any more.

    >>> layer = FactorizedDense(6, rank=2, gate="hard_concrete")
    >>> layer(tf.ones([3, 8])).shape.as_list()
    [3, 6]
    >>> layer.factor_in.shape.as_list(), layer.factor_out.shape.as_list()
    ([8, 2], [2, 6])

    Args:
      units: O, size of the output.
      rank: R, 0 or more; the number of columns of P and rows of Q.
      gate: None, a gate over axis 0, the name of one or a serialized one.
      merge_above_tokens: int, number of tokens (product of all axes but the last) above which
        P · Q is formed first, or `flop_tf.linalg.costs.NEVER`. None takes that module's
        `merge_above_tokens` for the shape.
      activation: as in `keras.layers.Dense`.
      use_bias: as in `keras.layers.Dense`.
      kernel_initializer: of both factors.
      bias_initializer: as in `keras.layers.Dense`.
      **kwargs: of `keras.layers.Layer`.

    Inputs have shape `[..., I]`, outputs `[..., O]`. P is `factor_in [I, R]`, Q is
    `factor_out [R, O]`.

    Raises:
      ValueError: if `units` or `rank` is out of range or the gate has another axis.

    Reference:
      Structured Pruning of Large Language Models, arXiv 1910.04732.
    """

    def __init__(
        self,
        units,
        rank,
        gate=None,
        merge_above_tokens=None,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if units < 0:
            raise ValueError(f"Argument `units` must be at least 0, received {units}.")
        if rank < 0:
            raise ValueError(f"Argument `rank` must be at least 0, received {rank}.")
        self.units = units
        self.rank = rank
        self.gate = gates.get(gate, axis=0)
        if self.gate is not None and self.gate.axis != 0:
            raise ValueError(
                "Argument `gate` must have `axis=0`, the rows of the second factor, "
                f"received axis={self.gate.axis}."
            )
        self.merge_above_tokens = merge_above_tokens
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        """Creates the factors, the gate's variables and the bias.

        Args:
          input_shape: `[..., I]`.

        Raises:
          ValueError: if I is unknown.
        """
        inputs = tf.TensorShape(input_shape)[-1]
        if inputs is None:
            raise ValueError(
                f"Layer {self.name!r} needs a static size of the last axis, received inputs of "
                f"shape {input_shape}."
            )
        self.inputs = inputs
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: inputs})
        if self.rank:
            self.factor_in = self.add_weight(
                name="factor_in", shape=[inputs, self.rank], initializer=self.kernel_initializer
            )
            # An initializer of its own: one object would draw the same numbers again.
            config = self.kernel_initializer.get_config()
            self.factor_out = self.add_weight(
                name="factor_out",
                shape=[self.rank, self.units],
                initializer=self.kernel_initializer.from_config(config),
            )
            if self.gate is not None:
                self.gate.build([self.rank, self.units])
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=[self.units], initializer=self.bias_initializer
            )
        super().build(input_shape)

    def call(self, inputs, training=None):
        """Returns the projection of `inputs [..., I]`, of shape `[..., O]`.

        Args:
          inputs: float tensor `[..., I]`.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        if isinstance(inputs, tf.RaggedTensor):
            return tf.ragged.map_flat_values(self.call, inputs, training)
        if isinstance(inputs, tf.SparseTensor):
            inputs = tf.sparse.to_dense(inputs)
        outputs = self.project(tf.cast(inputs, self.compute_dtype), training)
        return outputs if self.activation is None else self.activation(outputs)

    def project(self, inputs, training=None):
        """Returns `x · P · diag(z) · Q + bias` of `inputs [..., I]`, of shape `[..., O]`.

        Args:
          inputs: float tensor `[..., I]`.
          training: bool, whether the gate draws.
        """
        if self.rank:
            outputs = self._multiply(inputs, training)
        else:
            # In int32 OpenVINO takes a number that it does not know yet for one below 0.
            shape = tf.concat([tf.shape(inputs, tf.int64)[:-1], [self.units]], 0)
            outputs = tf.ensure_shape(
                tf.zeros(shape, inputs.dtype), inputs.shape[:-1] + [self.units]
            )
        return tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs

    def compute_output_shape(self, input_shape):
        """Returns the shape of the outputs for inputs of `input_shape`.

        Args:
          input_shape: of the inputs, `[..., I]`.
        """
        return tf.TensorShape(input_shape)[:-1] + [self.units]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "rank": self.rank,
            "gate": None if self.gate is None else gates.serialize(self.gate),
            "merge_above_tokens": self.merge_above_tokens,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

    def _multiply(self, inputs, training):
        factor_in = tf.convert_to_tensor(self.factor_in)
        factor_out = tf.convert_to_tensor(self.factor_out)
        rank = self.rank
        if self.gate is not None:
            factor_out = self.gate(factor_out, training=training)
            if not self.gate.trainable:
                # Ranks that are closed for good need not be multiplied.
                kept = tf.where(self.gate.keep())[:, 0]
                factor_in = tf.gather(factor_in, kept, axis=1)
                factor_out = tf.gather(factor_out, kept)
                rank = tf.size(kept)
        is_matrix = inputs.shape.rank == 2
        tokens = inputs if is_matrix else tf.reshape(inputs, [-1, self.inputs])
        outputs = tf.__internal__.smart_cond.smart_cond(
            self._merging_pays(tokens, rank),
            lambda: tf.matmul(tokens, tf.matmul(factor_in, factor_out)),
            lambda: tf.matmul(tf.matmul(tokens, factor_in), factor_out),
        )
        if is_matrix:
            return outputs
        shape = tf.concat([tf.shape(inputs)[:-1], [self.units]], 0)
        return tf.ensure_shape(tf.reshape(outputs, shape), inputs.shape[:-1] + [self.units])

    def _merging_pays(self, tokens, rank):
        """Returns whether P · Q is formed first; a tensor where only the batch decides."""
        rows = tf.shape(tokens)[0] if tokens.shape[0] is None else tokens.shape[0]
        limit = self.merge_above_tokens
        if limit is None:
            if tf.is_tensor(rank):
                rows, rank = tf.cast(rows, tf.float32), tf.cast(rank, tf.float32)
                return costs.merging_pays(rows, self.inputs, self.units, rank)
            limit = costs.merge_above_tokens(self.inputs, self.units, rank)
        return False if limit == costs.NEVER else rows > limit
