"""Object-based checkpoints of tf-models' `BertEncoder` and `BertEncoderV2`.

A checkpoint of this kind stores the graph of its objects. The encoder is looked
for in the graph, so it may hang anywhere: in `tf.train.Checkpoint(model=encoder)`,
`Checkpoint(encoder=encoder)` or below tf-models' `BertClassifier`, whose head is read too.
H hidden, N heads, D head size.
"""

import dataclasses
import itertools

import numpy as np
from tensorflow.core.protobuf import trackable_object_graph_pb2

from bert_tf.checkpoints import config_keys
from bert_tf.checkpoints.translation import From, per_block, translate
from bert_tf.encoders.config import BertConfig

FORMAT = "tf_models"
CONFIG_FILE = "bert_config.json"

#: The variable of an object-based checkpoint that TF1 checkpoints lack.
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def _join_outputs(array):
    """Turns `[H, N, D]` into `[H, N * D]`."""
    return array.reshape(len(array), -1)


def _join_inputs(array):
    """Turns `[N, D, H]` into `[N * D, H]`."""
    return array.reshape(-1, array.shape[-1])


_BLOCK = "_transformer_layers/{i}"
_ATTENTION = f"{_BLOCK}/_attention_layer"

TABLE = {
    "encoder.embeddings.word_embeddings": From("_embedding_layer/embeddings"),
    "encoder.embeddings.position_embeddings": From(
        "_position_embedding_layer/_position_embeddings"
    ),
    "encoder.embeddings.token_type_embeddings": From("_type_embedding_layer/embeddings"),
    "encoder.embeddings.layer_norm.gamma": From("_embedding_norm_layer/gamma"),
    "encoder.embeddings.layer_norm.beta": From("_embedding_norm_layer/beta"),
    "encoder.blocks.{i}.query.kernel": From(f"{_ATTENTION}/_query_dense/kernel", _join_outputs),
    "encoder.blocks.{i}.query.bias": From(f"{_ATTENTION}/_query_dense/bias", np.ravel),
    "encoder.blocks.{i}.key.kernel": From(f"{_ATTENTION}/_key_dense/kernel", _join_outputs),
    "encoder.blocks.{i}.key.bias": From(f"{_ATTENTION}/_key_dense/bias", np.ravel),
    "encoder.blocks.{i}.value.kernel": From(f"{_ATTENTION}/_value_dense/kernel", _join_outputs),
    "encoder.blocks.{i}.value.bias": From(f"{_ATTENTION}/_value_dense/bias", np.ravel),
    "encoder.blocks.{i}.attention_output.kernel": From(
        f"{_ATTENTION}/_output_dense/kernel", _join_inputs
    ),
    "encoder.blocks.{i}.attention_output.bias": From(f"{_ATTENTION}/_output_dense/bias"),
    "encoder.blocks.{i}.attention_norm.gamma": From(f"{_BLOCK}/_attention_layer_norm/gamma"),
    "encoder.blocks.{i}.attention_norm.beta": From(f"{_BLOCK}/_attention_layer_norm/beta"),
    "encoder.blocks.{i}.ffn_in.kernel": From(f"{_BLOCK}/_intermediate_dense/kernel"),
    "encoder.blocks.{i}.ffn_in.bias": From(f"{_BLOCK}/_intermediate_dense/bias"),
    "encoder.blocks.{i}.ffn_out.kernel": From(f"{_BLOCK}/_output_dense/kernel"),
    "encoder.blocks.{i}.ffn_out.bias": From(f"{_BLOCK}/_output_dense/bias"),
    "encoder.blocks.{i}.ffn_norm.gamma": From(f"{_BLOCK}/_output_layer_norm/gamma"),
    "encoder.blocks.{i}.ffn_norm.beta": From(f"{_BLOCK}/_output_layer_norm/beta"),
    "encoder.pooler.kernel": From("_pooler_layer/kernel"),
    "encoder.pooler.bias": From("_pooler_layer/bias"),
    "classifier.kernel": From("classifier/out_proj/kernel"),
    "classifier.bias": From("classifier/out_proj/bias"),
}

#: The first layers of a functional `BertEncoder`, in the order in which Keras counts them;
#: the blocks and the pooler follow.
_FIRST_LAYERS = (
    "_embedding_layer",
    "_position_embedding_layer",
    "_type_embedding_layer",
    "_embedding_norm_layer",
)

#: What an encoder holds under these names is its embeddings and its blocks.
_ENCODER = {*_FIRST_LAYERS, "_transformer_layers"}


