import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.models import model_info
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import costs, factorization

BASE = EncoderConfig(vocab_size=30522)
LARGE = EncoderConfig(
    vocab_size=30522,
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
)
MINILM = EncoderConfig(
    vocab_size=30522, hidden_size=384, num_hidden_layers=6, intermediate_size=1536
)


@pytest.mark.parametrize(
    "inputs, outputs, rank",
    [(768, 768, 384), (768, 3072, 614.4), (384, 384, 192), (384, 1536, 307.2)],
)
def test_break_even_rank(inputs, outputs, rank):
    assert costs.break_even_rank(inputs, outputs) == pytest.approx(rank, abs=1e-9)
    assert costs.break_even_rank(outputs, inputs) == pytest.approx(rank, abs=1e-9)


def test_break_even_of_nothing_is_nothing():
    assert costs.break_even_rank(0, 5) == costs.break_even_rank(0, 0) == 0


def test_counts_by_hand():
    assert costs.dense_parameters(3, 5) == 15
    assert costs.unit_parameters(3, 5) == 8
    assert costs.factorized_parameters(3, 5, 2) == 16
    assert costs.kernel_parameters(3, 5) == 15
    assert costs.kernel_parameters(3, 5, 2) == 16
    assert costs.kernel_parameters(3, 5, 0) == 0


@pytest.mark.parametrize(
    "rank, stored, densely", [(0, 0, False), (1, 12, False), (3, 36, False), (4, 36, True)]
)
def test_above_break_even_a_kernel_is_stored(rank, stored, densely):
    inputs, outputs = (6, 6)
    assert costs.stored_parameters(inputs, outputs, rank) == stored
    assert costs.stored_densely(inputs, outputs, rank) is densely


@pytest.mark.parametrize("rank", [0, 1, 192])
def test_up_to_break_even_factors_are_never_merged(rank):
    assert costs.merge_above_tokens(384, 384, rank) == costs.NEVER
    assert not costs.merging_pays(10**9, 384, 384, rank)


@pytest.mark.parametrize("inputs, outputs", [(384, 384), (384, 1536), (768, 3072)])
def test_above_it_they_are_merged_for_many_tokens(inputs, outputs):
    rank = min(inputs, outputs)
    limit = costs.merge_above_tokens(inputs, outputs, rank)
    # Where both orders cost the same by formula.
    formula = rank * inputs * outputs / (rank * (inputs + outputs) - inputs * outputs)
    assert limit >= int(formula)
    assert limit < 4096
    assert costs.merge_above_tokens(inputs, outputs, rank - 8) > limit
    assert costs.merging_pays(limit + 1, inputs, outputs, rank)
    assert not costs.merging_pays(limit, inputs, outputs, rank)


@pytest.mark.parametrize(
    "config, kernels, total, thin, full",
    [
        (BASE, 84_934_656, 109_483_778, 127_401_984, 233_570_304),
        (LARGE, 301_989_888, 335_143_938, 452_984_832, 830_472_192),
        (MINILM, 10_616_832, 22_713_986, 15_925_248, 29_196_288),
    ],
    ids=["base", "large", "minilm"],
)
def test_counts_of_whole_models(config, kernels, total, thin, full):
    shapes = {(index, name): shape for index, name, _, shape in config.projections()}
    specs = {key: ProjectionSpec(factorization.choose_rank(*s)) for key, s in shapes.items()}
    factorized = config.with_projections(specs)
    assert model_info.num_kernel_parameters(config) == kernels
    assert model_info.num_parameters(config) == total
    assert model_info.num_kernel_parameters(factorized) == thin
    assert sum(costs.factorized_parameters(i, o, i) for i, o in shapes.values()) == full
    assert sum(costs.stored_parameters(i, o, min(i, o)) for i, o in shapes.values()) == kernels
