import json
import os
import pathlib

import numpy as np
import pytest
import safetensors.numpy

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.models.bert import BertModel
from bert_tf.tasks import model_task
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "out")


@pytest.fixture
def save(vocab_file, bert_dir, tmp_path):
    """Saves a model of the toy BERT with other specs, labels and notes, and returns its folder."""

    def save(rank=None, gate=None, num_labels=2, **info):
        base = bert_tf.load(bert_dir).config
        config = EncoderConfig.from_dict({**base.to_dict(), "num_labels": num_labels})
        spec = ProjectionSpec(rank, gate and {"name": gate, "config": {"axis": 0}})
        specs = {(i, name): spec for i, name, *_ in config.projections()}
        model = BertModel(config.with_projections(specs))
        generator = np.random.default_rng(0)
        for one in model.gates:
            one.log_alpha.assign(generator.uniform(-6, 3, one.log_alpha.shape))
        folder = str(tmp_path / "model")
        model_dir.save(folder, model, Tokenizer(vocab_file), **info)
        return folder

    return save


PAIRS = {"task_name": "tsv", "text_columns": "first,second", "label_column": "score"}
KNOWN = {
    "name": "tsv",
    "labels": ["1.0", "-1.0", "0.0"],
    "text_columns": ["first", "second"],
    "label_column": "score",
    "label_type": "class",
    "quoting": "minimal",
}


@pytest.mark.parametrize("init", ["svd", "whitened", "fisher"])
def test_factorize(bert_dir, sst_dir, out, init):
    data = {} if init == "svd" else {"data_dir": sst_dir, "task_name": "sst-2"}
    stages.factorize(
        FactorizeOptions(
            bert_dir, out, rank=5, init=init, max_seq_length=11, calibration_batches=3, **data
        )
    )
    info = bert_tf.load_info(out)
    assert info["init"] == init and info["stage"] == "factorized"
    assert ("task" in info) == (init != "svd")
    assert {row["rank"] for row in info["projections"]} == {5}


def test_whitened_is_the_default_with_data_and_better(bert_dir, sst_dir, tmp_path):
    """Truncation to rank 8 hurts the outputs on real sentences less when it knows them."""
    errors = {}
    for init in ("", "svd"):
        folder = str(tmp_path / f"f{init}")
        stages.factorize(
            FactorizeOptions(
                bert_dir,
                folder,
                finetuned=True,
                rank=8,
                init=init,
                data_dir=sst_dir,
                task_name="SST-2",
            )
        )
        first, second = bert_tf.load(bert_dir), bert_tf.load(folder)
        tokenizer = bert_tf.load_tokenizer(bert_dir)
        data = model_task.ModelDataOptions(task_name="sst-2", data_dir=sst_dir, max_seq_length=11)
        batches = stages._check_batches(first, tokenizer, {}, data)
        outputs = [[m.encoder(x)["pooled_output"] for x, *_ in batches] for m in (first, second)]
        errors[init] = np.mean((np.concatenate(outputs[0]) - np.concatenate(outputs[1])) ** 2)
        assert bert_tf.load_info(folder)["init"] == (init or "whitened")
    assert errors[""] < errors["svd"]


def test_held_out_examples_do_not_calibrate(bert_dir, sst_dir, tmp_path, monkeypatch):
    sizes = []

    def count(model, batches):
        sizes.append(sum(len(index) for *_, index in batches))
        raise InterruptedError

    monkeypatch.setattr(stages.projection_statistics, "second_moments", count)
    for holdout in (0, 190):
        with pytest.raises(InterruptedError):
            stages.factorize(
                FactorizeOptions(
                    bert_dir,
                    str(tmp_path / "f"),
                    data_dir=sst_dir,
                    task_name="sst-2",
                    max_seq_length=11,
                    holdout_examples=holdout,
                )
            )
    assert sizes == [203, 13]


def test_fisher_needs_the_head_of_the_task(save, sst_dir, out):
    with pytest.raises(
        ValueError, match="needs .*num_labels=2, but the checkpoint for .*num_labels=3"
    ):
        stages.factorize(
            FactorizeOptions(
                save(num_labels=3), out, init="fisher", data_dir=sst_dir, task_name="sst-2"
            )
        )


