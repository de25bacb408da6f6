"""Runs of `--gate=magnitude`, from a dense checkpoint to a sparse model and its mask."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from event_files import tags

import bert_tf
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions, RemoveOptions
from bert_tf.runs import callbacks, finetuning, options
from bert_tf.studies.sweeps import run_results
from bert_tf.surgery import masks
from flop_tf import surgery

TARGET = 0.6
# The toy BERT: 4 kernels of 32 x 32 and 2 of 32 x 48.
KERNELS = 4 * 32 * 32 + 2 * 32 * 48
CLOSED = 4 * 614 + 2 * 922


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(bert_dir, sst_dir, folder):
    """Returns a function that trains 39 steps and returns the folder and the scores.

    The masks grow for 26 of them, and every 10 a checkpoint is scored.
    """

    def run(name, strategy=None, **changes):
        settings = {
            "task_name": "sst-2",
            "data_dir": sst_dir,
            "init_checkpoint": bert_dir,
            "output_dir": str(folder / name),
            "max_seq_length": 11,
            "length_buckets": "11",
            "train_batch_size": 16,
            "learning_rate": 3e-3,
            "num_train_epochs": 3.0,
            "gate": "magnitude",
            "target_sparsity": TARGET,
            "gate_freeze_fraction": 2 / 3,
            "mask_update_steps": 4,
            "save_checkpoints_steps": 10,
            **changes,
        }
        scores = finetuning.finetune(options.FinetuneOptions(**settings), strategy)
        return settings["output_dir"], scores

    return run


@pytest.fixture(scope="module")
def pruned(run):
    return run("pruned")


@pytest.fixture(scope="module")
def sparse(pruned, folder):
    path = str(folder / "sparse")
    assert stages.remove_mask(RemoveOptions(pruned[0], path)) < 1e-5
    return path


def last_weights(path):
    reader = tf.train.load_checkpoint(os.path.join(path, "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/")]
    return {name: reader.get_tensor(name) for name in names}


def assert_exactly_sparse(path):
    model = bert_tf.load(path)
    for _, layer in model.encoder.projections():
        values = layer.gate.values.numpy()
        assert abs(np.count_nonzero(values == 0) - TARGET * values.size) <= 0.5
    assert bert_tf.load_info(path)["stored_sparsity"] == pytest.approx(CLOSED / KERNELS, abs=1e-6)


def test_every_kernel_has_the_target(pruned):
    path, scores = pruned
    assert_exactly_sparse(path)
    info = bert_tf.load_info(path)
    assert info["stage"] == "gated" and scores["dev"]["eval_accuracy"] > 0.7
    # All weights are stored, whatever the masks.
    assert info["dense_sparsity"] == 0 and info["dense_pruned_params"] == KERNELS
    assert info["dense_nonzero_params"] == KERNELS - CLOSED


def test_tags(pruned):
    found = tags(pruned[0])
    asked = {10: TARGET * (1 - (16 / 26) ** 3), 20: TARGET * (1 - (6 / 26) ** 3), 30: TARGET}
    for step, target in asked.items():
        assert found["target_sparsity"][step] == pytest.approx(target, abs=1e-6)
    # The masks are those of steps 8, 20 and 26.
    stored = {10: TARGET * (1 - (18 / 26) ** 3), 20: asked[20], 30: TARGET}
    for step, sparsity in stored.items():
        assert found["stored_sparsity"][step] == pytest.approx(sparsity, abs=1e-3)
    assert not set(found) & {"lambda_1", "expected_sparsity", "alpha_lr", "survivors"}


def test_each_scored_model_has_the_target(run, monkeypatch):
    """So that the best one is not simply the one with the fewest zeros."""
    original, seen = callbacks.write_survivors, {}

    def noted(writer, step, model):
        seen[step] = float(model.budget().stored_sparsity())
        original(writer, step, model)

    monkeypatch.setattr(callbacks, "write_survivors", noted)
    run("scored", num_train_epochs=1.6, gate_freeze_fraction=1.0)
    assert seen == dict.fromkeys([10, 20, 21], pytest.approx(CLOSED / KERNELS, abs=1e-6))


def test_a_resumed_run_is_an_unbroken_one(run, pruned, monkeypatch):
    original = callbacks.write_survivors
    # While the masks change and once they are fixed; each time a checkpoint is lost.
    for stop in (20, 39):

        def interrupted(writer, step, model, stop=stop):
            if step == stop:
                raise KeyboardInterrupt
            original(writer, step, model)

        monkeypatch.setattr(callbacks, "write_survivors", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("broken")
    monkeypatch.setattr(callbacks, "write_survivors", original)
    path, scores = run("broken")
    assert scores == pruned[1]
    broken = last_weights(path)
    for name, array in last_weights(pruned[0]).items():
        np.testing.assert_allclose(broken[name], array, atol=1e-6, err_msg=name)


def test_two_devices_with_parts_of_their_batches_are_one(run, two_devices):
    changes = {
        "train_batch_size": 48,
        "num_train_epochs": 2.0,
        "learning_rate": 3e-4,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "save_checkpoints_steps": 0,
    }
    one, scores = run("one", tf.distribute.OneDeviceStrategy("CPU:0"), **changes)
    expected = surgery.named_weights(bert_tf.load(one))
    path, found = run("two", two_devices, gradient_accumulation_steps=4, **changes)
    assert found["dev"] == pytest.approx(scores["dev"], abs=1e-5)
    for weight, array in surgery.named_weights(bert_tf.load(path)).items():
        np.testing.assert_allclose(array, expected[weight], atol=1e-5, err_msg=weight)


@pytest.mark.parametrize(
    "how",
    [
        {"mixed_precision": "float16", "optimizer": "adamax"},
        {"jit_compile": True, "target_sparsity_warmup": 0},
    ],
)
def test_ways_to_run(run, pruned, how):
    path, scores = run("_".join(how), num_train_epochs=2, teacher=pruned[0], **how)
    assert_exactly_sparse(path)
    assert scores["dev"]["eval_accuracy"] > 0.6


def test_a_pruned_model_is_pruned_on(run, pruned):
    path, _ = run(
        "on", init_checkpoint=pruned[0], gate="", target_sparsity=0.8, num_train_epochs=0.6
    )
    assert bert_tf.load_info(path)["stored_sparsity"] == pytest.approx(0.8, abs=1e-3)
    assert bert_tf.load(path).config == bert_tf.load(pruned[0]).config


def test_without_a_target_the_masks_stay(run, pruned):
    changes = {"init_checkpoint": pruned[0], "gate": "", "target_sparsity": None}
    path, _ = run("on_fixed", num_train_epochs=0.6, **changes)
    before, after = (bert_tf.load(one).encoder.projections() for one in (pruned[0], path))
    for (name, one), (_, other) in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.gate.values, other.gate.values, name)


def test_removal_leaves_a_dense_model_with_zeros(pruned, sparse):
    info, model = bert_tf.load_info(sparse), bert_tf.load(sparse)
    assert model.config == model.config.dense and info["stage"] == "sparse"
    # Nothing is gone, and it does not say so.
    assert info["dense_sparsity"] == 0 and info["dense_pruned_params"] == KERNELS
    assert info["pruned_total_params"] == info["total_params"] and info["actual_compact_rate"] == 1
    assert info["dense_nonzero_params"] == KERNELS - CLOSED
    text = pathlib.Path(sparse, "info.txt").read_text()
    assert f"dense_nonzero_params = {KERNELS - CLOSED}\n" in text
    for (_, layer), (_, gated) in zip(
        model.encoder.projections(), bert_tf.load(pruned[0]).encoder.projections(), strict=True
    ):
        np.testing.assert_array_equal(layer.kernel.numpy() != 0, gated.gate.values.numpy() > 0)


def test_a_report_tells_stored_parameters_from_sparsity(pruned, sparse):
    for path in (pruned[0], sparse):
        found, info = run_results._model(path), bert_tf.load_info(path)
        assert found["sparsity"] == pytest.approx(CLOSED / KERNELS, abs=1e-6)
        assert found["parameters"] == info["total_params"]


def test_the_mask_retrains_the_model_that_it_was_found_on(run, sparse, bert_dir):
    file = os.path.join(sparse, stages.MASK_FILE)
    saved = masks.load(file, bert_tf.load(bert_dir).config)
    assert sum(np.count_nonzero(~mask) for mask in saved.masks.values()) == CLOSED
    assert saved.provenance["checkpoint"].endswith("pruned")
    path, _ = run("again", mask=file, gate="", target_sparsity=None, num_train_epochs=0.6)
    model = bert_tf.load(path)
    for name, layer in model.encoder.projections():
        np.testing.assert_array_equal(layer.gate.keep(), saved.masks[f"{name}.kernel"])
    # Removed, it is a sparse model of the same mask.
    stages.remove_mask(RemoveOptions(path, path + "_sparse"))
    again = masks.load(os.path.join(path + "_sparse", stages.MASK_FILE), model.config)
    for name, mask in saved.masks.items():
        np.testing.assert_array_equal(again.masks[name], mask)


def test_what_does_not_fit_is_said_at_once(run, pruned, sparse, bert_dir, folder):
    factors = str(folder / "factors")
    stages.factorize(FactorizeOptions(bert_dir, factors))
    mask = os.path.join(sparse, stages.MASK_FILE)
    other = {"gate": "hard_concrete"}
    for changes, sentence in (
        ({"init_checkpoint": factors}, "'magnitude' needs a model whose projections are dense, but "
         "blocks.0.query has factors of rank 32; take the dense model, or a gate of hard_concrete"),
        ({"init_checkpoint": pruned[0], **other}, "`gate=hard_concrete` needs a model without gates"
         " or with gates of hard_concrete over its projections, but '.*pruned' has those of magni"),
        ({"mask": mask}, "gates of magnitude over .* under its mask has those of fixed; remove"),
        ({"mask": mask, "gate": ""}, "of hard_concrete or magnitude over .* has those of fixed; r"),
        ({"learning_rate": 0.0}, "`learning_rate=0` trains the gates alone, which needs a model wi"
         "th gates and `target_sparsity`, received target_sparsity=0.6"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            run("refused", **changes)
        assert not (folder / "refused").exists()
