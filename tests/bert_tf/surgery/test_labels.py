"""The order of labels of a classifier from elsewhere, through every stage."""

import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.diffs import applying
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions
from bert_tf.runs import finetuning
from bert_tf.tasks import registry
from flop_tf import files

NAMES = ("warm", "dull", "great")
COLUMNS = {"text_columns": "text", "label_column": "label"}
TEXTS = ["good", "a film", "bad bad", "the plot was cold", "end", "so lovely", "very", "cast and"]


@pytest.fixture
def theirs(hugging_face_folder):
    return str(hugging_face_folder(id2label=dict(enumerate(NAMES))))


@pytest.fixture
def answers(theirs):
    """Their own labels of `TEXTS`, without anything that knows an order of labels."""
    source = read_source(theirs)
    encoded = source.tokenizer().encode(TEXTS)
    features = {
        "input_word_ids": encoded.ids.to_tensor(),
        "input_mask": tf.ones_like(encoded.ids).to_tensor(),
        "input_type_ids": encoded.segments.to_tensor(),
    }
    logits = source.model()(features, training=False).numpy()
    found = [NAMES[i] for i in logits.argmax(-1)]
    assert set(found) == set(NAMES)
    return found


@pytest.fixture
def data_dir(answers, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [f"{text}\t{label}" for text, label in zip(TEXTS, answers, strict=True)]
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return str(folder)


@pytest.fixture
def factorized(theirs, data_dir, tmp_path):
    folder = str(tmp_path / "factorized")
    data = {"task_name": "tsv", "data_dir": data_dir, **COLUMNS}
    stages.factorize(FactorizeOptions(theirs, folder, finetuned=True, **data))
    return folder


def accuracy(scores):
    return scores["dev"]["eval_accuracy"]


def test_factorized_and_evaluated(factorized):
    assert model_dir.load_info(factorized)["task"]["labels"] == sorted(NAMES)
    assert accuracy(stages.evaluate(EvaluateOptions(factorized))) == 1


def test_exported(export, factorized, answers, tmp_path):
    export(factorized, str(tmp_path / "e"), max_seq_length=16)
    assert (tmp_path / "e/1/assets/labels.txt").read_text().split() == sorted(NAMES)
    text = tf.saved_model.load(str(tmp_path / "e/1")).signatures["text"]
    served = text(text=tf.constant(TEXTS))["label"].numpy()
    assert [label.decode() for label in served] == answers


def test_labels_outlive_a_stage_without_a_task(theirs, data_dir, options, tmp_path):
    stages.factorize(FactorizeOptions(theirs, str(tmp_path / "f"), finetuned=True))
    assert model_dir.load_info(str(tmp_path / "f"))["labels"] == list(NAMES)
    assert read_source(str(tmp_path / "f")).labels == NAMES
    settings = {"data_dir": data_dir, "task_name": "tsv", "do_train": False, **COLUMNS}
    for number, start in enumerate((theirs, str(tmp_path / "f"))):
        out = str(tmp_path / f"scored{number}")
        changes = {**settings, "init_checkpoint": start, "output_dir": out}
        assert accuracy(finetuning.finetune(options(**changes))) == 1
        assert accuracy(stages.evaluate(EvaluateOptions(out))) == 1


def test_a_teacher_answers_in_the_order_of_the_task(
    theirs, factorized, data_dir, options, tmp_path
):
    """It knows its classes better than any student that starts anew."""
    teacher = str(tmp_path / "teacher")
    stages.factorize(FactorizeOptions(theirs, teacher, finetuned=True))
    run = finetuning.Run(
        options(
            task_name="tsv",
            data_dir=data_dir,
            init_checkpoint=factorized,
            teacher=teacher,
            **COLUMNS,
        ),
        tf.distribute.get_strategy(),
    )
    truth = np.array([sorted(NAMES).index(name) for name in read_labels(data_dir)])
    np.testing.assert_array_equal(run.data.teacher_logits.argmax(-1), truth)


def read_labels(data_dir):
    rows = pathlib.Path(data_dir, "train.tsv").read_text().splitlines()[1:]
    return [row.split("\t")[1] for row in rows]


@pytest.mark.parametrize("trained", [True, False])
def test_other_labels(theirs, sst_dir, data_dir, options, tmp_path, caplog, trained):
    rows = pathlib.Path(data_dir, "train.tsv").read_text().replace("\tdull", "\tcold")
    for split in ("train", "dev"):
        pathlib.Path(data_dir, f"{split}.tsv").write_text(rows)
    sentence = r"has the labels \['cold', 'great', 'warm'\], but the checkpoint .* \['warm', 'dull'"
    settings = {"task_name": "tsv", "data_dir": data_dir, "init_checkpoint": theirs, **COLUMNS}
    if trained:
        caplog.set_level("INFO", logger="absl")
        finetuning.Run(options(**settings), tf.distribute.get_strategy())
        assert "The task head starts anew. Task 'tsv' has the labels" in caplog.text
    else:
        with pytest.raises(ValueError, match=sentence):
            finetuning.finetune(options(**settings, do_train=False))
        with pytest.raises(ValueError, match=sentence):
            stages.factorize(
                FactorizeOptions(
                    theirs,
                    str(tmp_path / "f"),
                    finetuned=True,
                    task_name="tsv",
                    data_dir=data_dir,
                    **COLUMNS,
                )
            )


def test_no_head_is_neither_scored_nor_carried_over(theirs, data_dir, options, tmp_path):
    arrays = safetensors.numpy.load_file(pathlib.Path(theirs, "model.safetensors"))
    bare = {name: array for name, array in arrays.items() if not name.startswith("classifier")}
    safetensors.numpy.save_file(bare, pathlib.Path(theirs, "model.safetensors"))
    settings = {"task_name": "tsv", "data_dir": data_dir, "init_checkpoint": theirs, **COLUMNS}
    with pytest.raises(ValueError, match="`do_train=false` .* has no task head; take one that was"):
        finetuning.finetune(options(**settings, do_train=False))
    with pytest.raises(ValueError, match="Argument `finetuned` carries .* has none; leave it out"):
        stages.factorize(FactorizeOptions(theirs, str(tmp_path / "f"), finetuned=True))


def test_a_model_of_another_task_is_not_scored(factorized, sst_dir):
    info = json.loads(pathlib.Path(factorized, "info.json").read_text())
    del info["task"]
    info["labels"] = ["x", "y", "z"]
    files.write_json(str(pathlib.Path(factorized, "info.json")), info)
    with pytest.raises(ValueError, match="Task 'MNLI' has the labels .* but the model in .* .'x'"):
        stages.evaluate(EvaluateOptions(factorized, task_name="mnli", data_dir=sst_dir))


def test_a_difference_has_the_labels_of_its_task(bert_dir, diff_dirs, tmp_path):
    out = str(tmp_path / "applied")
    applying.apply(diff_dirs["mnli"], bert_dir, out)
    assert read_source(out).labels == registry.get("mnli").labels