def read(variables, config_file):
    """Returns `(config, weights)` of a checkpoint.

    Its activation "gelu" is the tanh approximation, as tf-models reads it.

    Args:
      variables: `Variables` of the checkpoint.
      config_file: its `bert_config.json`; None takes the sizes from the weights
        and the rest from tf-models' defaults.

    Raises:
      ValueError: if no encoder is in it or it does not fit its config.
    """
    encoder = _encoder_variables(variables)
    if config_file is None:
        return translate(encoder, TABLE, _config_of_shapes(encoder))
    config, *_ = config_keys.read(config_file)
    if config.hidden_act == "gelu":
        config = dataclasses.replace(config, hidden_act="gelu_tanh")
    translated = translate(encoder, TABLE, config)
    num_heads = _config_of_shapes(encoder).num_attention_heads
    if num_heads != config.num_attention_heads:
        raise ValueError(
            f"{encoder.origin} has {num_heads} attention heads where its BERT config "
            f"{config_file!r} has num_attention_heads {config.num_attention_heads}; check that the "
            "config belongs to these weights."
        )
    return translated


def _config_of_shapes(encoder):
    """Returns the config that the variables of an encoder show, with tf-models' activation."""
    try:
        vocab_size, hidden_size = encoder.shapes["_embedding_layer/embeddings"]
        _, num_heads, _ = encoder.shapes[
            "_transformer_layers/0/_attention_layer/_query_dense/kernel"
        ]
        _, intermediate_size = encoder.shapes["_transformer_layers/0/_intermediate_dense/kernel"]
        positions = encoder.shapes["_position_embedding_layer/_position_embeddings"][0]
        types = encoder.shapes["_type_embedding_layer/embeddings"][0]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{encoder.origin} does not show the sizes of its encoder ({error}); expected the "
            "embeddings, query and feed-forward kernels of a tf-models BertEncoder."
        ) from error
    blocks = {name.split("/")[1] for name in encoder.shapes if name.startswith("_transformer_")}
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=len(blocks),
        num_attention_heads=num_heads,
        intermediate_size=intermediate_size,
        hidden_act="gelu_tanh",
        max_position_embeddings=positions,
        type_vocab_size=types,
    )


def _encoder_variables(variables):
    """Returns the variables of the encoder and its task head by the names of the table.

    Variables below the encoder that the table does not know keep their key.
    """
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(variables.read(OBJECT_GRAPH))
    children = _with_attribute_names(
        [{child.local_name: child.node_id for child in node.children} for node in graph.nodes]
    )
    keys = {
        node_id: attribute.checkpoint_key
        for node_id, node in enumerate(graph.nodes)
        for attribute in node.attributes
        if attribute.name == "VARIABLE_VALUE"
    }
    root = next((node for node, steps in enumerate(children) if _ENCODER <= set(steps)), None)
    if root is None:
        raise ValueError(
            f"{variables.origin} is object-based and holds no BertEncoder or BertEncoderV2 of "
            "tf-models; save one by tf.train.Checkpoint(encoder=encoder)."
        )
    num_blocks = sum(step.isdigit() for step in children[children[root]["_transformer_layers"]])
    table = per_block(TABLE, num_blocks)
    names = {}
    for start, steps in _encoder_and_head(children, root):
        found = {row.name: keys.get(_walk(children, start, row.name)) for row in table.values()}
        names.update({name: key for name, key in found.items() if key is not None})
        below = _reachable(children, [children[start][step] for step in steps])
        rest = {keys[node] for node in below if node in keys} - set(names.values())
        names.update({key: key for key in rest})
    return variables.renamed(names)


def _encoder_and_head(children, root):
    """Yields nodes with their steps to layers: the encoder, and what holds it and its head."""
    yield root, set(children[root]) - {"optimizer"}
    for node, steps in enumerate(children):
        if root in steps.values() and "out_proj" in children[steps.get("classifier", root)]:
            yield node, {"classifier"}


def _with_attribute_names(children):
    """Names the layers of functional encoders as their present class names its attributes.

    Encoders saved by old tf-models, or as a plain functional model, are known by their counted
    layers alone.
    """
    children = list(children)
    for node, steps in enumerate(tuple(children)):
        if _ENCODER <= set(steps) or "layer_with_weights-4" not in steps:
            continue
        count = sum(step.startswith("layer_with_weights-") for step in steps)
        layers = [steps[f"layer_with_weights-{i}"] for i in range(count)]
        first, rest = layers[: len(_FIRST_LAYERS)], layers[len(_FIRST_LAYERS) :]
        blocks = list(itertools.takewhile(lambda n: "_attention_layer" in children[n], rest))
        if not blocks or len(blocks) == len(rest):
            continue
        children[node] = {
            **steps,
            **dict(zip(_FIRST_LAYERS, first, strict=True)),
            "_transformer_layers": len(children),
            "_pooler_layer": rest[len(blocks)],
        }
        children.append({str(i): block for i, block in enumerate(blocks)})
    return children


def _walk(children, node, path):
    """Returns the node at the end of `path`, or None."""
    for step in path.split("/"):
        node = None if node is None else children[node].get(step)
    return node


def _reachable(children, nodes):
    seen, waiting = set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend(children[node].values())
    return seen
