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
from bert_tf.methods.compress.unit_choice import Cut
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


UNITS = ("sublayers", "heads", "neurons")
FORMATS = ("onnx", "onnx_int8", "litert_float16", "litert_int8")


def mask_of(cuts, chosen):
    """Returns the mask of the units that stay."""
    return {one.path: one.keep(chosen[one.path].number) for one in cuts.sublayers}


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


def test_fisher_information_of_units(source, sst_dir, encoded, dataset):
    """Of a gate on each unit: with one batch the square of its gradient."""
    task, model = registry.get("sst-2"), source.model()
    energies, loss = unit_energy.unit_energies(model, dataset), task.importance_loss()
    batch = batching.training_dataset(encoded, 8, seed=3, num_steps=1)
    found = unit_energy.with_fisher(energies, model, batch, loss)
    config = units.with_gates(source.config, ["heads", "neurons"], "fixed")
    gated = source.model(layers=config.layers)
    gates = dict(gated.encoder.unit_gates())
    ((features, labels, *_),) = batch
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        values = {path: gate.values for path, gate in gates.items()}
        tape.watch(list(values.values()))
        value = loss(labels, gated(features, training=False))
    for path, gradient in tape.gradient(value, values).items():
        np.testing.assert_allclose(found[path].energy, np.square(gradient), rtol=1e-3, atol=1e-12)
        assert found[path].mean is energies[path].mean


def test_units_go_by_the_order_that_is_given(source, encoded):
    def backwards(energies, _):
        return {path: one._replace(energy=1 / one.energy) for path, one in energies.items()}

    usual, other = UnitCuts(source, encoded), UnitCuts(source, encoded, ordered_by=backwards)
    for one, two in zip(usual.sublayers, other.sublayers, strict=True):
        np.testing.assert_array_equal(one.order, two.order[::-1])


def test_repair_of_what_needs_none_changes_no_output(source, dataset):
    teacher, student = source.model(), source.model()
    report = block_repair.repair(student, teacher, source.model(), dataset)
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
    student, aims = smaller.model(), smaller.model()

    def distance():
        return np.mean([np.square(student(x) - teacher(x)).mean() for x, *_ in dataset])

    before = distance()
    report = block_repair.repair(student, teacher, aims, dataset)
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
    report = block_repair.repair(student, teacher, teacher, dataset)
    assert report["blocks.1.ffn_out"]["error"] < report["blocks.1.ffn_out"]["error_before"]
    np.testing.assert_array_equal(student.encoder.blocks[0].query.factor_in, factor)


def test_losses_grow_with_what_is_removed(source, encoded, dataset):
    energies = unit_energy.unit_energies(source.model(), dataset)
    found = unit_choice.sublayers(source, energies, dataset, UNITS)
    for sublayer in found:
        energy = energies[sublayer.path].energy
        assert list(energy[sublayer.order]) == sorted(energy, reverse=True)
        assert sublayer.losses[-1] == 0
        assert np.all(np.diff(sublayer.losses) <= 0)
        assert sublayer.losses[0] > 0
    assert found[1].cuts == [Cut(0), Cut(32), Cut(48)]
    assert found[0].keep(1).sum() == 1


def test_a_whole_sublayer_loses_what_is_measured(source, dataset):
    energies = unit_energy.unit_energies(source.model(), dataset)
    *_, last = unit_choice.sublayers(source, energies, dataset, UNITS)
    model = cut(source, {last.path: np.zeros(48, bool)}).model()
    kernel = source.weights["encoder.blocks.1.ffn_out.kernel"]
    model.encoder.blocks[1].ffn_out.bias.assign_add(energies[last.path].mean @ kernel)
    whole = source.model()
    expected = [float(losses.distillation_loss(whole(x), model(x), 1.0)) for x, *_ in dataset]
    assert last.losses[0] == pytest.approx(np.mean(expected), rel=1e-3)


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_cuts_meet_their_target(source, encoded, share):
    cuts = UnitCuts(source, encoded)
    cost, config = unit_costs.Parameters(), source.config
    whole = cost.of_model(config)
    units_cost = sum(cost.of_cuts(config, s.path, s.cuts[-1:])[0] for s in cuts.sublayers)
    allowed = whole - share * units_cost
    chosen = cuts.choose(cost, allowed)
    smaller, report = cuts.smaller(chosen)
    assert report
    as_it_is, nothing = cuts.smaller(chosen, repair=False)
    assert nothing == {}
    expected = cut(source, mask_of(cuts, chosen)).weights
    assert all(np.array_equal(as_it_is.weights[path], expected[path]) for path in expected)
    stored = cost.of_model(smaller.config)
    assert stored <= allowed
    priced = sum(cost.of_cuts(config, path, [one])[0] for path, one in chosen.items())
    assert stored == whole - units_cost + priced
    assert sum(w.size for w in smaller.model().get_weights()) == stored


