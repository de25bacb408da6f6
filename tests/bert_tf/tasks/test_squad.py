"""SQuAD as a task, and the whole chain on it with a tiny BERT."""

import dataclasses
import json
import os
import pathlib
import random

import numpy as np
import pytest
import tensorflow as tf
from event_files import tags

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.diffs import applying
from bert_tf.methods.diffs import diff_stages as diff_stages
from bert_tf.methods.diffs.diff_options import DiffOptions
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.models.bert import BertModel
from bert_tf.runs import finetuning, run_scores
from bert_tf.runs.options import FinetuneOptions
from bert_tf.tasks import registry
from bert_tf.tasks.squad_examples import SquadExamples
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery
from flop_tf.backend import keras

ANSWERS = "red green blue black white".split()
FILLING = "the a film plot was and very so end cast".split()
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "which", "colour", "?", *ANSWERS, *FILLING]
SETTINGS = {"doc_stride": 4, "max_query_length": 3, "n_best_size": 5, "max_answer_length": 2}
NAME = {"name": "SQuAD", **SETTINGS}


def article(rng, number, num_questions=5):
    """Each paragraph has one colour, the answer, among other words; some need several windows."""
    paragraphs = []
    for i in range(num_questions):
        words = [rng.choice(FILLING) for _ in range(rng.randint(3, 20))]
        colour = rng.choice(ANSWERS)
        words.insert(rng.randint(0, len(words)), colour)
        context = " ".join(words)
        answers = [{"text": colour, "answer_start": f" {context} ".index(f" {colour} ")}]
        question = {"id": f"{number}-{i}", "question": "Which colour?", "answers": answers}
        paragraphs.append({"context": context, "qas": [question]})
    return {"title": f"Article {number}", "paragraphs": paragraphs}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squad")
    rng = random.Random(0)
    for split, numbers in (("train", range(40)), ("dev", range(40, 47))):
        examples = SquadExamples([article(rng, number) for number in numbers])
        examples.write(folder / f"{split}-v1.1.json")
    return str(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model directory of a tiny BERT that has learned nothing, with a classifier of two."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("bert")
    (folder / "words.txt").write_text("\n".join(VOCAB) + "\n", "utf-8")
    config = EncoderConfig(
        vocab_size=len(VOCAB),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=20,
        initializer_range=0.1,
    )
    model_dir.save(folder / "m", BertModel(config), Tokenizer(str(folder / "words.txt")))
    return str(folder / "m")


# The task


def test_get():
    task = registry.get("squad")
    assert task.to_dict() == {
        "name": "SQuAD",
        "doc_stride": 128,
        "max_query_length": 64,
        "n_best_size": 20,
        "max_answer_length": 30,
    }
    assert (task.default_seq_length, registry.get("rte").default_seq_length) == (384, 128)
    assert task.dev_splits == ("dev",) and task.primary_metric in task.metrics
    other = registry.get("SQuAD", **SETTINGS)
    assert other.to_dict() == NAME and registry.get(**other.to_dict()) == other != task


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_at_least_1(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, received 0"):
        registry.get("squad", **{name: 0})


def test_errors_of_the_task(data_dir, tmp_path):
    task = registry.get("squad")
    with pytest.raises(ValueError, match="SQuAD needs `data_dir`, the folder of its files"):
        task.read("", "dev")
    with pytest.raises(ValueError, match="'dev' from dev-v1.1.json, but the folder '.*' has no"):
        task.read(tmp_path, "dev")
    with pytest.raises(ValueError, match=r"SQuAD has no split 'test', expected one of \['train'"):
        task.read(data_dir, "test")
    with pytest.raises(ValueError, match="belong to the task 'tsv', received the task 'SQuAD'"):
        registry.get("squad", label_column="label")
    config = EncoderConfig(vocab_size=9)
    with pytest.raises(
        ValueError,
        match="Task 'SQuAD' needs head='span' and num_labels=2, but the model has head='classif.*; "
        "take one that was trained on this task",
    ):
        task.check_head(config, "the model")
    task.check_head(dataclasses.replace(config, head="span"), "the model")


def test_official_scores(tiny):
    """Four questions: one is right but for an article, one of F1 .8, one the second answer."""
    context = "the red film was so very blue"
    rows = [("red film", "the red film"), ("red film was",), ("blue", "very blue"), ("was",)]
    qas = [
        {
            "id": str(i),
            "question": "Which?",
            "answers": [{"text": t, "answer_start": context.index(t)} for t in texts],
        }
        for i, texts in enumerate(rows)
    ]
    examples = SquadExamples([{"title": "", "paragraphs": [{"context": context, "qas": qas}]}])
    task = registry.get("squad", max_query_length=3)
    encoded = task.encode(examples, bert_tf.load_tokenizer(tiny), 20)
    assert encoded.lengths.tolist() == [12] * 4
    logits = np.full([4, 2, 20], -1e9, np.float32)
    logits[:, :, :12] = 0
    # [CLS] which ? [SEP] the red ...: the paragraph begins at 4.
    for row, (start, end) in enumerate([(4, 6), (5, 6), (9, 10), (10, 10)]):
        logits[row, 0, start] = logits[row, 1, end] = np.log(9.0)
    scores = task.score(logits, encoded)
    assert scores["exact_match"] == pytest.approx(2 / 4)
    assert scores["f1"] == pytest.approx((1 + 0.8 + 1 + 0) / 4)
    # Probabilities are 9/20 for the marked token and 1/20 for the others.
    right = [1, 1, 1, 0]  # Of the first answer's start and end.
    expected = sum(r * np.log(20 / 9) + (2 - r) * np.log(20) for r in right) / 8
    assert scores["eval_loss"] == pytest.approx(expected)
    assert set(scores) == {"eval_loss", *task.metrics}


# The chain


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(tiny, data_dir, runs):
    """Returns a function that trains and returns the folder and the scores."""

    def run(name, **changes):
        settings = {
            "task_name": "squad",
            "data_dir": data_dir,
            "init_checkpoint": tiny,
            "output_dir": str(runs / name),
            "max_seq_length": 16,
            "train_batch_size": 16,
            "learning_rate": 5e-3,
            "num_train_epochs": 4.0,
            **SETTINGS,
            **changes,
        }
        return settings["output_dir"], finetuning.finetune(FinetuneOptions(**settings))

    return run


@pytest.fixture(scope="module")
def dense(run):
    return run("dense", holdout_examples=20)


@pytest.fixture(scope="module")
def factorized(dense, runs, data_dir):
    folder = str(runs / "factorized")
    stages.factorize(
        FactorizeOptions(dense[0], folder, finetuned=True, data_dir=data_dir, holdout_examples=20)
    )
    return folder


@pytest.fixture(scope="module")
def gated(run, factorized, dense):
    changes = {"target_sparsity": 0.5, "gate_order_examples": 160}
    return run("gated", init_checkpoint=factorized, teacher=dense[0], **changes)


def test_it_learns(dense, data_dir):
    folder, scores = dense
    assert list(scores) == ["holdout", "dev"] and scores["dev"]["f1"] > 0.8
    info = bert_tf.load_info(folder)
    assert info["task"] == NAME and info["max_seq_length"] == 16
    assert type(bert_tf.load(folder)) is BertModel
    lines = pathlib.Path(folder, run_scores.RESULTS_FILE).read_text().splitlines()
    found = dict(line.split(" = ") for line in lines)
    keys = {"eval_loss", "exact_match", "f1"}
    keys |= {f"holdout_{key}" for key in keys}
    assert set(found) == {"global_step", "loss", "train_time", "eval_time", *keys}
    assert float(found["f1"]) == pytest.approx(scores["dev"]["f1"], abs=1e-6)
    assert {"exact_match", "f1", "eval_loss", "holdout/f1"} <= set(tags(folder))


def test_articles_are_held_out_before_windows_are_cut(dense, data_dir, tiny):
    task = registry.get(**NAME)
    rest, held = task.holdout(task.read(data_dir, "train"), 20, seed=0)
    assert len(held) == 20 and len(rest) == 180
    names = [
        {question["id"].split("-")[0] for _, question in part.questions()} for part in (rest, held)
    ]
    assert not names[0] & names[1]
    tokenizer = bert_tf.load_tokenizer(tiny)
    windows = [len(task.encode(part, tokenizer, 16, training=True)) for part in (rest, held)]
    assert windows[0] > 180 and windows[1] > 20
    steps = 4 * -(-windows[0] // 16)
    checkpoint = tf.train.latest_checkpoint(os.path.join(dense[0], "checkpoints"))
    assert int(checkpoint.split("-")[-1]) == steps


def test_the_pooler_and_the_softmax_of_padding_stay(dense, tiny):
    before, after = (surgery.named_weights(bert_tf.load(path)) for path in (tiny, dense[0]))
    np.testing.assert_array_equal(before["encoder.pooler.kernel"], after["encoder.pooler.kernel"])
    assert "classifier.kernel" not in after and after["span.kernel"].shape == (16, 2)


def test_full_rank_is_the_dense_model(dense, factorized, tmp_path):
    info = bert_tf.load_info(factorized)
    assert (info["stage"], info["init"], info["task"]) == ("factorized", "whitened", NAME)
    scores = stages.evaluate(EvaluateOptions(factorized, output_dir=str(tmp_path)))["dev"]
    assert scores == pytest.approx(dense[1]["dev"], abs=1e-4)


def test_pruned_and_compact(gated, runs, data_dir):
    folder, scores = gated
    assert bert_tf.load_info(folder)["stored_sparsity"] >= 0.5 and scores["dev"]["f1"] > 0.6
    compact = str(runs / "compact")
    assert stages.remove_mask(RemoveOptions(folder, compact)) < 1e-4
    assert bert_tf.load_info(compact)["task"] == NAME
    assert stages.evaluate(EvaluateOptions(compact))["dev"] == pytest.approx(
        scores["dev"], abs=1e-4
    )


def test_a_sparse_difference(tiny, data_dir, tmp_path):
    options = DiffOptions(
        task_name="squad",
        data_dir=data_dir,
        init_checkpoint=tiny,
        output_dir=str(tmp_path),
        max_seq_length=16,
        length_buckets="16",
        learning_rate=5e-3,
        num_train_epochs=1.0,
        finetune_learning_rate=5e-3,
        finetune_epochs=1.0,
        target_density=0.1,
        **SETTINGS,
    )
    folders = [diff_stages.folder_of(str(tmp_path), s, options) for s in diff_stages.STAGES]
    for stage, folder in zip(diff_stages.STAGES, folders, strict=True):
        scores = diff_stages.run(stage, options, folder)
    merged = str(tmp_path / "merged")
    applying.apply(folders[-1], tiny, merged)
    assert applying.inspect(folders[-1])["density"] <= 0.1
    assert bert_tf.load_info(merged)["task"] == NAME
    assert stages.evaluate(EvaluateOptions(merged))["dev"] == pytest.approx(scores["dev"], abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 9, 64])
def test_predictions(dense, data_dir, tmp_path, batch_size):
    """The last batch is short with 9 windows each, and there is only one with 64."""
    folder, scores = dense
    out = str(tmp_path / "out")
    found = stages.evaluate(EvaluateOptions(folder, output_dir=out, eval_batch_size=batch_size))
    assert found["dev"] == pytest.approx(scores["dev"], abs=1e-5)
    assert sorted(os.listdir(out)) == ["nbest_predictions.json", "predictions.json", "scores.json"]
    best, n_best = (
        json.loads(pathlib.Path(out, name).read_text())
        for name in ("predictions.json", "nbest_predictions.json")
    )
    task = registry.get(**NAME)
    asked = [question for _, question in task.read(data_dir, "dev").questions()]
    assert list(best) == list(n_best) == [question["id"] for question in asked]
    hits = [best[question["id"]] == question["answers"][0]["text"] for question in asked]
    assert np.mean(hits) == pytest.approx(scores["dev"]["exact_match"])
    for name, entries in n_best.items():
        assert best[name] == entries[0]["text"] and len(entries) <= 5
        assert all(len(entry["text"].split()) <= 2 for entry in entries)


def test_fisher(dense, data_dir, tmp_path, tiny):
    out = str(tmp_path / "out")
    stages.factorize(
        FactorizeOptions(
            dense[0],
            out,
            finetuned=True,
            data_dir=data_dir,
            init="fisher",
            rank=5,
            calibration_batches=2,
        )
    )
    assert bert_tf.load_info(out)["init"] == "fisher"
    assert stages.evaluate(EvaluateOptions(out))["dev"]["f1"] > 0.2
    with pytest.raises(ValueError, match="'SQuAD' needs head='span' .*, but the checkpoint for"):
        options = FactorizeOptions(
            tiny, out, data_dir=data_dir, task_name="squad", init="fisher", max_seq_length=20
        )
        stages.factorize(options)


def test_a_teacher_of_classes(run, tiny):
    with pytest.raises(ValueError, match="'SQuAD' needs head='span' .*, but the teacher '.*' has"):
        run("taught", teacher=tiny)


def test_a_window_that_holds_no_question(run):
    with pytest.raises(ValueError, match="`max_seq_length` must be at least 68, to hold questions"):
        run("short", max_query_length=64)


def test_windows_of_384_are_the_default(run):
    with pytest.raises(ValueError, match="must be at most 20, the positions .*, received 384"):
        run("long", max_seq_length=None)


def test_no_test_set(run):
    with pytest.raises(ValueError, match="Task SQuAD has no split 'test'"):
        run("predict", do_predict=True)