def test_fisher_needs_a_head(save, sst_dir, out):
    folder = save()
    path = os.path.join(folder, "model.safetensors")
    weights = safetensors.numpy.load_file(path)
    for name in ("classifier.kernel", "classifier.bias"):
        del weights[name]
    safetensors.numpy.save_file(weights, path)
    with pytest.raises(ValueError, match="fine-tuned on 'SST-2', received one without a task head"):
        stages.factorize(
            FactorizeOptions(folder, out, init="fisher", data_dir=sst_dir, task_name="sst-2")
        )


def test_factorize_repeats_itself(bert_dir, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        stages.factorize(FactorizeOptions(bert_dir, str(tmp_path / name), seed=seed))
    a, b, c = (surgery.named_weights(bert_tf.load(tmp_path / name)) for name in "abc")
    assert all((a[path] == b[path]).all() for path in a)
    assert (a["classifier.kernel"] != c["classifier.kernel"]).any()


def test_factorize_hands_on_what_is_known(save, sst_dir, out):
    known = {"task": {"name": "SST-2", "labels": ["0", "1"]}, "data_dir": sst_dir}
    folder = save(max_seq_length=11, scores={"dev": {}}, **known)
    stages.factorize(FactorizeOptions(folder, out, finetuned=True))
    info = bert_tf.load_info(out)
    assert {key: info[key] for key in known} == known and info["max_seq_length"] == 11
    assert "scores" not in info


def test_factorize_with_a_table_of_ones_own(save, pairs_dir, out):
    stages.factorize(
        FactorizeOptions(save(), out, data_dir=pairs_dir, label_type="number", **PAIRS)
    )
    assert bert_tf.load_info(out)["task"] == {
        "name": "tsv",
        "labels": None,
        "text_columns": ["first", "second"],
        "label_column": "score",
        "label_type": "number",
        "quoting": "minimal",
    }


def test_factorize_keeps_the_order_of_the_labels(save, pairs_dir, out):
    folder = save(num_labels=3, task=KNOWN)
    stages.factorize(
        FactorizeOptions(folder, out, data_dir=pairs_dir, task_name="tsv", init="fisher")
    )
    assert bert_tf.load_info(out)["task"] == KNOWN


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"init": "whitend"},
            "`init` must be one of svd, .*received 'whitend', did you mean 'whit",
        ),
        ({"init": "fisher"}, "`init=fisher` needs data: pass `data_dir` and `task_name`"),
        ({"data_dir": "x"}, "`init=whitened` needs data: .*, received 'x' and ''"),
        ({"rank": 33}, r"`rank` must be 'full' or in \[0, 32\] .*received 33"),
        ({"density": 0.0}, "`density` must be above 0, received 0.0"),
        ({"calibration_batches": 0}, "`calibration_batches` must be at least 1, received 0"),
        ({"rank": 5, "density": 0.5}, "`rank` and `density` exclude each other, received 5 and 0"),
        ({"data_dir": "x", "task_name": "tsv"}, "Task 'tsv' needs `text_columns`"),
        ({"data_dir": "x", "task_name": "sst2"}, "reads its split 'train' from train.tsv, but"),
        ({"data_dir": "x", "task_name": "sstt"}, "Unknown task 'sstt', did you mean 'SST-2'"),
    ],
)
def test_errors_of_factorize(bert_dir, out, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        stages.factorize(FactorizeOptions(bert_dir, out, **arguments))
    assert not os.path.exists(out)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_remove_mask_on_random_tokens(save, out, threshold):
    gated = save(16, "hard_concrete")
    assert stages.remove_mask(RemoveOptions(gated, out, threshold=threshold)) < 1e-5
    info = bert_tf.load_info(out)
    assert info["threshold"] == threshold and info["stage"] == "compact"
    assert info["dense_total_params"] == bert_tf.load_info(gated)["dense_pruned_params"]
    assert info["dense_pruned_params"] < info["dense_origin_params"]
    text = pathlib.Path(out, "info.txt").read_text()
    assert f"dense_total_params = {info['dense_total_params']}\n" in text


def test_remove_mask_on_the_pairs_of_a_table(save, pairs_dir, out):
    gated = save(16, "hard_concrete", num_labels=3, task=KNOWN, data_dir=pairs_dir)
    assert stages.remove_mask(RemoveOptions(gated, out)) < 1e-5
    assert bert_tf.load_info(out)["task"] == KNOWN
    assert (
        stages.remove_mask(RemoveOptions(gated, out + "2", task_name="tsv", data_dir=pairs_dir))
        < 1e-5
    )


@pytest.mark.parametrize(
    ("gate", "arguments", "sentence"),
    [
        (None, {}, "has no gates, so that there is nothing to remove"),
        ("hard_concrete", {"threshold": 1.0}, r"`threshold` must be in \[0, 1\), received 1.0"),
        (
            "hard_concrete",
            {"data_dir": "x"},
            "`data_dir` needs `task_name` next to it: .* 'x' alone",
        ),
        ("hard_concrete", {"data_dir": "x", "task_name": "sst-2"}, "folder 'x' has no such file"),
    ],
)
def test_errors_of_remove_mask(save, out, gate, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        stages.remove_mask(RemoveOptions(save(16, gate), out, **arguments))
    assert not os.path.exists(out)


def test_a_compact_model_that_differs_is_not_written(save, out, monkeypatch):
    monkeypatch.setattr(stages, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="differs from the gated one by .*; nothing was written"):
        stages.remove_mask(RemoveOptions(save(16, "hard_concrete"), out))
    assert not os.path.exists(out)


def test_remove_mask_needs_a_model_directory(tmp_path, out):
    with pytest.raises(ValueError, match="is no model directory: expected 'info.json' in it"):
        stages.remove_mask(RemoveOptions(str(tmp_path), out))


def test_evaluate_writes_scores_and_predictions(save, sst_dir, out):
    folder = save(task={"name": "SST-2", "labels": ["0", "1"]}, data_dir=sst_dir)
    scores = stages.evaluate(EvaluateOptions(folder, output_dir=out))
    assert json.loads(pathlib.Path(out, "scores.json").read_text()) == scores
    lines = pathlib.Path(out, "SST-2.dev.tsv").read_text().splitlines()
    assert len(lines) == 1 + 67 and lines[0] == "index\tprediction"
    assert stages.evaluate(EvaluateOptions(folder, split="test", output_dir=out)) == {}
    assert pathlib.Path(out, "SST-2.tsv").is_file()
    assert set(stages.evaluate(EvaluateOptions(folder, split="train"))) == {"train"}


def test_evaluate_by_name(save, sst_dir):
    scores = stages.evaluate(
        EvaluateOptions(save(), task_name="SST2", data_dir=sst_dir, eval_batch_size=7)
    )
    assert set(scores) == {"dev"}


def test_evaluate_keeps_the_order_of_the_labels(save, pairs_dir, out):
    folder = save(num_labels=3, task=KNOWN)
    scores = stages.evaluate(
        EvaluateOptions(folder, task_name="tsv", data_dir=pairs_dir, output_dir=out)
    )
    lines = pathlib.Path(out, "tsv.dev.tsv").read_text().splitlines()[1:]
    assert {line.split("\t")[1] for line in lines} <= set(KNOWN["labels"])
    gold = pathlib.Path(pairs_dir, "dev.tsv").read_text().splitlines()[1:]
    hits = [a.split("\t")[1] == b.split("\t")[1] for a, b in zip(lines, gold, strict=True)]
    assert scores["dev"]["eval_accuracy"] == pytest.approx(np.mean(hits))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "`task_name` is needed: '.*' does not say its task"),
        ({"task_name": "sst-2"}, "SST-2 needs `data_dir`"),
        ({"task_name": "sts-b"}, "'STS-B' needs .*num_labels=1, but the model in .*num_labels=2"),
        ({"task_name": "sst-2", "split": "devel"}, "has no split 'devel', expected one of"),
        ({"task_name": "rte", "max_seq_length": 0}, "`max_seq_length` must be .*3, received 0"),
        ({"task_name": "rte", "max_seq_length": -3}, "`max_seq_length` must be .*3, received -3"),
    ],
)
def test_errors_of_evaluate(save, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        stages.evaluate(EvaluateOptions(save(), **arguments))


@pytest.mark.parametrize("task", [{"name": "SST-2", "style": 1}, {"name": "SST-2", "labels": 5}])
def test_a_task_of_the_model_that_nobody_knows(task):
    with pytest.raises(ValueError, match="The task of the model must be one .* received {'name': "):
        model_task.find_task({"task": task})


@pytest.mark.parametrize(("asked", "known", "length"), [(None, 7, 7), (5, 7, 5), (None, None, 16)])
def test_longest_input(asked, known, length, bert_dir):
    """Asked for, else that of the training, else 128; the toy BERT has 16 positions."""
    info = {} if known is None else {"max_seq_length": known}
    assert model_task.longest(asked, info, bert_tf.load(bert_dir).config) == length
