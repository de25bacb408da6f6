"""The weights of a BERT by object path: which there are, and their shapes.

H hidden, I and O inputs and outputs of a projection, R rank.
"""

from bert_tf.encoders.config import GATED_UNITS
from bert_tf.heads.head import head_of
from flop_tf import ProjectionSpec, gates

#: The word embedding, which every token and the head of masked language modelling read.
WORD_EMBEDDINGS = "encoder.embeddings.word_embeddings"

#: The second factor of a word embedding that has a rank; the first one is at `WORD_EMBEDDINGS`.
WORD_PROJECTION = "encoder.embeddings.word_projection"

#: Only some heads read the pooler, so that checkpoints of another head may lack it.
POOLER = ("encoder.pooler.kernel", "encoder.pooler.bias")

#: What each of `config.GATED` scales, and where its gate is.
GATED_WEIGHTS = {"word_embeddings": WORD_EMBEDDINGS, "pooler": POOLER[0]}
GATES = {"word_embeddings": "encoder.embeddings.gate", "pooler": "encoder.pooler.gate"}


def expected_shapes(config):
    """Returns the shape of every weight of a BERT with its task head by its path.

    Nothing is built: the shapes follow from the config alone. A projection of rank 0 has only
    its bias.

    Args:
      config: an `EncoderConfig`.

    Raises:
      ValueError: if it has no head of ours.
    """
    hidden = config.hidden_size
    shapes = _embeddings(config)
    for index, name, spec, shape in config.projections():
        shapes.update(_projection(f"encoder.blocks.{index}.{name}", spec, *shape))
    for index, layer in enumerate(config.layers):
        for kind, gate in layer.gates.items():
            shapes |= _gate(f"encoder.blocks.{index}.{kind}_gate", gate, (layer.num_units(kind),))
        shapes.update(_norm(f"encoder.blocks.{index}.attention_norm", hidden))
        shapes.update(_norm(f"encoder.blocks.{index}.ffn_norm", hidden))
    if config.pooler_act is not None:
        shapes |= dict(zip(POOLER, ((hidden, hidden), (hidden,)), strict=True))
    for name, gate in config.gates.items():
        shapes |= _gate(GATES[name], gate, shapes[GATED_WEIGHTS[name]])
    return {**shapes, **head_of(config).weights}


def in_encoder(path):
    """Returns whether a path leads into the encoder; all others lead into the task head.

    Args:
      path: of a weight in a model.
    """
    return path.startswith("encoder.")


def is_gate_variable(path):
    """Returns whether a path leads to a variable of a gate.

    Args:
      path: of a weight in a model.
    """
    owner = path.rpartition(".")[0]
    return owner.endswith((".gate", *(f"{kind}_gate" for kind in GATED_UNITS)))


def _embeddings(config):
    width, rank = config.embedding_width, config.word_embedding_rank
    shapes = {
        WORD_EMBEDDINGS: (config.vocab_size, rank or width),
        "encoder.embeddings.position_embeddings": (config.max_position_embeddings, width),
        **_norm("encoder.embeddings.layer_norm", width),
    }
    if rank:
        shapes[WORD_PROJECTION] = (rank, width)
    if config.type_vocab_size:
        segments = (config.type_vocab_size, width)
        shapes["encoder.embeddings.token_type_embeddings"] = segments
    if config.embedding_size is not None:
        spec, sizes = ProjectionSpec(), (width, config.hidden_size)
        shapes |= _projection("encoder.embeddings.projection", spec, *sizes)
    return shapes


def _gate(path, gate, shape):
    return {f"{path}.{name}": each for name, each in gates.variable_shapes(gate, shape).items()}


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
        shapes |= _gate(f"{path}.gate", spec.gate, gated)
    return shapes
