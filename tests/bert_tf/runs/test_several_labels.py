"""Several labels an example, from training to the answers of a server."""

import importlib.util
import json
import os
import pathlib
import random

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  Its operations are in the graph.

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.compress.dev_answers import DevAnswers
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions
from bert_tf.runs import evaluation, finetuning
from bert_tf.serving import hugging_face_export, services, versions
from bert_tf.serving.servable import ServedTask
from bert_tf.tasks import registry

pytest.importorskip("tensorflow_serving", reason="The extra `export` is not installed.")

WORDS = {"good": "praise", "dull": "blame", "film": "cinema"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Each of three words says a label; a test file has none."""
    folder, rng = tmp_path_factory.mktemp("labels"), random.Random(0)
    for split, size in (("train", 203), ("dev", 67), ("test", 5)):
        lines = ["text\ttags"]
        for _ in range(size):
            words = [word for word in WORDS if rng.random() < 0.4]
            text = " ".join(rng.sample([*words, "the", "was", "so"], len(words) + 3))
            lines.append(f"{text}\t{', '.join(WORDS[word] for word in words)}")
        if split == "test":
            lines = [line.split("\t")[0] for line in lines]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return str(folder)


@pytest.fixture
def train(options, data_dir):
    def train(**changes):
        settings = {"task_name": "tsv", "data_dir": data_dir, "text_columns": "text"}
        settings |= {"label_column": "tags", "label_type": "labels", **changes}
        made = options(**settings)
        return made.output_dir, finetuning.finetune(made)

    return train


@pytest.mark.filterwarnings("ignore:.*HDF5")
def test_from_training_to_a_server(train, data_dir, tmp_path, export):
    folder, scores = train(do_predict=True, num_train_epochs=9)
    assert scores["dev"]["f1_micro"] > 0.85
    info = model_dir.load_info(folder)
    assert info["task"]["labels"] == ["blame", "cinema", "praise"]
    assert len(info["task"]["label_thresholds"]) == 3
    assert model_dir.load(folder).config.head == "labels"
    task = registry.from_dict(info["task"])

    # The stored thresholds give the scores of the run again, and the predictions of the test file.
    again = stages.evaluate(EvaluateOptions(folder, output_dir=str(tmp_path / "scores")))
    assert again["dev"] == pytest.approx(scores["dev"], rel=1e-5)
    predicted = (tmp_path / "out" / "predictions.tsv").read_text().splitlines()
    examples = task.read(data_dir, "test")
    right = [
        ",".join(sorted(WORDS[word] for word in set(text.split()) & WORDS.keys()))
        for text in examples.texts_a
    ]
    found = [line.split("\t")[1] for line in predicted[1:]]
    assert len(found) == 5 and sum(a == b for a, b in zip(found, right, strict=True)) >= 4

    # A student learns from it, and compares its answers with the teacher's.
    student, _ = train(
        output_dir=str(tmp_path / "student"), teacher=folder, distill_alpha=1.0, num_train_epochs=1
    )
    answers = DevAnswers(task, data_dir, 11, 16, folder)
    report = answers.of(student)
    stored = model_dir.load_info(student)["scores"]["dev"]
    assert report["scores"] == pytest.approx(stored, rel=1e-5)
    assert [row["label"] for row in report["classes"]] == list(task.labels)
    assert all(one["dense"] != one["model"] for one in report["different"]["examples"])
    assert answers.of(folder)["different"]["number"] == 0

    # The export decides as the model does, in both of its formats.
    exported = export(
        folder, str(tmp_path / "served"), data_dir=data_dir, format_names=["saved_model"]
    )
    kept = exported["formats"]["saved_model"]
    assert kept["flips"] == 0.0 and exported["scores"] == pytest.approx(scores["dev"], rel=1e-4)
    served = tf.saved_model.load(str(tmp_path / "served" / "1"))
    texts = ["the good film", "so so", ""]
    given = served.signatures["text"](text=tf.constant(texts))
    assert set(given) == {"logits", "probabilities", "labels"}
    assert given["labels"].numpy()[0].decode() == "cinema, praise"
    assets = tmp_path / "served" / "1" / "assets"
    assert (assets / "labels.txt").read_text() == "blame\ncinema\npraise\n"
    thresholds = list(map(float, (assets / "thresholds.txt").read_text().split()))
    assert thresholds == info["task"]["label_thresholds"]

    # A folder of Hugging Face says the problem, and comes back as it was.
    version = versions.Version(str(tmp_path / "hub"), command_flags="same")
    report = hugging_face_export.export(folder, version, ServedTask(data_dir=data_dir))
    about = json.loads((tmp_path / "hub" / "1" / "config.json").read_text())
    assert about["problem_type"] == "multi_label_classification"
    card = (tmp_path / "hub" / "1" / "README.md").read_text()
    assert "those hold whose probabilities are at least 0." in card
    source = read_source(str(tmp_path / "hub" / "1"))
    assert task.with_head(source, "it").labels == task.labels


def test_several_numbers(train, tmp_path):
    folder = tmp_path / "numbers"
    folder.mkdir()
    for split, size in (("train", 100), ("dev", 33)):
        rng = random.Random(size)
        lines = ["text\tgood\tbad"]
        for _ in range(size):
            words = rng.choices(["good", "bad", "the"], k=6)
            lines.append(f"{' '.join(words)}\t{words.count('good')}\t{words.count('bad')}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    columns = {"data_dir": str(folder), "label_column": "good,bad", "label_type": "number"}
    output_dir, scores = train(**columns)
    assert scores["dev"]["pearson"] > 0.5
    mean = (scores["dev"]["good/pearson"] + scores["dev"]["bad/pearson"]) / 2
    assert scores["dev"]["pearson"] == pytest.approx(mean, abs=1e-6)
    assert model_dir.load(output_dir).config.head == "numbers"
    source = model_dir.read(output_dir)
    task = registry.from_dict(source.info["task"])
    assert task.labels == ("good", "bad")
    service = services.get(task, source.tokenizer(), 11)
    logits = source.model()(service.features({"text": tf.constant(["good good", "bad"])}))
    given = service.answers(service.outputs(logits))
    assert set(given) == {"scores"} and given["scores"].shape == (2, 2)
    assert given["scores"][0, 0] > given["scores"][1, 0]


def test_held_out_examples_choose_the_thresholds(train, data_dir):
    folder, scores = train(holdout_examples=40, num_train_epochs=1)
    info = model_dir.load_info(folder)
    task, source = registry.from_dict(info["task"]), model_dir.read(folder)
    untuned = registry.from_dict({k: v for k, v in info["task"].items() if k != "label_thresholds"})
    examples = {"dev": task.read(data_dir, "dev")}
    _, examples["holdout"] = task.holdout(task.read(data_dir, "train"), 40, 0)
    tokenizer, model = source.tokenizer(), source.model()
    for split, part in examples.items():
        encoded = task.encode(part, tokenizer, 11)
        logits = evaluation.predict(model, encoded, 16)
        found = untuned.tuned(logits, encoded)
        same = np.allclose(found.thresholds, task.thresholds, atol=1e-5)
        assert same == (split == "holdout")
    assert os.path.isfile(os.path.join(folder, "eval_results.txt")) and scores.keys() == {
        "holdout", "dev"
    }  # fmt: skip


def test_the_server_without_tensorflow_names_the_labels():
    path = pathlib.Path(__file__).parents[3] / "examples" / "onnx_serving.py"
    spec = importlib.util.spec_from_file_location("onnx_serving", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    model = object.__new__(program.Model)
    model.labels, model.thresholds = ["a", "b", "c"], ["0.5", "0.2", "0.9"]
    answer = {"logits": [0.0, 0.0, 0.0], "probabilities": [0.5, 0.3, 0.8]}
    assert model._named(answer) == {"labels": "a, b"}
    model.thresholds = None
    assert model._named({"logits": [0.0, 2.0, 1.0]}) == {"label": "b"}
    assert model._named({"scores": [0.0, 2.0, 1.0]}) == {}
