"""Which units stay, and the repair of what is left."""

import dataclasses
import os

import latency_tables
import numpy as np
import pytest
import tensorflow as tf

from bert_tf.checkpoints import read_source
from bert_tf.data import batching
from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.heads import losses
from bert_tf.methods.compress import block_repair, unit_choice, unit_costs, unit_energy
from bert_tf.methods.compress.unit_cuts import UnitCuts
from bert_tf.models.bert import BertModel
from bert_tf.serving import execution_plan, formats, latency_probes
from bert_tf.surgery import units
from bert_tf.tasks import registry
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.linalg import factorization


@pytest.fixture(scope="module")
def source(bert_dir):
    """Two blocks, with biases that are not 0."""
    found = read_source(bert_dir)
    config = dataclasses.replace(found.config, num_hidden_layers=2, layers=())
    model, rng = BertModel(config), np.random.default_rng(0)
    weights = {
        path: array + np.float32(0.1 * rng.normal(size=array.shape))
        for path, array in surgery.named_weights(model).items()
    }
    return dataclasses.replace(found, config=config, weights=weights)


@pytest.fixture(scope="module")
def encoded(source, sst_dir):
    task = registry.get("sst-2")
    return task.encode(task.read(sst_dir, "train"), source.tokenizer(), 11)


@pytest.fixture(scope="module")
def dataset(encoded):
    return batching.evaluation_dataset(encoded, 32)


def cut(source, mask):
    config, weights = units.remove(source.config, source.weights, mask)
    return dataclasses.replace(source, config=config, weights=weights)


def test_energy_of_units(source, dataset):
    model = source.model()
    found = unit_energy.unit_energies(model, dataset)
    assert list(found) == [f"blocks.{i}.{kind}" for i in (0, 1) for kind in ("heads", "neurons")]
    rows = [
        tf.boolean_mask(
            model.encoder(features)["projection_inputs"][1]["attention_output"],
            tf.reshape(features["input_mask"] == 1, [-1]),
        ).numpy()
        for features, *_ in dataset
    ]
    context = np.concatenate(rows)
    kernel = source.weights["encoder.blocks.1.attention_output.kernel"]
    expected = [np.var(context[:, p] @ kernel[p], axis=0).sum() for p in (slice(16), slice(16, 32))]
    np.testing.assert_allclose(found["blocks.1.heads"].energy, expected, rtol=1e-3)
    np.testing.assert_allclose(found["blocks.1.heads"].mean, context.mean(axis=0), atol=1e-4)


def test_repair_of_what_needs_none_changes_no_output(source, dataset):
    teacher, student = source.model(), source.model()
    report = block_repair.repair(student, teacher, units.full_mask(source.config), dataset)
    assert len(report) == 12
    assert max(one["error"] for one in report.values()) < 1e-6
    for features, *_ in dataset:
        np.testing.assert_allclose(student(features), teacher(features), atol=1e-4)


@pytest.mark.parametrize("kept", [(1, 24), (0, 8), (2, 0), (0, 0)])
def test_repair_brings_the_outputs_nearer(source, dataset, kept):
    heads, neurons = kept
    mask = {
        f"blocks.{i}.{kind}": np.arange(number) < count
        for i in (0, 1)
        for kind, number, count in (("heads", 2, heads), ("neurons", 48, neurons))
    }
    smaller, teacher = cut(source, mask), source.model()
    student = smaller.model()

    def distance():
        return np.mean([np.square(student(x) - teacher(x)).mean() for x, *_ in dataset])

    before = distance()
    report = block_repair.repair(student, teacher, mask, dataset)
    assert distance() < 0.9 * before
    assert all(0 <= one["error"] <= one["error_before"] + 1e-6 for one in report.values())
    written = {path.split(".", 2)[2] for path in report}
    assert ("ffn_in" in written) == bool(neurons)
    assert ("query" in written) == bool(heads)


def test_repair_of_factors(source, dataset):
    specs, weights = {}, dict(source.weights)
    for index, name, _, _ in source.config.projections():
        path = f"encoder.blocks.{index}.{name}"
        specs[index, name] = ProjectionSpec(rank=0 if name == "key" else 6)
        factors = factorization.svd(weights.pop(f"{path}.kernel"), 6)
        if name != "key":
            weights[f"{path}.factor_in"], weights[f"{path}.factor_out"] = factors
    config = source.config.with_projections(specs)
    student, teacher = BertModel(config), source.model()
    surgery.assign_weights(student, weights)
    factor = student.encoder.blocks[0].query.factor_in.numpy()
    report = block_repair.repair(student, teacher, {}, dataset)
    assert report["blocks.1.ffn_out"]["error"] < report["blocks.1.ffn_out"]["error_before"]
    np.testing.assert_array_equal(student.encoder.blocks[0].query.factor_in, factor)


def test_losses_grow_with_what_is_removed(source, encoded, dataset):
    energies = unit_energy.unit_energies(source.model(), dataset)
    found = unit_choice.sublayers(source, energies, dataset)
    for sublayer in found:
        energy = energies[sublayer.path].energy
        assert list(energy[sublayer.order]) == sorted(energy, reverse=True)
        assert sublayer.losses[-1] == 0
        assert np.all(np.diff(sublayer.losses) <= 0)
        assert sublayer.losses[0] > 0
    assert found[1].options == [0, 32, 48]
    assert found[0].keep(1).sum() == 1


