"""Gates over heads and neurons, alone and together with ranks, until the compact model."""

import dataclasses

import latency_tables
import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.latency import LatencyTable, terms
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions, RemoveOptions
from bert_tf.models.bert import BertModel
from bert_tf.models.latency_budget import latency_budget
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.surgery import units


@pytest.fixture(scope="module")
def settings(bert_dir, sst_dir):
    return {
        "task_name": "sst-2",
        "data_dir": sst_dir,
        "init_checkpoint": bert_dir,
        "max_seq_length": 11,
        "train_batch_size": 16,
        "learning_rate": 3e-3,
        "num_train_epochs": 3.0,
        "length_buckets": "11",
    }


@pytest.fixture(scope="module")
def dense(settings, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("units") / "dense")
    finetuning.finetune(FinetuneOptions(**settings, output_dir=folder))
    return folder


@pytest.fixture(scope="module")
def factorized(settings, dense, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("units") / "factorized")
    options = {"finetuned": True, "data_dir": settings["data_dir"]}
    stages.factorize(FactorizeOptions(dense, folder, **options))
    return folder


@pytest.mark.parametrize(
    "groups", ["heads,neurons", "neurons", "sublayers,heads,neurons", "ranks,sublayers,neurons"]
)
def test_what_is_stored_is_what_removal_leaves(settings, dense, factorized, groups, tmp_path):
    gated, compact = str(tmp_path / "gated"), str(tmp_path / "compact")
    start = factorized if "ranks" in groups else dense
    target = 0.3
    settings = {**settings, "init_checkpoint": start, "output_dir": gated, "teacher": dense}
    settings |= {"distill_alpha": 0.3, "distill_layers": 0.6}
    options = FinetuneOptions(**settings, groups=groups, target_sparsity=target)
    scores = finetuning.finetune(options)
    if "sublayers" not in groups:  # Of a single block none is left over.
        assert scores["dev"]["eval_accuracy"] > 0.8  # A smaller model learns this task as well.
    model = model_dir.load(gated)
    kinds = {path.rpartition(".")[-1] for path, _ in model.encoder.unit_gates()}
    assert kinds == set(options.gated_units)
    budget = model.budget()
    largest = max(group.unit_cost for group in budget.steered) / budget.original_parameters
    assert target <= float(budget.stored_sparsity()) < target + largest
    assert stages.remove_mask(RemoveOptions(gated, compact)) < 1e-5
    smaller = model_dir.load(compact)
    assert not smaller.gates
    found = smaller.budget()
    assert found.factorized_parameters == float(budget.stored_cost())
    assert float(found.stored_sparsity()) == pytest.approx(float(budget.stored_sparsity()))


@pytest.mark.parametrize("groups", ["sublayers,heads,neurons", "ranks,heads", "ranks"])
def test_seconds_of_a_table(settings, dense, factorized, groups, tmp_path):
    """What is stored is what the table says of the compact model; parents and children agree."""
    gated, compact = str(tmp_path / "gated"), str(tmp_path / "compact")
    target, number = 0.15, 6e-8
    start = factorized if "ranks" in groups else dense
    seconds = {(terms.KERNEL, 0): number, (terms.FACTOR_NUMBERS, 0): number}
    file = latency_tables.write(tmp_path, "tensorflow", seconds)
    settings = {**settings, "init_checkpoint": start, "output_dir": gated, "latency_table": file}
    options = FinetuneOptions(
        **{**settings, "num_train_epochs": 1.0}, groups=groups, target_sparsity=target
    )
    finetuning.finetune(options)
    model, table = model_dir.load(gated), LatencyTable.load(file)
    budget = latency_budget(model, table)
    assert stages.remove_mask(RemoveOptions(gated, compact)) < 1e-5
    config = model_dir.read(compact).config
    assert float(budget.stored_cost()) == pytest.approx(table.predict(config), rel=1e-5)
    assert budget.dense_cost == pytest.approx(table.predict(model.config.dense))
    largest = max(group.unit_cost for group in budget.groups) / budget.dense_cost
    assert target <= float(budget.stored_sparsity()) + 1e-6 < target + largest
    info, stored = bert_tf.load_info(gated), 1 - float(budget.stored_sparsity())
    assert info["stored_latency"] == pytest.approx(stored, rel=1e-5)
    assert info["stored_sparsity"] == float(model.budget().stored_sparsity())
    kept = units.kept(model)
    for index, layer in enumerate(config.layers):
        for kind in ("heads", "neurons"):
            if (path := f"blocks.{index}.{kind}") in kept:
                assert kept[path].sum() == layer.num_units(kind)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"groups": "head"},
            "`groups` must name some of ranks, sublayers, .* 'head'.*'heads'",
        ),
        ({"groups": "heads"}, "`groups=heads` needs gates that reach a `target_sparsity`"),
        ({"groups": "ranks", "target_sparsity": 0.5}, "Gates need a factorized model"),
        ({"groups": ""}, "`groups` must name some of ranks, .* once each, received ''"),
        ({"groups": "heads,heads", "target_sparsity": 0.5}, "once each, received 'heads,heads'"),
        ({"latency_table": "t"}, "`latency_table` needs `target_sparsity` and gates that reach"),
        (
            {
                "groups": "heads",
                "target_sparsity": 0.5,
                "latency_table": "t",
                "sparsity_base": "factorized",
            },
            "`sparsity_base=factorized` counts parameters, received a `latency_table`",
        ),
        (
            {"groups": "heads", "target_sparsity": 0.5, "latency_table": "no.json"},
            "latency table 'no.json'",
        ),
    ],
)
def test_bad_input(settings, tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        finetuning.finetune(
            FinetuneOptions(**{**settings, "output_dir": str(tmp_path / "out"), **changes})
        )


def test_gates_that_a_model_cannot_get(settings, bert_dir, tmp_path):
    """A group without units, and new groups next to gates that the checkpoint has."""
    source = model_dir.read(bert_dir)
    config, weights = units.remove(
        source.config, source.weights, {"blocks.0.heads": np.zeros(2, bool)}
    )
    headless = dataclasses.replace(source, config=config, weights=weights)
    gated = units.with_gates(source.config, ["neurons"], "hard_concrete")
    for model, sentence in [
        (headless.model(), "`groups=heads` needs a model with heads, but .* leave heads out"),
        (
            BertModel(gated),
            "`groups=heads` needs a model without gates or .* has some over neurons; remove",
        ),
    ]:
        start = str(tmp_path / "start")
        model_dir.save(start, model, source.tokenizer())
        changes = {"init_checkpoint": start, "output_dir": str(tmp_path / "out")}
        options = FinetuneOptions(**{**settings, **changes}, groups="heads", target_sparsity=0.2)
        with pytest.raises(ValueError, match=sentence):
            finetuning.finetune(options)
