"""Small models whose times a latency table is fitted to.

Their blocks differ in heads, neurons, ranks and in how they are computed, as those of pruned models
do: blocks of one size share buffers and are faster than their parts in a model of several sizes.
B batch, T tokens, N heads, F feed-forward.
"""

import dataclasses

import numpy as np

from bert_tf.encoders.config import ATTENTION_INPUTS, LayerConfig
from bert_tf.encoders.execution import Execution
from bert_tf.heads.head import head_of
from bert_tf.latency import terms
from bert_tf.models.bert import BertModel
from bert_tf.serving.execution_plan import Plan
from bert_tf.serving.served_model import ServedModel
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import costs

#: How many numbers of heads, and of neurons, have seconds of their own in a table.
NUM_SIZES = 3

# Rows of the word embedding: a lookup takes as long in a large one, which would be written slowly.
_MOST_ROWS = 4096
# Of the break-even rank: above it nothing stays in factors.
_HIGHEST_RANK = 1.0
# What is added to biases, scales and shifts.
_VECTOR_NOISE = 0.02


def sizes(config, num_sizes=NUM_SIZES):
    """Returns the numbers of heads and neurons at which a table has seconds, by term.

    Args:
      config: an `EncoderConfig`.
      num_sizes: the most of each, in [1, `NUM_SIZES`]; the largest ones are taken.
    """
    heads, neurons = config.num_attention_heads, config.intermediate_size
    return {
        terms.ATTENTION: sorted({1, max(1, heads // 2), heads})[-num_sizes:],
        terms.FFN: sorted({max(1, neurons // 16), max(1, neurons // 3), neurons})[-num_sizes:],
    }


def make(config, choices, most_blocks, number, seed=0):
    """Returns plans of models: the dense one, random ones, and two without sublayers.

    Args:
      config: an `EncoderConfig`, whose unpruned blocks are the largest.
      choices: names of the fields of `Execution` that the format has, besides fused blocks.
      most_blocks: of each model, which has no more than `config`.
      number: how many models, at least 3.
      seed: of the random ones; default 0.

    Returns:
      List of `Plan`.
    """
    rng = np.random.default_rng(seed)
    num_blocks = min(most_blocks, config.num_hidden_layers)
    base = _small(dataclasses.replace(config, num_hidden_layers=num_blocks, layers=(), gates={}))
    plans = [Plan(base), Plan(_empty(base, num_blocks))]
    while len(plans) < number - 1:
        layers, fused = _layers(rng, base)
        fields = {name: bool(rng.integers(2)) for name in choices}
        execution = Execution(fused, **fields)
        plans.append(Plan(dataclasses.replace(base, layers=layers), execution))
    # The number of blocks tells their LayerNorms from what a model has once.
    return [*plans, Plan(_empty(base, 3 * num_blocks))]


def served(plan):
    """Returns the `ServedModel` of a plan with random weights, for `Format.write`.

    Biases and LayerNorms are random as well: converters drop sums with 0 and products with 1, and
    engines then do not find the operations of a real model, such as a whole LayerNorm.

    Args:
      plan: a `Plan`.
    """
    model, rng = BertModel(plan.config, plan.execution), np.random.default_rng(0)
    for variable in model.variables:
        if variable.shape.rank == 1:
            noise = rng.normal(0, _VECTOR_NOISE, variable.shape)
            variable.assign(variable + noise.astype(np.float32))
    return _Probe(model, _Service(model.head), plan.config.num_positions)


def _small(config):
    """Returns the config with fewer rows of the word embedding, where its head does not need it."""
    small = dataclasses.replace(config, vocab_size=min(config.vocab_size, _MOST_ROWS))
    counts = {head_of(one).multiplications(1) for one in (config, small)}
    return small if len(counts) == 1 else config


def _empty(config, num_blocks):
    """Returns the config with blocks that have no sublayers."""
    layers = (LayerConfig(0, 0, has_ffn=False),) * num_blocks
    return dataclasses.replace(config, num_hidden_layers=num_blocks, layers=layers)


def _layers(rng, config):
    """Returns random blocks, and the numbers of those whose query, key and value are fused."""
    # Models differ more than their blocks, else all would have the same means.
    most_heads, most_neurons, factorized, fusing = rng.random(4)
    layers, fused = [], []
    for index in range(config.num_hidden_layers):
        heads = _random_size(rng, config.num_attention_heads, most_heads)
        neurons = _random_size(rng, config.intermediate_size, most_neurons)
        bare = LayerConfig(heads, neurons, has_ffn=neurons > 0)
        specs = {}
        for name in bare.names():
            if rng.random() < factorized:
                specs[name] = _random_rank(
                    rng, *bare.shape(name, config.hidden_size, config.head_size)
                )
        if heads and rng.random() < fusing:
            fused.append(index)
            # The three have one form: kernels, or factors.
            if not all(name in specs for name in ATTENTION_INPUTS):
                specs = {name: spec for name, spec in specs.items() if name not in ATTENTION_INPUTS}
        layers.append(dataclasses.replace(bare, projections=specs))
    return tuple(layers), tuple(fused)


def _random_size(rng, largest, share):
    """Returns a number of up to about a share of the largest; sometimes 0 or all."""
    draw = rng.random()
    if draw < 0.15:
        return 0
    return largest if draw > 0.9 else int(np.ceil(largest * (0.1 + 0.9 * share) * rng.random()))


def _random_rank(rng, inputs, outputs):
    """Returns the spec of a random rank, half of the time a multiple of the alignment."""
    if not inputs or not outputs:
        return ProjectionSpec()
    most = max(1, int(_HIGHEST_RANK * costs.break_even_rank(inputs, outputs)))
    rank = int(rng.integers(1, most + 1))
    if rng.integers(2):
        rank = -(-rank // terms.ALIGNMENT) * terms.ALIGNMENT
    return ProjectionSpec(rank)


class _Service:
    """Answers in numbers and labels, without texts; see `bert_tf.serving.services.Service`."""

    text_names = ()

    def __init__(self, head):
        self.outputs = head.outputs
        self._head, self._labels = head, [str(label) for label in range(head.config.num_labels)]

    def answers(self, outputs):
        return self._head.answers(outputs, self._labels, ["[UNK]"] * self._head.config.vocab_size)


class _Probe(ServedModel):
    def signatures(self):
        return {"serving_default": self.serving_default.get_concrete_function()}
