"""The architecture of an encoder, uneven layers included, as plain data in one JSON file.

Google's keys come first; `layers` (ours) appears once a layer differs from them.
B batch, T tokens, H hidden, N heads, F feed-forward, R rank.
"""

import dataclasses
import reprlib

from flop_tf import gates
from flop_tf.files import json_file
from flop_tf.layers.projection import ProjectionSpec

#: Functions between the first token's hidden state and the task head.
POOLER_ACTIVATIONS = ("tanh", "gelu", "gelu_tanh", "relu")

#: What an embedding is of its tokens: their mean, the first one, or the largest of each dimension.
POOLINGS = ("mean", "cls", "max")

#: The projections of a block, in the order of the computation.
PROJECTIONS = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")

#: The projections of a block's input.
ATTENTION_INPUTS = PROJECTIONS[:3]

#: Units that papers remove: attention heads, neurons of the FFN, the whole FFN with its bias.
UNITS = ("heads", "neurons", "ffn")

#: The sublayers that units hang on, each one unit: a gate on all heads, or all neurons, of a block.
#: Where it is removed the bias after them stays.
PARENTS = {"heads": "attention", "neurons": "feed_forward"}

#: All that a block can have gates on, and lose.
GATED_UNITS = (*UNITS, *PARENTS.values())

#: Fields of a block whose heads are narrower than the model's: of query and key, and of value.
HEAD_SIZES = ("key_size", "value_size")

#: The projections whose outputs some units are, and the one whose inputs they are.
UNIT_PROJECTIONS = {
    "heads": (ATTENTION_INPUTS, "attention_output"),
    "neurons": (("ffn_in",), "ffn_out"),
}

#: What outside of the blocks can have a gate on each of its weights.
GATED = ("word_embeddings", "pooler")

#: Activation names of Google, Hugging Face and tf-models, and ours for each.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "relu": "relu",
}

#: Names of our activations for Hugging Face.
THEIR_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}

# Written to the entries of `layers` by versions before `bert_tf.encoders.execution`: it says how
# exports compute attention, and nothing of the architecture. Keys next to `layers` need no mention.
_EXECUTION_KEYS = {"fused_attention"}

# Far beyond every model, so that what a damaged or a forged config describes is never built.
_MOST_LAYERS = 1000
_LARGEST_SIZE = 2**24

_SIZES = (
    "vocab_size",
    "embedding_width",
    "hidden_size",
    "num_attention_heads",
    "max_position_embeddings",
    "num_labels",
)
# Fields that appear in files only where they differ from BERT.
_LEFT_OUT = (
    *("gates", "embedding_size", "position_offset", "pooler_act", "word_embedding_rank"),
    *("pooling", "normalized"),
)
_SHARES = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "layer_norm_eps",
)


