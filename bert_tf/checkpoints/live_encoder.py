"""Live encoders of tf-models, read by the same object paths as their checkpoints.

All of them are of the family BERT: tf-models computes ELECTRA by `BertEncoder` too, and its other
encoders (ALBERT, MobileBERT, ...) are of families that this project does not compute.
"""

import numpy as np
from scipy import special

from bert_tf.checkpoints.translation import translate
from bert_tf.checkpoints.variables import Variables
from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.bert import Bert
from bert_tf.families.names import per_block
from flop_tf.backend import keras

#: Encoders of tf-models that are a BERT; the last is the name of before 2020.
_CLASSES = ("BertEncoder", "BertEncoderV2", "TransformerEncoder")

_TABLE = Bert.names["tf_models"].table

#: The activations that an encoder may compute, by our names.
_ACTIVATIONS = {
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
}


def read(encoder):
    """Returns `(config, weights)` of an encoder.

    Args:
      encoder: a `BertEncoder` or `BertEncoderV2` of `official.nlp.modeling.networks`;
        if it was never called, its weights are created now.

    Raises:
      ValueError: if it is another encoder or has an option that this BERT lacks.
    """
    if not any(cls.__name__ in _CLASSES for cls in type(encoder).__mro__):
        raise ValueError(
            "Argument `encoder` must be a BertEncoder or BertEncoderV2 of tf-models, received a "
            f"{type(encoder).__name__}."
        )
    if not encoder.built:
        encoder(encoder.inputs)
    return translate(_variables(encoder), _TABLE, _config(encoder))


def _config(encoder):
    options = encoder.get_config()
    expected = {
        "norm_first": False,
        "output_range": None,
        "embedding_width": options["hidden_size"],
    }
    for option, value in expected.items():
        if options.get(option, value) != value:
            raise ValueError(
                f"Argument `encoder` must have {option}={value!r}, as every BERT of this project, "
                f"received {options[option]!r}."
            )
    initializer = options["initializer"].get("config", {})
    return EncoderConfig(
        vocab_size=options["vocab_size"],
        hidden_size=options["hidden_size"],
        num_hidden_layers=options["num_layers"],
        num_attention_heads=options["num_attention_heads"],
        intermediate_size=options["inner_dim"],
        hidden_act=_activation(encoder.transformer_layers[0]),
        hidden_dropout_prob=options["output_dropout"],
        attention_probs_dropout_prob=options["attention_dropout"],
        max_position_embeddings=options["max_sequence_length"],
        type_vocab_size=options["type_vocab_size"],
        initializer_range=initializer.get("stddev", EncoderConfig.initializer_range),
        layer_norm_eps=_get(encoder, "_embedding_norm_layer/epsilon"),
    )


def _activation(block):
    """Returns our name for what the activation computes: its own name may be `<lambda>`."""
    points = np.linspace(-3, 3, 13, dtype=np.float32)
    values = np.asarray(keras.activations.get(block.get_config()["inner_activation"])(points))
    for name, function in _ACTIVATIONS.items():
        if np.allclose(values, function(points), rtol=0, atol=1e-5):
            return name
    raise ValueError(
        f"Argument `encoder` must have one of the activations {sorted(_ACTIVATIONS)}, received "
        f"another, {block.get_config()['inner_activation']!r}."
    )


def _variables(encoder):
    table = per_block(_TABLE, len(encoder.transformer_layers))
    named = {row.name: _get(encoder, row.name) for row in table.values()}
    named = {name: variable for name, variable in named.items() if variable is not None}
    known = {id(variable) for variable in named.values()}
    named.update({v.name: v for v in encoder.weights if id(v) not in known})
    return Variables(
        f"The {type(encoder).__name__} {encoder.name!r}",
        {name: tuple(variable.shape) for name, variable in named.items()},
        lambda name: named[name].numpy(),
    )


def _get(node, path):
    """Returns the object at the end of `path`, or None."""
    for step in path.split("/"):
        node = node[int(step)] if step.isdigit() else getattr(node, step, None)
    return node
