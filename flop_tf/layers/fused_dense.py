"""Several projections of one input that share their first product."""

import tensorflow as tf

from flop_tf.backend import keras


@keras.saving.register_keras_serializable("flop_tf")
class FusedProjections(keras.layers.Layer):
    """`y_j = (x · W)_j · Q_j + b_j`, or `y_j = (x · W)_j + b_j` where j is dense.

    W holds the kernels of the dense projections and the first factors of the others side by
    side, so that x is read once. It computes what separate layers do; it is for inference.

    >>> layer = FusedProjections(units=[4, 6], ranks=[None, 2])
    >>> [output.shape.as_list() for output in layer(tf.ones([1, 8]))]
    [[1, 4], [1, 6]]
    >>> layer.kernel.shape.as_list()
    [8, 6]

    Args:
      units: O_j, sizes of the outputs.
      ranks: R_j of each projection, at least 1, or None where it is dense.
      **kwargs: of `keras.layers.Layer`.

    Inputs have shape `[..., I]`, outputs are a tuple of `[..., O_j]`. The weights are
    `kernel [I, sum of R_j or O_j]`, `factor_out_j [R_j, O_j]` and `bias [sum of O_j]`.

    Raises:
      ValueError: if there are not as many ranks as units or one is not positive.
    """

    def __init__(self, units, ranks, **kwargs):
        super().__init__(**kwargs)
        if len(units) != len(ranks):
            raise ValueError(
                f"Argument `ranks` must have {len(units)} entries, as `units`, received {ranks}."
            )
        if any(size is not None and size < 1 for size in (*units, *ranks)):
            raise ValueError(
                f"Arguments `units` and `ranks` must be at least 1, received {units} and {ranks}."
            )
        self.units, self.ranks = tuple(units), tuple(ranks)

    @property
    def widths(self):
        """Columns of the first product that belong to each projection."""
        pairs = zip(self.units, self.ranks, strict=True)
        return [units if rank is None else rank for units, rank in pairs]

    def build(self, input_shape):
        """Creates the weights.

        Args:
          input_shape: of the inputs, `[..., I]`.
        """
        inputs = tf.TensorShape(input_shape)[-1]
        self.kernel = self.add_weight(name="kernel", shape=[inputs, sum(self.widths)])
        for index, (units, rank) in enumerate(zip(self.units, self.ranks, strict=True)):
            if rank is not None:
                name = f"factor_out_{index}"
                setattr(self, name, self.add_weight(name=name, shape=[rank, units]))
        self.bias = self.add_weight(name="bias", shape=[sum(self.units)], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs, training=None):
        """Returns the outputs of `inputs [..., I]`, a tuple of `[..., O_j]`.

        Args:
          inputs: float tensor `[..., I]`.
          training: bool or None, whether this is a training step; None takes Keras' learning phase.
        """
        first = tf.matmul(inputs, self.kernel)
        if self.ranks == (None,) * len(self.units):
            return tuple(tf.split(tf.nn.bias_add(first, self.bias), self.units, axis=-1))
        biases = tf.split(self.bias, self.units)
        outputs = []
        for index, part in enumerate(tf.split(first, self.widths, axis=-1)):
            if self.ranks[index] is not None:
                part = tf.matmul(part, getattr(self, f"factor_out_{index}"))
            outputs.append(tf.nn.bias_add(part, biases[index]))
        return tuple(outputs)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "units": list(self.units), "ranks": list(self.ranks)}