@dataclasses.dataclass(frozen=True)
class LayerConfig:
    """One encoder block: its heads, feed-forward width and six projections.

    Args:
      num_heads: N, 0 or more; 0 leaves only the bias of the attention output.
      intermediate_size: F, 0 or more; 0 leaves only the bias of the FFN output.
      projections: a `ProjectionSpec` for each name in `PROJECTIONS`; a name
        left out is dense.
      has_ffn: whether there is a feed-forward at all; without it not even its bias is left.
      gates: a serialized gate for some of `GATED_UNITS`, see `flop_tf.gates.serialize`.
      key_size: width of a head's query and key, at least 1; None is D.
      value_size: width of a head's value, at least 1; None is D.
    """

    num_heads: int
    intermediate_size: int
    projections: dict[str, ProjectionSpec] = dataclasses.field(default_factory=dict)
    has_ffn: bool = True
    gates: dict[str, dict] = dataclasses.field(default_factory=dict)
    key_size: int | None = None
    value_size: int | None = None

    def __post_init__(self):
        _check_numbers(self, ("num_heads", "intermediate_size"), 0, _LARGEST_SIZE)
        for name in HEAD_SIZES:
            if not self.num_heads:  # So that equal blocks compare equal.
                object.__setattr__(self, name, None)
            if getattr(self, name) is not None:
                _check_numbers(self, (name,), 1, _LARGEST_SIZE)
        unknown = sorted(set(self.projections) - set(PROJECTIONS))
        if unknown:
            raise ValueError(
                f"Argument `projections` expects names of {PROJECTIONS}, received {unknown}."
            )
        if unknown := sorted(set(self.gates) - set(GATED_UNITS)):
            raise ValueError(
                f"Argument `gates` expects names of {GATED_UNITS}, received {unknown}."
            )
        if not self.has_ffn and self.intermediate_size:
            raise ValueError(
                "Argument `intermediate_size` must be 0 without an FFN, received "
                f"{self.intermediate_size}."
            )
        if self.projections:
            # What holds anyway is left out, so that equal blocks compare equal.
            bare = dataclasses.replace(self, projections={}, gates={})
            specs = {name: self.projection(name) for name in self.projections}
            kept = {name: s for name, s in specs.items() if s != bare.projection(name)}
            object.__setattr__(self, "projections", kept)

    def projection(self, name):
        """Returns the `ProjectionSpec` called `name`; rank 0 where it has no inputs.

        Args:
          name: of the projection, one of `PROJECTIONS`.
        """
        if not (self.intermediate_size if name == "ffn_out" else self.num_heads) and name in (
            "attention_output",
            "ffn_out",
        ):
            return ProjectionSpec(rank=0)
        return self.projections.get(name, ProjectionSpec())

    def names(self):
        """Returns the projections that exist: none leads to heads or neurons that were removed."""
        absent = () if self.num_heads else ATTENTION_INPUTS
        absent += () if self.intermediate_size else ("ffn_in",)
        absent += () if self.has_ffn else ("ffn_out",)
        return tuple(name for name in PROJECTIONS if name not in absent)

    def num_units(self, kind):
        """Returns how many units of a kind the block has.

        Args:
          kind: one of `GATED_UNITS`.
        """
        return {
            "heads": self.num_heads,
            "neurons": self.intermediate_size,
            "ffn": int(self.has_ffn),
            "attention": int(self.num_heads > 0),
            "feed_forward": int(self.intermediate_size > 0),
        }[kind]

    def unit_width(self, name, head_size):
        """Returns how many columns or rows of a projection a head, or a neuron, is, an int.

        Args:
          name: of the projection, one of `PROJECTIONS`.
          head_size: D.
        """
        if name in ("ffn_in", "ffn_out"):
            return 1
        return (self.key_size if name in ("query", "key") else self.value_size) or head_size

    def shape(self, name, hidden_size, head_size):
        """Returns the dense shape `(I, O)` of the projection called `name`.

        Args:
          name: of the projection, one of `PROJECTIONS`.
          hidden_size: H.
          head_size: D.
        """
        keys, values = (self.num_heads * self.unit_width(n, head_size) for n in ("key", "value"))
        return {
            "query": (hidden_size, keys),
            "key": (hidden_size, keys),
            "value": (hidden_size, values),
            "attention_output": (values, hidden_size),
            "ffn_in": (hidden_size, self.intermediate_size),
            "ffn_out": (self.intermediate_size, hidden_size),
        }[name]


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """An encoder and its task head.

    Args:
      vocab_size: rows of the word embedding.
      hidden_size: H.
      num_hidden_layers: number of blocks.
      num_attention_heads: N of an unpruned block; `H / N` is its head size, D.
      intermediate_size: F of an unpruned block.
      hidden_act: "gelu" (erf, the default of Google and Hugging Face), "gelu_tanh" or "relu".
      hidden_dropout_prob: dropout after embeddings, attention output and FFN output.
      attention_probs_dropout_prob: dropout on attention probabilities.
      max_position_embeddings: rows of the position embedding, with the first `position_offset`.
      type_vocab_size: rows of the segment embedding; 0 is without.
      initializer_range: standard deviation of new weights.
      layer_norm_eps: epsilon of every LayerNorm.
      num_labels: outputs of the task head; a classifier with one output is a regression.
      head: name of the task head, one of `bert_tf.heads.head.HEADS`, which says what else of the
        config it needs.
      layers: a `LayerConfig` for each block; empty means that all are unpruned and dense.
      gates: a serialized gate for some of `GATED`, over each of their weights.
      embedding_size: width of the embeddings, where a dense layer makes H of it; None is H.
      position_offset: number of the position embedding's row for the first token. Defaults to 0.
      pooler_act: activation of the dense layer on the first token that a head may read, one of
        `POOLER_ACTIVATIONS`; None is without such a layer.
      word_embedding_rank: R of the two factors of the word embedding; None is one matrix.
      pooling: what an embedding is of its tokens, one of `POOLINGS`; other heads do not look at it.
      normalized: whether an embedding has the length 1; other heads do not look at it.

    Raises:
      ValueError: if a number is out of range or `layers` does not fit `num_hidden_layers`.
    """

    vocab_size: int
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    num_labels: int = 2
    head: str = "classifier"
    layers: tuple[LayerConfig, ...] = ()
    gates: dict[str, dict] = dataclasses.field(default_factory=dict)
    embedding_size: int | None = None
    position_offset: int = 0
    pooler_act: str | None = "tanh"
    word_embedding_rank: int | None = None
    pooling: str = "mean"
    normalized: bool = False

    def __post_init__(self):
        _check(self)
        if self.embedding_size == self.hidden_size:
            object.__setattr__(self, "embedding_size", None)
        object.__setattr__(self, "hidden_act", ACTIVATIONS[self.hidden_act])
        if not self.layers:
            unpruned = LayerConfig(self.num_attention_heads, self.intermediate_size)
            object.__setattr__(self, "layers", (unpruned,) * self.num_hidden_layers)
        layers = tuple(_without_usual_sizes(layer, self.head_size) for layer in self.layers)
        object.__setattr__(self, "layers", layers)
        if len(self.layers) != self.num_hidden_layers:
            raise ValueError(
                f"Argument `layers` must have {self.num_hidden_layers} entries, one for each of "
                f"`num_hidden_layers`, received {len(self.layers)}."
            )

    @property
    def head_size(self):
        """D, the width of an attention head of an unpruned block; `1 / sqrt(D)` scales all."""
        return self.hidden_size // self.num_attention_heads

    @property
    def embedding_width(self):
        """Width of the embeddings."""
        return self.hidden_size if self.embedding_size is None else self.embedding_size

    @property
    def num_positions(self):
        """The longest input, in tokens."""
        return self.max_position_embeddings - self.position_offset

    @property
    def dense(self):
        """The same architecture before any pruning."""
        return dataclasses.replace(self, layers=(), gates={}, word_embedding_rank=None)

    @property
    def has_gates(self):
        """Whether there is a gate anywhere."""
        return next(self.all_gates(), None) is not None

    @property
    def num_masks(self):
        """Number of masks per unit, one a task; 0 where the units have no such masks."""
        gates = [gate for layer in self.layers for gate in layer.gates.values()]
        return max((gate["config"].get("num_masks", 0) for gate in gates), default=0)

    def all_gates(self):
        """Yields every serialized gate: of projections, of units and of `GATED`."""
        yield from (spec.gate for *_, spec, _ in self.projections() if spec.gate is not None)
        yield from (gate for layer in self.layers for gate in layer.gates.values())
        yield from self.gates.values()

    def projections(self):
        """Yields `(block index, name, ProjectionSpec, (I, O))` for every projection there is."""
        for index, layer in enumerate(self.layers):
            for name in layer.names():
                shape = layer.shape(name, self.hidden_size, self.head_size)
                yield index, name, layer.projection(name), shape

    def units(self, *kinds):
        """Yields `(block index, kind, number)` of some of `GATED_UNITS`; by default `UNITS`."""
        for index, layer in enumerate(self.layers):
            for kind in kinds or UNITS:
                if layer.num_units(kind):
                    yield index, kind, layer.num_units(kind)

    def with_projections(self, specs):
        """Returns a config whose projections are `specs`, a dict by `(block index, name)`.

        Args:
          specs: dict of `ProjectionSpec` by `(block index, name)`; others stay as they are.
        """
        layers = []
        for index, layer in enumerate(self.layers):
            kept = {
                name: specs.get((index, name), layer.projection(name)) for name in layer.names()
            }
            layers.append(dataclasses.replace(layer, projections=kept))
        return dataclasses.replace(self, layers=tuple(layers))

    def to_dict(self):
        """Returns plain data that `from_dict` reads back.

        Left out are defaults of `layers`, and of `gates` and what BERT does not differ in.
        """
        data = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.name in _LEFT_OUT and getattr(self, field.name) == _default(field):
                del data[field.name]
        if self.layers == self.dense.layers:
            del data["layers"]
            return data
        data["layers"] = [
            {
                "num_heads": layer.num_heads,
                "intermediate_size": layer.intermediate_size,
                "projections": {
                    name: {k: v for k, v in dataclasses.asdict(spec).items() if v is not None}
                    for name, spec in layer.projections.items()
                    if spec != ProjectionSpec()
                },
                **({} if layer.has_ffn else {"has_ffn": False}),
                **{name: size for name in HEAD_SIZES if (size := getattr(layer, name)) is not None},
                **({"gates": layer.gates} if layer.gates else {}),
            }
            for layer in self.layers
        ]
        return data

    @classmethod
    def from_dict(cls, data):
        """Returns a config of Google's, Hugging Face's or our own keys.

        Keys that say nothing of the architecture (`pooler_fc_size`, ...) are ignored.

        Args:
          data: plain data, a dict.

        Raises:
          ValueError: if `vocab_size` is missing or a value does not fit.
        """
        if "vocab_size" not in data:
            raise ValueError(
                f"A BERT config needs the key 'vocab_size', received the keys {sorted(data)}."
            )
        values = {key: data[key] for key in _names(cls) & set(data)}
        config = json_file.convert(values, cls, "A BERT config must have values that fit")
        for layer in values.get("layers", ()):
            _check_keys(layer.keys() - _EXECUTION_KEYS, LayerConfig)
            for spec in layer.get("projections", {}).values():
                _check_keys(spec.keys(), ProjectionSpec)
        for gate in config.all_gates():
            gates.deserialize(gate)  # Raises now rather than where a model is built.
        return config

    @classmethod
    def from_json_file(cls, path):
        """Returns the config in a JSON file.

        Args:
          path: of the file.

        Raises:
          ValueError: if the file is missing, is not JSON or does not describe a BERT.
        """
        data = json_file.read(path, json_file.Object, "BERT config")
        try:
            return cls.from_dict(data)
        except ValueError as error:
            raise ValueError(f"The BERT config {path!r} cannot be used: {error}") from error