def test_a_whole_sublayer_loses_what_is_measured(source, dataset):
    energies = unit_energy.unit_energies(source.model(), dataset)
    *_, last = unit_choice.sublayers(source, energies, dataset)
    model = cut(source, {last.path: np.zeros(48, bool)}).model()
    kernel = source.weights["encoder.blocks.1.ffn_out.kernel"]
    model.encoder.blocks[1].ffn_out.bias.assign_add(energies[last.path].mean @ kernel)
    whole = source.model()
    expected = [float(losses.distillation_loss(whole(x), model(x), 1.0)) for x, *_ in dataset]
    assert last.losses[0] == pytest.approx(np.mean(expected), rel=1e-3)


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_cuts_meet_their_target(source, encoded, share):
    cuts = UnitCuts(source, encoded)
    cost = unit_costs.Parameters(source.config)
    whole = cost.of_model(source.config)
    units_cost = sum(cost.of_sublayer(s.path, len(s.order)) for s in cuts.sublayers)
    allowed = whole - share * units_cost
    mask = cuts.choose(cost, allowed)
    smaller, report = cuts.smaller(mask)
    assert report
    as_it_is, nothing = cuts.smaller(mask, repair=False)
    assert nothing == {}
    expected = cut(source, mask).weights
    assert all(np.array_equal(as_it_is.weights[path], expected[path]) for path in expected)
    stored = cost.of_model(smaller.config)
    assert stored <= allowed
    priced = sum(cost.of_sublayer(path, int(kept.sum())) for path, kept in mask.items())
    assert stored == whole - units_cost + priced
    assert sum(w.size for w in smaller.model().get_weights()) == stored


def test_latency_of_sublayers(source):
    table = latency_tables.make()
    cost = unit_costs.Latency(table)
    config = source.config
    mask = {"blocks.0.heads": np.zeros(2, bool), "blocks.1.neurons": np.arange(48) < 16}
    smaller = units.config_under(config, mask)
    saved = cost.of_sublayer("blocks.0.heads", 2)
    saved += cost.of_sublayer("blocks.1.neurons", 48) - cost.of_sublayer("blocks.1.neurons", 16)
    assert cost.of_model(config) - cost.of_model(smaller) == pytest.approx(saved)


def test_a_cut_is_corrected_by_what_is_measured(source, encoded):
    cuts, cost = UnitCuts(source, encoded), unit_costs.Parameters(source.config)
    allowed, asked = 0.8 * cost.of_model(source.config), []

    def measure(config):
        # A device that takes a tenth more than the formula says.
        asked.append(1.1 * cost.of_model(config) / allowed)
        return asked[-1]

    mask = cuts.choose(cost, allowed, measure)
    assert len(asked) > 1
    assert measure(units.config_under(source.config, mask)) <= 1.03


@pytest.mark.parametrize("name", ["onnx", "onnx_int8", "litert_float16", "litert_int8"])
def test_bytes_of_sublayers(source, name):
    config = source.config
    cost = unit_costs.Bytes(config, formats.get(name))
    mask = {"blocks.0.heads": np.zeros(2, bool), "blocks.1.neurons": np.arange(48) < 16}
    smaller = units.config_under(config, mask)
    saved = cost.of_sublayer("blocks.0.heads", 2)
    saved += cost.of_sublayer("blocks.1.neurons", 48) - cost.of_sublayer("blocks.1.neurons", 16)
    assert cost.of_model(config) - cost.of_model(smaller) == saved


def test_bytes_are_those_of_files(tmp_path):
    """Of the difference of two models, whose graphs differ in names alone."""
    large = EncoderConfig(900, 64, 2, 4, 256, max_position_embeddings=16, word_embedding_rank=24)
    layers = (LayerConfig(2, 128),) * 2
    small = dataclasses.replace(large, vocab_size=300, word_embedding_rank=16, layers=layers)
    for name in ("onnx", "onnx_int8", "litert_float32", "litert_float16", "litert_int8"):
        form, sizes = formats.get(name), []
        for config in (large, small):
            form.write(latency_probes.served(execution_plan.Plan(config)), tmp_path)
            sizes.append(os.path.getsize(form.path(tmp_path)))
        cost = unit_costs.Bytes(large, form)
        expected = cost.of_model(large) - cost.of_model(small)
        assert sizes[0] - sizes[1] == pytest.approx(expected, rel=0.03), name


def test_a_sublayer_that_is_gone_already_leaves_finite_errors(source, encoded):
    """Its targets are a bias, the same for all tokens."""
    whole = {"blocks.0.heads": np.zeros(2, bool), "blocks.0.neurons": np.zeros(48, bool)}
    parent = cut(source, whole)
    mask = {"blocks.1.neurons": np.arange(48) < 16}
    smaller, report = UnitCuts(parent, encoded).smaller(mask)
    errors = [one[key] for one in report.values() for key in ("error_before", "error")]
    assert np.isfinite(errors).all()
    assert report["blocks.0.attention_output"]["error"] < 1e-9
    assert smaller.config.layers[1].intermediate_size == 16


def test_one_head_stays_whatever_the_target(source, encoded):
    cuts, cost = UnitCuts(source, encoded), unit_costs.Parameters(source.config)
    sizes = {one.path: len(one.order) for one in cuts.sublayers}
    rest = cost.of_model(source.config) - sum(cost.of_sublayer(*one) for one in sizes.items())
    smallest = rest + cost.of_sublayer("blocks.0.heads", 1)
    mask = cuts.choose(cost, smallest)
    assert sorted(kept.sum() for kept in mask.values()) == [0, 0, 0, 1]
    with pytest.raises(ValueError, match="must be above 0 and at least"):
        cuts.choose(cost, smallest - 1)
