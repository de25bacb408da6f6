"""The weights of a BERT by object path: which there are, and their shapes.

H hidden, I and O inputs and outputs of a projection, R rank.
"""

from bert_tf.model.config import HEADS, UNITS
from flop_tf import gates


def head(name):
    """Returns the paths of the kernel and the bias of a task head, a name of `config.HEADS`."""
    return f"{name}.kernel", f"{name}.bias"


#: The weights of every task head, which a pretrained checkpoint does not have.
HEAD = tuple(path for name in HEADS for path in head(name))

#: What only the classifier reads, so that checkpoints of another head may lack it.
POOLER = ("encoder.pooler.kernel", "encoder.pooler.bias")


def expected_shapes(config):
    """Returns the shape of every weight of a BERT with its task head by its path.

    Nothing is built: the shapes follow from the config alone. A projection of rank 0 has only
    its bias.

    Args:
      config: a `BertConfig`.
    """
    hidden = config.hidden_size
    shapes = {
        "encoder.embeddings.word_embeddings": (config.vocab_size, hidden),
        "encoder.embeddings.position_embeddings": (config.max_position_embeddings, hidden),
        "encoder.embeddings.token_type_embeddings": (config.type_vocab_size, hidden),
        **_norm("encoder.embeddings.layer_norm", hidden),
    }
    for index, name, spec, shape in config.projections():
        shapes.update(_projection(f"encoder.blocks.{index}.{name}", spec, *shape))
    for index, layer in enumerate(config.layers):
        for kind, gate in layer.gates.items():
            path = f"encoder.blocks.{index}.{kind}_gate.{gates.variable_name(gate)}"
            shapes[path] = gates.variable_shape(gate, (layer.num_units(kind),))
        shapes.update(_norm(f"encoder.blocks.{index}.attention_norm", hidden))
        shapes.update(_norm(f"encoder.blocks.{index}.ffn_norm", hidden))
    for (kernel, bias), outputs in ((POOLER, hidden), (head(config.head), config.num_labels)):
        shapes[kernel] = (hidden, outputs)
        shapes[bias] = (outputs,)
    return shapes


def _norm(path, size):
    return {f"{path}.gamma": (size,), f"{path}.beta": (size,)}


def _projection(path, spec, inputs, outputs):
    shapes = {f"{path}.bias": (outputs,)}
    if spec.rank is None:
        shapes[f"{path}.kernel"] = gated = (inputs, outputs)
    elif spec.rank:
        shapes[f"{path}.factor_in"] = (inputs, spec.rank)
        shapes[f"{path}.factor_out"] = (spec.rank, outputs)
        gated = (spec.rank,)
    if spec.gate is not None and spec.rank != 0:
        name = gates.variable_name(spec.gate)
        shapes[f"{path}.gate.{name}"] = gates.variable_shape(spec.gate, gated)
    return shapes


def of_gate(path):
    """Returns whether a path leads to a variable of a gate."""
    owner = path.rpartition(".")[0]
    return owner.endswith((".gate", *(f"{kind}_gate" for kind in UNITS)))