def _without_usual_sizes(layer, head_size):
    """Returns a block whose heads name no size that is the model's anyway."""
    usual = {name: None for name in HEAD_SIZES if getattr(layer, name) == head_size}
    return dataclasses.replace(layer, **usual) if usual else layer


def _default(field):
    return (
        field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    )


def _names(cls):
    return {field.name for field in dataclasses.fields(cls)}


def _check(config):
    """Raises ValueError where a value of an `EncoderConfig` is out of range or not known."""
    _check_numbers(config, _SIZES, 1, _LARGEST_SIZE)
    _check_numbers(config, ("num_hidden_layers",), 1, _MOST_LAYERS)
    _check_numbers(config, ("type_vocab_size",), 0, _LARGEST_SIZE)
    _check_numbers(config, ("position_offset",), 0, config.max_position_embeddings - 1)
    _check_numbers(config, _SHARES, 0, 1)
    if config.word_embedding_rank is not None:
        _check_numbers(config, ("word_embedding_rank",), 1, config.embedding_width)
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            "Argument `hidden_size` must be a multiple of `num_attention_heads`, received "
            f"{config.hidden_size} and {config.num_attention_heads}."
        )
    for name, choices in (
        ("hidden_act", tuple(sorted(ACTIVATIONS))),
        ("pooler_act", (*POOLER_ACTIVATIONS, None)),
        ("pooling", POOLINGS),
    ):
        if (value := getattr(config, name)) not in choices:
            raise ValueError(
                f"Argument `{name}` must be one of {list(choices)}, received {value!r}."
            )
    if unknown := sorted(set(config.gates) - set(GATED)):
        raise ValueError(f"Argument `gates` expects names of {GATED}, received {unknown}.")


def _check_keys(keys, cls):
    """Raises ValueError where a key of plain data is no field of a class."""
    if unknown := sorted(keys - _names(cls)):
        raise ValueError(
            f"The entries of `layers` must have no keys but {sorted(_names(cls))}, received "
            f"{unknown}."
        )


def _check_numbers(config, names, least, most):
    """Raises ValueError where a number of a config is out of range."""
    for name in names:
        value = getattr(config, name)
        if not least <= value <= most:
            expected = f"at most {most}" if value > most else f"at least {least}"
            raise ValueError(
                f"Argument `{name}` must be {expected}, received {reprlib.repr(value)}."
            )
