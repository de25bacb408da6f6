"""Object-based checkpoints of tf-models' `BertEncoder` and `BertEncoderV2`.

A checkpoint of this kind stores the graph of its objects. The encoder is looked
for in the graph, so it may hang anywhere: in `tf.train.Checkpoint(model=encoder)`,
`Checkpoint(encoder=encoder)` or below tf-models' `BertClassifier`, whose head is read too.
"""

import dataclasses
import itertools

from tensorflow.core.protobuf import trackable_object_graph_pb2

from bert_tf.checkpoints.formats import ForeignFormat, register_format
from bert_tf.checkpoints.translation import translate
from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.names import per_block
from bert_tf.models.weight_paths import in_encoder

#: The variable of an object-based checkpoint that TF1 checkpoints lack.
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


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


@register_format("tf_models")
class TfModels(ForeignFormat):
    """A TensorFlow checkpoint of objects, with or without `bert_config.json`.

    Its activation "gelu" is the tanh approximation, as tf-models reads it.
    """

    config_file = "bert_config.json"
    needs_config = False

    @staticmethod
    def recognises(variables):
        """Returns whether they are of a checkpoint with a graph of objects."""
        return variables.is_checkpoint and OBJECT_GRAPH in variables.shapes

    def weights(self, variables, about, pretraining_head=False):
        """Returns `(config, weights)`.

        Without a config the sizes follow from the weights, and the rest is tf-models' defaults.

        Raises:
          ValueError: if no encoder is among the variables, or it does not fit the config.
        """
        table = self.names(about).table
        encoder = _encoder_variables(variables, table)
        if about is None:
            return translate(encoder, table, _config_of_shapes(encoder))
        config = about.config
        if config.hidden_act == "gelu":
            config = dataclasses.replace(config, hidden_act="gelu_tanh")
        translated = translate(encoder, table, config)
        num_heads = _config_of_shapes(encoder).num_attention_heads
        if num_heads != config.num_attention_heads:
            raise ValueError(
                f"{encoder.origin} has {num_heads} attention heads where its BERT config "
                f"{about.path!r} has num_attention_heads {config.num_attention_heads}; check that "
                "the config belongs to these weights."
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
    return EncoderConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=len(blocks),
        num_attention_heads=num_heads,
        intermediate_size=intermediate_size,
        hidden_act="gelu_tanh",
        max_position_embeddings=positions,
        type_vocab_size=types,
    )


def _encoder_variables(variables, table):
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
    table = per_block(table, num_blocks)
    names = {}
    heads = [row.name for path, row in table.items() if not in_encoder(path)]
    for start, steps in _encoder_and_heads(children, root, heads):
        found = {row.name: keys.get(_walk(children, start, row.name)) for row in table.values()}
        names.update({name: key for name, key in found.items() if key is not None})
        below = _reachable(children, [children[start][step] for step in steps])
        rest = {keys[node] for node in below if node in keys} - set(names.values())
        names.update({key: key for key in rest})
    return variables.renamed(names)


def _encoder_and_heads(children, root, heads):
    """Yields nodes with their steps to layers: the encoder, and what holds it and a head."""
    yield root, set(children[root]) - {"optimizer"}
    for node, steps in enumerate(children):
        if root in steps.values():
            found = {name.split("/")[0] for name in heads if _walk(children, node, name)}
            if found:
                yield node, found


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
