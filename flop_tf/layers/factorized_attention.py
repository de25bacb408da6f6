"""Multi-head attention whose four projections are layers of their own, factorized or dense."""

import functools

import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.layers.factorized_einsum import FactorizedEinsumDense

# Where the projections lie; in `keras.layers.MultiHeadAttention` with an underscore before it.
_ATTRIBUTES = {
    "query": "query_dense",
    "key": "key_dense",
    "value": "value_dense",
    "attention_output": "output_dense",
}


@keras.saving.register_keras_serializable("flop_tf")
class FactorizedMultiHeadAttention(keras.layers.Layer):
    """`softmax(Q K^T / sqrt(D)) V`, a `keras.layers.MultiHeadAttention` of given projections.

    It computes what the layer of Keras computes for inputs of rank 3, masks included.

    >>> heads = [FactorizedEinsumDense("abc,cde->abde", [None, 2, 4], rank=3) for _ in range(3)]
    >>> joined = keras.layers.EinsumDense("abcd,cde->abe", [None, 8])
    >>> layer = FactorizedMultiHeadAttention(*heads, joined)
    >>> layer(tf.ones([1, 5, 8]), tf.ones([1, 6, 8])).shape.as_list()
    [1, 5, 8]

    Args:
      query_dense: `EinsumDense` or `FactorizedEinsumDense` from `[B, T, I]` to `[B, T, N, D]`, or
        one that Keras has serialized.
      key_dense: the same for keys.
      value_dense: the same for values; their size may differ from D.
      output_dense: the same from `[B, T, N, size of the values]` to the outputs.
      dropout: float in [0, 1), the share of attention that training drops. Defaults to 0.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: if a projection is a layer of another class.
    """

    def __init__(self, query_dense, key_dense, value_dense, output_dense, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.query_dense = _projection("query_dense", query_dense)
        self.key_dense = _projection("key_dense", key_dense)
        self.value_dense = _projection("value_dense", value_dense)
        self.output_dense = _projection("output_dense", output_dense)
        self.dropout = dropout
        self._softmax = keras.layers.Softmax(dtype=self.dtype_policy)
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.supports_masking = True

    def call(
        self,
        query,
        value,
        key=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        """Returns the attention, with the arguments of `keras.layers.MultiHeadAttention`.

        Args:
          query: float tensor `[B, T, I]`, dense or ragged.
          value: float tensor `[B, S, size]`.
          key: float tensor `[B, S, size]`; None stands for `value`.
          attention_mask: None, or a tensor `[B, T, S]` or one that is broadcast to it, false where
            a token does not attend to another. Masks of Keras on the inputs count too.
          return_attention_scores: bool, whether to return a pair. Defaults to False.
          training: bool, whether gates draw and attention is dropped.
          use_causal_mask: bool, whether no token attends to later ones. Defaults to False.

        Returns:
          The outputs `[B, T, ...]`; or these and the attention `[B, N, T, S]` before dropout.
        """
        lengths = query.nested_row_lengths() if isinstance(query, tf.RaggedTensor) else None
        query, value, key = map(_dense, (query, value, value if key is None else key))
        mask = _merged_mask(query, value, key, attention_mask, use_causal_mask)
        queries = self.query_dense(query) * self.query_dense.partial_output_shape[-1] ** -0.5
        scores = tf.einsum("bsnd,btnd->bnts", self.key_dense(key), queries)
        scores = self._softmax(scores, mask)
        dropped = self._dropout(scores, training=training)
        outputs = self.output_dense(tf.einsum("bnts,bsnd->btnd", dropped, self.value_dense(value)))
        if lengths is not None:
            outputs = tf.RaggedTensor.from_tensor(outputs, lengths=lengths)
        return (outputs, scores) if return_attention_scores else outputs

    def get_config(self):
        """Returns the constructor's arguments."""
        parts = {name: keras.layers.serialize(getattr(self, name)) for name in _ATTRIBUTES.values()}
        return {**super().get_config(), **parts, "dropout": self.dropout}


def projections_of(layer):
    """Returns the projections of a multi-head attention whose products are plain.

    Args:
      layer: any Keras layer.

    Returns:
      `{name: layer}` of query, key, value and attention_output, of a
      `FactorizedMultiHeadAttention` or a built `MultiHeadAttention` of inputs of rank 3; of any
      other layer, such as a subclass, an empty dict.
    """
    prefix = "" if type(layer) is FactorizedMultiHeadAttention else "_"
    if prefix and not _is_plain(layer):
        return {}
    return {name: getattr(layer, prefix + place) for name, place in _ATTRIBUTES.items()}


def remake(layer, projections):
    """Returns a `FactorizedMultiHeadAttention` that is otherwise as an old layer.

    Args:
      layer: a layer with `projections_of`.
      projections: four new layers in their order.
    """
    config = layer.get_config()
    kept = {key: config[key] for key in ("dropout", "name", "trainable", "dtype")}
    return FactorizedMultiHeadAttention(*projections, **kept)


def _is_plain(layer):
    if type(layer) is not keras.layers.MultiHeadAttention:
        return False
    config = layer.get_config()
    return config["query_shape"].rank == 3 and tuple(config["attention_axes"]) == (1,)


def _projection(name, layer):
    if isinstance(layer, dict):
        layer = keras.layers.deserialize(layer)
    if not isinstance(layer, keras.layers.EinsumDense | FactorizedEinsumDense):
        raise ValueError(
            f"Argument `{name}` must be an EinsumDense or FactorizedEinsumDense layer, received "
            f"{type(layer).__name__!r}."
        )
    return layer


def _dense(tensor):
    return tensor.to_tensor() if isinstance(tensor, tf.RaggedTensor) else tensor


def _merged_mask(query, value, key, mask, causal):
    """Returns where all masks are true, a tensor broadcast to `[B, N, T, S]`, or None.

    Keras passes the mask of the first input alone to `call`, so those on the tensors are read.
    """
    masks = [
        tf.expand_dims(tf.cast(tensor._keras_mask, tf.bool), axis)
        for tensor, axis in ((query, 2), (value, 1), (key, 1))
        if getattr(tensor, "_keras_mask", None) is not None
    ]
    if causal:
        ones = tf.ones([1, tf.shape(query)[1], tf.shape(value)[1]], tf.bool)
        masks.append(tf.linalg.band_part(ones, -1, 0))
    if masks and mask is not None:
        masks.append(tf.cast(mask, tf.bool))
    mask = functools.reduce(tf.logical_and, masks) if masks else mask
    if mask is not None:
        for _ in range(4 - len(mask.shape)):
            mask = tf.expand_dims(mask, -3)
    return mask
