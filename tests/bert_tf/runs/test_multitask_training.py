"""Two toy tasks in one encoder, each with a mask of its own, and one of them alone again."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.encoder import TASK
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, RemoveOptions
from bert_tf.methods.tickets import sharing
from bert_tf.models.bert import BertModel
from bert_tf.runs import callbacks, finetuning, optimization, options, run_scores
from bert_tf.runs.run_data import RunData
from bert_tf.surgery import masks, task_masks
from bert_tf.tasks import model_task, registry
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery

MASKS = {
    "SST-2": {"blocks.0.heads": np.array([True, False])},
    "tsv": {"blocks.0.heads": np.array([False, True]), "blocks.0.ffn": np.array([False])},
}
# Checkpoints are no ends of epochs, of 24 steps.
TRAINED = {"do_predict": True, "holdout_examples": 40, "save_checkpoints_steps": 20}


@pytest.fixture(scope="module")
def glue_dir(sst_dir, pairs_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").symlink_to(sst_dir)
    (folder / "tsv").symlink_to(pairs_dir)
    return str(folder)


@pytest.fixture(scope="module")
def shared(bert_dir, tmp_path_factory):
    """The folder of the tickets of both tasks."""
    folder = tmp_path_factory.mktemp("tickets")
    config, parts = read_source(bert_dir).config, []
    for name, mask in MASKS.items():
        masks.save(str(folder / name), config, mask, "super: winning")
        parts.append(f"{name}={folder / name}")
    sharing.share(",".join(parts), str(folder / "shared"))
    return folder / "shared"


@pytest.fixture(scope="module")
def base(bert_dir, glue_dir, shared):
    return {
        "tasks": "sst-2,tsv",
        "glue_dir": glue_dir,
        "task_masks": ",".join(f"{n}={shared}/masks/{n}.safetensors" for n in MASKS),
        "init_checkpoint": bert_dir,
        "text_columns": "first,second",
        "label_column": "score",
        "label_type": "number",
        "max_seq_length": 15,
        "length_buckets": "15",
        "train_batch_size": 16,
        "learning_rate": 3e-3,
        "num_train_epochs": 4.0,
    }


@pytest.fixture(scope="module")
def run(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def run(name, **changes):
        settings = {**base, "output_dir": str(folder / name), **changes}
        return settings["output_dir"], finetuning.finetune(options.FinetuneOptions(**settings))

    return run


@pytest.fixture(scope="module")
def trained(run):
    return run("trained", **TRAINED)


def test_both_tasks_are_learned(trained, glue_dir):
    path, scores = trained
    assert list(scores) == ["holdout", "dev"]
    assert scores["dev"]["SST-2/eval_accuracy"] > 0.8 and scores["dev"]["tsv/pearson"] > 0.5
    own = scores["dev"]["SST-2/eval_accuracy"], scores["dev"]["tsv/pearson"]
    assert scores["dev"]["mean"] == pytest.approx(np.mean(own))
    info = bert_tf.load_info(path)
    assert info["task"]["name"] == "multitask" and info["data_dir"] == glue_dir
    assert info["stage"] == "gated" and registry.get(**info["task"]).names == ("SST-2", "tsv")
    lines = pathlib.Path(path, run_scores.RESULTS_FILE).read_text().splitlines()
    found = dict(line.split(" = ") for line in lines)
    assert {"mean", "SST-2/f1_score", "tsv/pearson", "holdout_mean"} <= set(found)
    assert {"SST-2.tsv", "predictions.tsv"} <= set(os.listdir(path))


def test_evaluation_scores_every_task(trained, tmp_path):
    scores = stages.evaluate(EvaluateOptions(trained[0], output_dir=str(tmp_path)))
    assert scores["dev"] == pytest.approx(trained[1]["dev"], abs=1e-5)
    assert {"SST-2.dev.tsv", "tsv.dev.tsv"} <= set(os.listdir(tmp_path))


@pytest.mark.parametrize(("name", "index", "outputs"), [("sst2", 0, [0, 1]), ("tsv", 1, [2])])
def test_one_task_is_cut_out(trained, tmp_path, name, index, outputs):
    folder = str(tmp_path / name)
    assert sharing.cut(trained[0], name, folder) < 1e-5
    whole, model = bert_tf.load(trained[0]), bert_tf.load(folder)
    assert not model.gates and model.config.num_labels == len(outputs)
    assert model.config.layers[0].num_heads == 1
    assert model.config.layers[0].has_ffn == (index == 0)
    for features in model_task.random_features(model.config, 13, num_batches=2):
        task = np.full(8, index, np.int32)
        expected = whole({**features, TASK: task}, training=False).numpy()[:, outputs]
        np.testing.assert_allclose(model(features, training=False), expected, atol=1e-5)
    info = bert_tf.load_info(folder)
    assert info["stage"] == "compact" and "tasks" not in info["task"]
    scores = stages.evaluate(EvaluateOptions(folder))
    assert scores["dev"] == pytest.approx(info["scores"]["dev"], abs=1e-5)
    prefix = f"{info['task']['name']}/"
    theirs = {k: v for k, v in trained[1]["dev"].items() if k.startswith(prefix)}
    assert {f"{prefix}{k}": v for k, v in scores["dev"].items()} == pytest.approx(theirs, abs=1e-5)


def test_a_resumed_run_is_an_unbroken_one(run, trained, monkeypatch):
    original = callbacks.write_survivors

    def interrupted(writer, step, model):
        if step == 60:
            raise KeyboardInterrupt
        original(writer, step, model)

    monkeypatch.setattr(callbacks, "write_survivors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("broken", **TRAINED)
    monkeypatch.setattr(callbacks, "write_survivors", original)
    path, scores = run("broken", **TRAINED)
    assert scores == trained[1]
    first, second = (tf.train.load_checkpoint(f"{p}/checkpoints") for p in (trained[0], path))
    for name in first.get_variable_to_shape_map():
        if name.startswith(("model/", "optimizer/")):
            np.testing.assert_allclose(
                first.get_tensor(name), second.get_tensor(name), atol=1e-6, err_msg=name
            )


def test_masked_weights_do_not_move(base, bert_dir, vocab_file, tmp_path):
    """In the batches of a task: those of its masks and the outputs of the other one."""
    settings = options.FinetuneOptions(
        **{**base, "data_dir": base["glue_dir"], "output_dir": "o", "weight_decay": 0.1}
    )
    source = read_source(bert_dir)
    columns = {name: base[name] for name in ("text_columns", "label_column", "label_type")}
    task = registry.get_several(base["tasks"], data_dir=base["glue_dir"], **columns)
    source = task_masks.with_masks(source, list(MASKS.values()))
    model = source.model(**task.head)
    optimization.compile_model(settings, model, task.loss(), 1000)
    batches = iter(RunData(settings, task, Tokenizer(vocab_file)).train_batches(0))
    step = tf.function(model.train_step)
    seen = []
    for features, labels, weights in batches:
        index = int(features[TASK][0])
        before = surgery.named_weights(model)
        step((features, labels, weights))
        after = surgery.named_weights(model)
        moved = {path: after[path] != before[path] for path in before}
        masked = slice(16, 32) if index == 0 else slice(0, 16)
        for name in ("query", "key", "value"):
            kernel = moved[f"encoder.blocks.0.{name}.kernel"]
            assert not kernel[:, masked].any()
            assert not moved[f"encoder.blocks.0.{name}.bias"][masked].any()
            kept = slice(0, 16) if index == 0 else slice(16, 32)
            assert kernel[:, kept].mean() > 0.9 or not seen
        assert not moved["encoder.blocks.0.attention_output.kernel"][masked].any()
        for name in ("ffn_in", "ffn_out"):
            assert moved[f"encoder.blocks.0.{name}.kernel"].any() == (index == 0 and bool(seen))
        others = [2] if index == 0 else [0, 1]
        assert not moved["classifier.kernel"][:, others].any()
        assert not moved["classifier.bias"][others].any()
        assert not any(m.any() for path, m in moved.items() if path.endswith("_gate.values"))
        seen.append(index)
        if len(seen) >= 8 and np.abs(np.diff(seen)).sum() >= 3:
            break
    assert set(seen) == {0, 1}


def test_plain_training_with_replicas_and_accumulation(run, base, two_devices):
    """Two ways to the same numbers, without masks."""
    settings = {
        "task_masks": "",
        "num_train_epochs": 0.3,
        "train_examples": 50,
        "learning_rate": 3e-4,  # Adam makes steps of noise where a gradient is almost zero.
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    path, _ = run("parts", gradient_accumulation_steps=2, **settings)
    whole = {**base, **settings, "output_dir": f"{path}_replicas"}
    finetuning.finetune(options.FinetuneOptions(**whole), two_devices)
    ours, theirs = (surgery.named_weights(bert_tf.load(p)) for p in (path, f"{path}_replicas"))
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], atol=2e-5, err_msg=name)
    assert bert_tf.load_info(path)["stage"] == "dense"


def test_what_does_not_fit_is_said_at_once(run, trained, bert_dir, vocab_file, sst_dir, tmp_path):
    with pytest.raises(ValueError, match="needs a model without masks of tasks, but the checkpoin"):
        run(
            "single",
            tasks="",
            glue_dir="",
            task_masks="",
            task_name="sst-2",
            data_dir=sst_dir,
            text_columns="",
            label_column="",
            label_type="class",
            init_checkpoint=trained[0],
        )
    with pytest.raises(ValueError, match="Unknown task 'RTE', expected one of those trained toget"):
        run("unknown", task_masks="RTE=p")
    other = BertModel(bert_tf.EncoderConfig(22, 16, 1, 4, 24, max_position_embeddings=16))
    model_dir.save(tmp_path / "other", other, Tokenizer(vocab_file))
    with pytest.raises(ValueError, match="has masks of another model"):
        run("other", init_checkpoint=str(tmp_path / "other"))


def test_what_cannot_be_cut(trained, bert_dir, tmp_path):
    with pytest.raises(ValueError, match="Unknown task 'RTE', expected one of those trained toget"):
        sharing.cut(trained[0], "RTE", str(tmp_path / "out"))
    with pytest.raises(
        ValueError, match="must be one of several tasks, .*, received one of 'no ta"
    ):
        sharing.cut(bert_dir, "RTE", str(tmp_path / "out"))
    with pytest.raises(ValueError, match="has a mask for each of 2 tasks; cut it to one of them"):
        stages.remove_mask(RemoveOptions(trained[0], str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_a_model_that_says_less_of_itself(bert_dir, glue_dir, tmp_path):
    """As after the removal of gates: no scores, no step."""
    source, task = read_source(bert_dir), registry.get_several("SST-2,CoLA")
    model = source.model(**task.head)
    tokenizer = model_dir.load_tokenizer(bert_dir)
    model_dir.save(tmp_path / "all", model, tokenizer, task=task.to_dict(), data_dir=glue_dir)
    assert sharing.cut(str(tmp_path / "all"), "CoLA", str(tmp_path / "one")) < 1e-5
    info = bert_tf.load_info(tmp_path / "one")
    assert info["stage"] == "dense" and "scores" not in info
    assert info["data_dir"] == os.path.join(glue_dir, "CoLA")


def test_the_command_says_which_masks(shared):
    data = json.loads((shared / sharing.SHARED_FILE).read_text())
    assert data["removed"] == {"SST-2": {"heads": 1, "ffn": 0}, "tsv": {"heads": 1, "ffn": 1}}
    assert data["mean_removed"] == {"heads": 1, "ffn": 0}
    text = sharing.command(data, str(shared))
    assert " '--task_masks=SST-2=/with blank/" in sharing.command(data, "/with blank")
    assert text.startswith("flop-finetune --tasks=SST-2,tsv --task_masks=SST-2=/")
    assert (
        "masks/tsv.safetensors --glue_dir=GLUE --init_checkpoint=BERT --output_dir=OUTPUT" in text
    )