@pytest.mark.parametrize(
    "cost",
    [
        unit_costs.Latency(latency_tables.make()),
        unit_costs.Parameters(),
        unit_costs.Multiplications((8, 16)),
        *(unit_costs.Bytes(formats.get(name)) for name in FORMATS),
    ],
    ids=["latency", "parameters", "multiplications", *FORMATS],
)
def test_what_cuts_save_is_what_the_model_costs_less(source, cost):
    config, changed = source.config, list(source.config.layers)
    saved = 0.0
    for path, one in (
        ("blocks.0.heads", Cut(1, key_size=8, density=0.5)),
        ("blocks.0.neurons", Cut(48, density=0.5)),
        ("blocks.1.heads", Cut(0)),
        ("blocks.1.neurons", Cut(16)),
    ):
        _, index, kind = path.split(".")
        before, after = cost.of_cuts(config, path, [Cut(config.layers[0].num_units(kind)), one])
        assert after < before
        saved += before - after
        now = dataclasses.replace(config, layers=tuple(changed))
        changed[int(index)] = one.applied(now, int(index), kind)
    smaller = dataclasses.replace(config, layers=tuple(changed))
    assert cost.of_model(config) - cost.of_model(smaller) == pytest.approx(saved)


def test_parameters_of_cuts_by_hand(source):
    """H 32, two heads of 16, 48 neurons."""
    found = unit_costs.Parameters().of_cuts(
        source.config,
        "blocks.1.heads",
        [Cut(0), Cut(1), Cut(2, 8), Cut(2, None, 8), Cut(2, density=0.5)],
    )
    width, head = 32, 16
    one = 4 * width * head + 3 * head
    assert found[:2] == [0, one]
    # Of queries and keys biases go too, of values those, and no bias of what takes them.
    assert found[2] == 2 * one - 2 * 2 * 8 * (width + 1)
    assert found[3] == found[2] + 2 * 8
    # Half of the break-even rank, 16, of which 8 is left.
    assert found[4] == 4 * 8 * (32 + 32) + 3 * 32


def test_a_cut_is_corrected_by_what_is_measured(source, encoded):
    cuts, cost = UnitCuts(source, encoded), unit_costs.Parameters()
    allowed, asked = 0.8 * cost.of_model(source.config), []

    def measure(config):
        # A device that takes a tenth more than the formula says.
        asked.append(1.1 * cost.of_model(config) / allowed)
        return asked[-1]

    chosen = cuts.choose(cost, allowed, measure)
    assert len(asked) > 1
    assert measure(cuts.config_under(chosen)) <= 1.03


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
        cost = unit_costs.Bytes(form)
        expected = cost.of_model(large) - cost.of_model(small)
        assert sizes[0] - sizes[1] == pytest.approx(expected, rel=0.03), name


def test_a_sublayer_that_is_gone_already_leaves_finite_errors(source, encoded):
    """Its targets are a bias, the same for all tokens."""
    whole = {"blocks.0.heads": np.zeros(2, bool), "blocks.0.neurons": np.zeros(48, bool)}
    parent = cut(source, whole)
    chosen = {"blocks.1.heads": Cut(2), "blocks.1.neurons": Cut(16)}
    smaller, report = UnitCuts(parent, encoded).smaller(chosen)
    errors = [one[key] for one in report.values() for key in ("error_before", "error")]
    assert np.isfinite(errors).all()
    assert report["blocks.0.attention_output"]["error"] < 1e-9
    assert smaller.config.layers[1].intermediate_size == 16


