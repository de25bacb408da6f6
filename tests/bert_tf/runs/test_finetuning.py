import dataclasses
import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from event_files import tags

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.models.bert import BertModel
from bert_tf.runs import callbacks, finetuning, options, run_scores
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec

ENDS = {"global_step", "loss", "eval_loss", "eval_accuracy", "precision", "recall", "f1_score"}


@pytest.fixture(scope="module")
def base(bert_dir, sst_dir):
    """Settings of every run of this file."""
    return {
        "task_name": "sst-2",
        "data_dir": sst_dir,
        "init_checkpoint": bert_dir,
        "max_seq_length": 11,
        "length_buckets": "11",
        "train_batch_size": 16,
        "learning_rate": 3e-3,
        "num_train_epochs": 6.0,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(base, folder):
    """Returns a function that trains and returns the folder and the scores."""

    def run(name, **changes):
        settings = {**base, "output_dir": str(folder / name), **changes}
        scores = finetuning.finetune(options.FinetuneOptions(**settings))
        return settings["output_dir"], scores

    return run


@pytest.fixture(scope="module")
def dense(run):
    return run("dense", do_predict=True, holdout_examples=30, num_train_epochs=10)


@pytest.fixture(scope="module")
def full_rank(dense, folder, sst_dir):
    path = str(folder / "full_rank")
    stages.factorize(FactorizeOptions(dense[0], path, finetuned=True, data_dir=sst_dir))
    return path


GATED = {
    "target_sparsity": 0.5,
    "regularization_scale": 1e-4,
    "sparsity_base": "factorized",
    "save_checkpoints_steps": 20,
    "num_train_epochs": 6,
    # In so few steps the default rates fix the gates before the first point of TensorBoard.
    "alpha_learning_rate": 0.1,
    "lambda_learning_rate": 0.1,
}


@pytest.fixture(scope="module")
def gated(run, full_rank, dense):
    return run("gated", init_checkpoint=full_rank, teacher=dense[0], **GATED)


@pytest.fixture(scope="module")
def compact(gated, folder):
    path = str(folder / "compact")
    return path, stages.remove_mask(RemoveOptions(gated[0], path))


def weights(path):
    return surgery.named_weights(bert_tf.load(path))


def results(path):
    """What a run came to; how long it took is only there."""
    lines = pathlib.Path(path, run_scores.RESULTS_FILE).read_text().splitlines()
    found = {key: float(value) for key, value in (line.split(" = ") for line in lines)}
    assert found.pop("train_time") >= 0 and found.pop("eval_time") >= 0
    return found


def test_dense_learns(dense, sst_dir):
    path, scores = dense
    assert list(scores) == ["holdout", "dev"]
    assert scores["dev"]["eval_accuracy"] > 0.8
    info = bert_tf.load_info(path)
    assert info["scores"] == scores
    assert info["stage"] == "dense" and info["task"] == {"name": "SST-2", "labels": ["0", "1"]}
    assert info["data_dir"] == sst_dir and info["stored_sparsity"] == 0
    found = results(path)
    assert set(found) >= ENDS | {f"holdout_{key}" for key in ENDS - {"global_step", "loss"}}
    assert found["eval_accuracy"] == pytest.approx(scores["dev"]["eval_accuracy"], abs=1e-6)
    assert found["global_step"] == info["step"] and found["loss"] > 0


def test_predictions_are_in_the_format_of_glue(dense):
    lines = pathlib.Path(dense[0], "SST-2.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction" and len(lines) == 1 + 20
    assert {line.split("\t")[1] for line in lines[1:]} == {"0", "1"}
    assert [line.split("\t")[0] for line in lines[1:]] == [str(i) for i in range(20)]


def test_tags_of_a_dense_run(dense):
    found = tags(dense[0])
    expected = {"loss", "model_lr", "steps_per_second", "hyper-parameters", "eval_accuracy"}
    assert expected | {"precision", "recall", "f1_score", "holdout/eval_accuracy"} <= set(found)
    assert b'"task_name": "sst-2"' in found["hyper-parameters"][0][()]
    assert "survivors" not in found and "lambda_1" not in found


def test_full_rank_is_the_dense_model(dense, full_rank, sst_dir):
    assert bert_tf.load_info(full_rank)["stage"] == "factorized"
    scores = stages.evaluate(EvaluateOptions(full_rank))
    assert scores["dev"] == pytest.approx(dense[1]["dev"], abs=1e-5)


def test_pruning_reaches_the_target(gated):
    path, scores = gated
    info = bert_tf.load_info(path)
    assert info["stage"] == "gated"
    assert info["stored_sparsity"] == pytest.approx(0.5, abs=0.005)
    assert info["stored_sparsity"] >= 0.5
    assert scores["dev"]["eval_accuracy"] > 0.75


def test_tags_of_a_gated_run(gated):
    found = tags(gated[0])
    of_differences = {"sparsity_penalty", "expected_density"}
    assert set(callbacks.TAGS) - of_differences <= set(found)
    assert {f"survivors/blocks.0.{name}" for name in ("query", "ffn_out")} <= set(found)
    image = next(iter(found["survivors"].values()))
    assert int(image[0]) > 100 and image[2].startswith(b"\x89PNG")
    # The gates are fixed at half of the 78 steps at the latest: nothing is left to control.
    assert max(found["lambda_1"]) < 40 < max(found["loss"])
    assert found["target_sparsity"][10] < 0.5 and found["expected_sparsity"][10] < 0.5


def test_compact_equals_gated(gated, compact):
    path, difference = compact
    assert difference < 1e-5
    info = bert_tf.load_info(path)
    assert info["stage"] == "compact" and info["task"]["name"] == "SST-2"
    assert info["dense_sparsity"] == pytest.approx(bert_tf.load_info(gated[0])["stored_sparsity"])
    assert info["largest_difference"] == difference and info["max_seq_length"] == 11
    assert not any("log_alpha" in name for name in weights(path))


def test_evaluate_repeats_the_score(gated, compact, tmp_path):
    written = bert_tf.load_info(gated[0])["scores"]["dev"]
    assert stages.evaluate(EvaluateOptions(gated[0]))["dev"] == pytest.approx(written, abs=1e-6)
    scores = stages.evaluate(EvaluateOptions(compact[0], output_dir=str(tmp_path)))
    assert scores["dev"] == pytest.approx(written, abs=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["SST-2.dev.tsv", "scores.json"]


def test_a_compact_model_trains_on(run, compact):
    path, scores = run("again", init_checkpoint=compact[0], num_train_epochs=0.3)
    info = bert_tf.load_info(path)
    assert info["step"] == 4 and info["stage"] == "compact"
    assert bert_tf.load(path).config == bert_tf.load(compact[0]).config
    assert set(scores) == {"dev"}


def test_learning_rate_0_trains_the_gates_alone(run, full_rank):
    path, _ = run(
        "gates_alone",
        init_checkpoint=full_rank,
        learning_rate=0.0,
        target_sparsity=0.5,
        num_train_epochs=3,
        gate_freeze_fraction=0.8,
    )
    # Nothing is left to train once the gates are fixed.
    assert 0 < int(tf.train.latest_checkpoint(f"{path}/checkpoints").split("-")[-1]) <= 31
    before, after = weights(full_rank), weights(path)
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)
    gates = [array for name, array in after.items() if name not in before]
    assert len(gates) == 6 and all(np.ptp(array) > 0 for array in gates)
    assert bert_tf.load_info(path)["stored_sparsity"] == pytest.approx(0.5, abs=0.005)


def test_a_resumed_run_is_an_unbroken_one(run, full_rank, dense, gated, monkeypatch):
    original = callbacks.write_survivors
    # Once while the gates are trained, once when they are fixed; each time a checkpoint is lost.
    for stop in (40, 60):

        def interrupted(writer, step, model, stop=stop):
            if step == stop:
                raise KeyboardInterrupt
            original(writer, step, model)

        monkeypatch.setattr(callbacks, "write_survivors", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("broken", init_checkpoint=full_rank, teacher=dense[0], **GATED)
    monkeypatch.setattr(callbacks, "write_survivors", original)
    path, scores = run("broken", init_checkpoint=full_rank, teacher=dense[0], **GATED)
    assert scores == gated[1]
    last, broken = (
        tf.train.load_checkpoint(os.path.join(p, "checkpoints")) for p in (gated[0], path)
    )
    names = [name for name in last.get_variable_to_shape_map() if name.startswith("model/")]
    assert names
    for name in names:
        difference = np.abs(last.get_tensor(name) - broken.get_tensor(name)).max(initial=0)
        assert difference < 1e-6, name


def test_a_finished_run_is_not_trained_again(run, base, gated, full_rank, dense):
    before = results(gated[0])
    _, scores = run("gated", init_checkpoint=full_rank, teacher=dense[0], **GATED)
    assert scores == gated[1] and results(gated[0]) == before


def test_evaluation_alone(run, dense):
    path, scores = run("scores", init_checkpoint=dense[0], do_train=False)
    assert scores["dev"] == pytest.approx(dense[1]["dev"], abs=1e-6)
    assert results(path)["global_step"] == 0
    assert not os.path.exists(os.path.join(path, "checkpoints"))
    for name, array in weights(dense[0]).items():
        np.testing.assert_array_equal(array, weights(path)[name])


def test_without_evaluation_the_last_step_is_kept(run, full_rank):
    path, scores = run(
        "blind", init_checkpoint=full_rank, do_eval=False, target_sparsity=0.0, num_train_epochs=2
    )
    info = bert_tf.load_info(path)
    assert scores == {} and info["step"] == 26
    assert info["stored_sparsity"] == 0
    assert set(results(path)) == {"global_step", "loss"}


@pytest.mark.parametrize(
    "how",
    [
        {"mixed_precision": "bfloat16", "gate_schedule": "noam", "learning_rate_warmup": 3},
        {"mixed_precision": "float16", "gradient_accumulation_steps": 2},
        # All batches of one shape, each of which XLA compiles anew, and so it would fixed gates.
        {
            "jit_compile": True,
            "gradient_accumulation_steps": 4,
            "eval_batch_size": 67,
            "gate_freeze_fraction": 1.0,
        },
    ],
)
def test_ways_to_run(run, full_rank, how):
    path, scores = run(
        "_".join(how), init_checkpoint=full_rank, target_sparsity=0.5, num_train_epochs=4, **how
    )
    assert scores["dev"]["eval_accuracy"] > 0.7
    # One rank of this model is up to 1.2 points.
    assert 0.5 <= bert_tf.load_info(path)["stored_sparsity"] < 0.512
    assert bert_tf.load(path).dtype_policy.name == "float32"


def test_a_regression_on_pairs_of_ones_own(run, pairs_dir, folder):
    table = {
        "task_name": "tsv",
        "data_dir": pairs_dir,
        "text_columns": "first,second",
        "label_column": "score",
        "label_type": "number",
        "max_seq_length": 15,
        "length_buckets": "15",
    }
    dense, scores = run("pairs", num_train_epochs=12, do_predict=True, **table)
    assert scores["dev"]["pearson"] > 0.5
    assert set(scores["dev"]) == {"eval_loss", "pearson", "spearmanr", "mse"}
    assert scores["dev"]["eval_loss"] == pytest.approx(scores["dev"]["mse"])
    lines = pathlib.Path(dense, "predictions.tsv").read_text().splitlines()
    assert len(lines) == 6 and float(lines[1].split("\t")[1])
    factors = str(folder / "pairs_full")
    stages.factorize(
        FactorizeOptions(dense, factors, finetuned=True, data_dir=pairs_dir, task_name="tsv")
    )
    gated, pruned = run(
        "pairs_gated", init_checkpoint=factors, target_sparsity=0.4, teacher=dense, **table
    )
    # One rank of this model is up to 1.2 points.
    assert 0.4 <= bert_tf.load_info(gated)["stored_sparsity"] < 0.412
    compact = str(folder / "pairs_compact")
    assert stages.remove_mask(RemoveOptions(gated, compact)) < 1e-4
    again = stages.evaluate(EvaluateOptions(compact))["dev"]
    assert again == pytest.approx(pruned["dev"], abs=1e-4)


def test_both_dev_sets_of_mnli(run, tmp_path, folder):
    labels = ("entailment", "neutral", "contradiction")
    for split in ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched"):
        lines = ["index\tsentence1\tsentence2\tgold_label"]
        lines += [f"{i}\tthe film\tgood plot\t{labels[i % 3]}" for i in range(9)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    path, scores = run(
        "mnli", task_name="mnli", data_dir=str(tmp_path), num_train_epochs=0.5, do_predict=True
    )
    assert list(scores) == ["dev_matched", "dev_mismatched"]
    assert {"eval_accuracy", "dev_mismatched_eval_accuracy"} <= set(results(path))
    assert {"MNLI-m.tsv", "MNLI-mm.tsv"} <= set(os.listdir(path))
    assert {"eval_accuracy", "dev_mismatched/eval_accuracy"} <= set(tags(path))
    assert list(stages.evaluate(EvaluateOptions(path))) == list(scores)
    assert list(stages.evaluate(EvaluateOptions(path, split="dev_mismatched"))) == [
        "dev_mismatched"
    ]
    assert (
        stages.evaluate(EvaluateOptions(path, split="test", output_dir=str(folder / "mnli_test")))
        == {}
    )
    assert len(os.listdir(folder / "mnli_test")) == 3
    with pytest.raises(ValueError, match="needs .*num_labels=2, but the model in .*num_labels=3"):
        stages.evaluate(EvaluateOptions(path, task_name="sst-2", data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target_sparsity": 0.5}, "Gates need a factorized model, but all projections of .* are"),
        (
            {"max_seq_length": 17, "length_buckets": ""},
            "`max_seq_length` must be at most 16, the positions of the",
        ),
        ({"learning_rate": 0.0}, "`learning_rate=0` trains the gates alone, which needs a model"),
        ({"holdout_examples": 203}, "`holdout_examples` must be at least 0 and below the 203"),
        ({"task_name": "sst-3"}, "Unknown task 'sst-3', did you mean 'SST-2'?"),
        (
            {"label_column": "label"},
            "`label_column` belongs to the task tsv, received 'label'",
        ),
        ({"data_dir": "nowhere"}, "reads its split 'train' from train.tsv, but the folder"),
        ({"init_checkpoint": "nowhere"}, "The checkpoint 'nowhere' does not exist"),
        ({"vocab_file": "nowhere"}, "The vocabulary 'nowhere' does not exist"),
        ({"bert_config_file": "nowhere"}, "The BERT config 'nowhere' does not exist"),
        ({"teacher": "nowhere"}, "The folder 'nowhere' is no model directory: expected"),
    ],
)
def test_what_does_not_fit_is_said_at_once(options, changes, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        finetuning.finetune(options(**changes))
    assert not (tmp_path / "out").exists()


def test_a_missing_test_set_is_said_at_once(options, sst_dir, tmp_path):
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").symlink_to(f"{sst_dir}/{split}.tsv")
    with pytest.raises(ValueError, match="reads its split 'test' from test.tsv, but the folder"):
        finetuning.finetune(options(data_dir=str(tmp_path), do_predict=True))


def test_factorized_trains_no_gates(options, gated):
    with pytest.raises(ValueError, match="`factorized` trains factors without gates, but the"):
        finetuning.finetune(options(init_checkpoint=gated[0], factorized=True))


def test_a_target_out_of_reach(options, bert_dir, vocab_file, tmp_path):
    # The projections that have no gate cannot shrink.
    config = bert_tf.load(bert_dir).config.with_projections({(0, "query"): ProjectionSpec(16)})
    model_dir.save(tmp_path / "half", BertModel(config), Tokenizer(vocab_file))
    with pytest.raises(ValueError, match="must be at most the sparsity with all gates closed"):
        finetuning.finetune(options(init_checkpoint=str(tmp_path / "half"), target_sparsity=0.5))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "vocab", "lower_case", "sentence"),
    [
        ({"num_labels": 3}, "", True, "needs .*num_labels=2, but the teacher .*num_labels=3"),
        ({"vocab_size": 23}, "more\n", True, "vocabulary and the case of the student, received an"),
        ({}, "", False, "must have the vocabulary and the case .*, received another case"),
    ],
)
def test_a_teacher_of_another_kind(
    options, bert_dir, vocab_file, tmp_path, changes, vocab, lower_case, sentence
):
    other = tmp_path / "vocab.txt"
    other.write_text(pathlib.Path(vocab_file).read_text() + vocab)
    config = dataclasses.replace(bert_tf.load(bert_dir).config, **changes)
    folder = tmp_path / "teacher"
    model_dir.save(folder, BertModel(config), Tokenizer(str(other), lower_case))
    with pytest.raises(ValueError, match=sentence):
        finetuning.finetune(options(teacher=str(folder)))


def test_a_checkpoint_of_other_variables(options, bert_dir, tmp_path):
    """As where another model to start from was put in the place of the one before."""
    settings = {"num_train_epochs": 0.2, "save_checkpoints_steps": 1}
    finetuning.finetune(options(**settings))
    factors = str(tmp_path / "factors")
    stages.factorize(FactorizeOptions(bert_dir, factors))
    sentence = "The checkpoint '.*' is of .* of other variables; .*, or delete '(.*)' to start anew"
    with pytest.raises(ValueError, match=sentence) as error:
        finetuning.finetune(options(**settings, init_checkpoint=factors))
    shutil.rmtree(re.search(sentence, str(error.value))[1])
    finetuning.finetune(options(**settings, init_checkpoint=factors))
    assert bert_tf.load_info(tmp_path / "out")["stage"] == "factorized"


def test_a_file_that_cannot_grow(options, monkeypatch):
    """Keras takes TensorFlow's error for the end of the data."""

    def write(*_):
        raise tf.errors.OutOfRangeError(None, None, "events: File too large")

    monkeypatch.setattr(callbacks.Summaries, "on_train_batch_end", write)
    with pytest.raises(OSError, match="Training ended at step 1 of 78: a file in '.*out' could"):
        finetuning.finetune(options())


def test_a_damaged_checkpoint(options, tmp_path):
    folder = tmp_path / "shape"  # A word of TensorFlow's message on another architecture.
    settings = {"num_train_epochs": 1, "save_checkpoints_steps": 5, "output_dir": str(folder)}
    scores = finetuning.finetune(options(**settings))
    *_, before_last, last = sorted((folder / "checkpoints").glob("*.data*"))
    last.write_bytes(last.read_bytes()[:100])
    assert finetuning.finetune(options(**settings)) == scores
    for path in (before_last, last):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="No checkpoint in '.*checkpoints' can be read, all of"):
        finetuning.finetune(options(**settings))
    shutil.rmtree(folder / "checkpoints")
    assert finetuning.finetune(options(**settings)) == scores