@pytest.mark.parametrize(
    ("groups", "left"),
    [
        (UNITS, [0, 0, 0, 1]),
        (("sublayers", "neurons"), [0, 0, 0, 2]),
        (("sublayers",), [0, 0, 0, 2]),
    ],
)
def test_the_attention_worth_most_stays_whatever_the_target(source, encoded, groups, left):
    cuts, cost = UnitCuts(source, encoded, groups), unit_costs.Parameters()
    smallest = cost.of_model(unit_choice.smallest(source.config, groups))
    chosen = cuts.choose(cost, smallest)
    assert sorted(one.number for one in chosen.values()) == left
    with pytest.raises(ValueError, match="must be above 0 and at least"):
        cuts.choose(cost, smallest - 1)


def test_the_floor_of_uneven_blocks_holds_wherever_heads_stay():
    config = EncoderConfig(
        vocab_size=9,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        layers=(LayerConfig(1, 64), LayerConfig(3, 64)),
    )
    smallest = unit_choice.smallest(config, ["sublayers"])
    assert [(one.num_heads, one.intermediate_size) for one in smallest.layers] == [(0, 0), (3, 0)]


def test_everything_that_may_go_goes_where_it_is_worth_least(source, encoded, dataset):
    """Narrow heads and ranks next to units; the repair brings the outputs nearer."""
    cuts, cost = UnitCuts(source, encoded, unit_choice.GROUPS), unit_costs.Parameters()
    attention, neurons, *_ = cuts.sublayers
    assert len(attention.cuts) == 1 + 2 * 2 * 2 * 4  # Sizes 8 and 16.
    assert len(neurons.cuts) == 1 + 2 * 4
    assert attention.cuts[-1] == Cut(2) and attention.losses[-1] == 0
    by_cut = dict(zip(attention.cuts, attention.losses, strict=True))
    assert 0 < by_cut[Cut(2, 8)] < by_cut[Cut(2, 8, density=0.5)] < by_cut[Cut(2, 8, density=0.25)]
    chosen = {
        "blocks.0.heads": Cut(1, 8, None, 0.5),
        "blocks.0.neurons": Cut(48, density=0.25),
        "blocks.1.heads": Cut(2, None, 8),
        "blocks.1.neurons": Cut(32),
    }
    whole, distances = source.model(), []
    for repair in (False, True):
        smaller, report = cuts.smaller(chosen, repair)
        assert smaller.config == cuts.config_under(chosen)
        assert len(report) == (12 if repair else 0)
        model = smaller.model()
        assert sum(w.size for w in model.get_weights()) == cost.of_model(smaller.config)
        distances.append(np.mean([np.square(model(x) - whole(x)).mean() for x, *_ in dataset]))
    assert distances[1] < 0.9 * distances[0]
    # From a model with ranks and narrow heads the next one is cut on.
    again = UnitCuts(smaller, encoded, unit_choice.GROUPS)
    allowed = 0.9 * cost.of_model(smaller.config)
    last, _ = again.smaller(again.choose(cost, allowed))
    assert cost.of_model(last.config) <= allowed
    assert np.isfinite(last.model()(next(iter(dataset))[0])).all()


def test_heads_and_neurons_without_sublayers(source, encoded):
    cuts = UnitCuts(source, encoded, ["heads", "neurons"])
    assert [[one.number for one in s.cuts] for s in cuts.sublayers] == [[1, 2], [32, 48]] * 2
    smallest = unit_choice.smallest(source.config, ["heads", "neurons"])
    assert [(one.num_heads, one.intermediate_size) for one in smallest.layers] == [(1, 32)] * 2
    with pytest.raises(ValueError, match="at least"):
        cuts.choose(unit_costs.Parameters(), unit_costs.Parameters().of_model(smallest) - 1)
