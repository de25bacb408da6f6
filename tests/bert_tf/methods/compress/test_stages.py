"""From a checkpoint to a family of smaller models."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.latency import LatencyTable
from bert_tf.methods.compress import stages
from bert_tf.methods.compress.compress_options import CompressOptions
from bert_tf.methods.compress.engine_cost import EngineCost
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.runs import finetuning
from bert_tf.surgery import units
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec


@pytest.fixture(scope="module")
def settings(bert_dir, sst_dir, table_file):
    return {
        "task_name": "sst-2",
        "data_dir": sst_dir,
        "init_checkpoint": bert_dir,
        "max_seq_length": 11,
        "train_batch_size": 16,
        "length_buckets": "11",
        "learning_rate": 3e-3,
        "calibration_examples": 128,
        "engine": "onnxruntime",
        "dense_engines": "same",
        "optimize_for": "8x16",
        "latency_table": table_file("onnxruntime"),
        "cost": "parameters",
        "targets": ".8",
        "num_train_epochs": 3.0,
        "recovery_learning_rate": 1e-3,
    }


def test_a_family(settings, tmp_path):
    settings = {**settings, "targets": "0.8,.6"}
    options = CompressOptions(**settings, output_dir=str(tmp_path))
    report = stages.compress(options)
    dense, *smaller = report["models"]
    assert [row["model"] for row in report["models"]] == ["dense", "0.8", "0.6"]
    for target, row in zip((0.8, 0.6), smaller, strict=True):
        config = model_dir.read(row["folder"]).config
        assert row["parameters"] == model_info.num_parameters(config)
        assert row["parameters"] <= target * dense["parameters"]
        assert row["heads"] == [layer.num_heads for layer in config.layers]
        # A toy task that a smaller model learns as well.
        assert row["score"] > dense["score"] - 0.1
        assert row["exported_score"] == pytest.approx(row["score"], abs=0.02)
        assert row["p50_ms"] > 0
        cut = json.loads((tmp_path / row["model"] / "cut" / "info.json").read_text())
        assert cut["target"] == row["target"] == row["model"]
    # The second is cut from the first.
    parents = [config_of(tmp_path / name / "cut") for name in ("0.8", "0.6")]
    assert parents[1].layers[0].intermediate_size <= parents[0].layers[0].intermediate_size
    assert "| 0.6 " in (tmp_path / "compress.md").read_text()
    page = (tmp_path / "compress.html").read_text()
    assert "Network: 2 of 2 heads, 48 of 48 neurons" in page and "onnx_serving.py" in page
    assert report["answers"].keys() == {"dense", "0.8", "0.6"}
    for row in report["models"]:
        answers = report["answers"][row["model"]]
        assert answers["scores"]["eval_accuracy"] == row["score"]
        assert sum(one["examples"] for one in answers["classes"]) == 67
        assert pathlib.Path(row["path"]).is_file() and row["flips"] <= 0.02
    # What is done is not done again.
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    (tmp_path / "compress.html").unlink()
    assert stages.compress(options) == report
    assert (tmp_path / "compress.html").read_text() == page
    assert {path: path.stat().st_mtime_ns for path in written} == written


def config_of(folder):
    return model_dir.read(str(folder)).config


def test_without_training_from_a_model_of_the_task(settings, options, tmp_path):
    dense = str(tmp_path / "dense")
    finetuning.finetune(options(output_dir=dense, num_train_epochs=4.0))
    settings = {**settings, "init_checkpoint": dense, "train": "none", "targets": ".9"}
    settings |= {"cost": "latency", "baselines": f"{dense}/"}
    settings |= {"max_seq_length": 8, "length_buckets": "8"}
    output = tmp_path / "out"
    report = stages.compress(CompressOptions(**settings, output_dir=str(output)))
    own, baseline, row = report["models"]
    assert [own["model"], baseline["model"]] == ["dense", dense]
    assert baseline["score"] == own["score"]
    assert row["model"] == "0.9" and row["before_recovery"] == pytest.approx(row["score"])
    folders = [output / "0.9", *(output / "0.9" / f"pruned_on_{number}" for number in (1, 2))]
    made = [folder for folder in folders if folder.exists()]
    assert row["folder"] == str(made[-1] / "cut")
    # So small a model may take longer than its target whatever is removed.
    assert row["ratio"] <= 0.9 * 1.03 or made == folders
    sizes = [model_info.num_parameters(config_of(folder / "cut")) for folder in made]
    assert sizes == sorted(sizes, reverse=True)
    assert not pathlib.Path(output, "0.9", "model").exists()
    # Exports have the length by which models are scored, not the one of their training.
    for row in report["models"]:
        exported = pathlib.Path(row["path"]).parent / "assets.extra" / "export.json"
        assert json.loads(exported.read_text())["max_seq_length"] == 8


def test_units_that_gates_choose(settings, options, tmp_path):
    dense, output = str(tmp_path / "dense"), tmp_path / "out"
    finetuning.finetune(options(output_dir=dense, num_train_epochs=1.0))
    settings = {**settings, "init_checkpoint": dense, "targets": "1,.9", "cost": "latency"}
    settings |= {"gate_epochs": 1.0, "groups": "sublayers,neurons", "train": "none"}
    options = CompressOptions(**settings, output_dir=str(output))
    report = stages.compress(options)
    _, whole, row = report["models"]
    assert not (output / "1" / "gated").exists() and whole["heads"] == [2]
    gated, chosen = (model_dir.read(str(output / "0.9" / name)) for name in ("gated", "chosen"))
    kinds = {kind for layer in gated.config.layers for kind in layer.gates}
    assert kinds == {"attention", "feed_forward", "neurons"}
    assert not chosen.config.has_gates
    assert chosen.info["repair"] and chosen.info["target"] == "0.9"
    table = LatencyTable.load(settings["latency_table"])
    seconds = [table.predict(one) for one in (chosen.config, config_of(dense))]
    assert seconds[0] <= 0.9 * seconds[1] * (1 + 1e-6)
    assert model_info.num_parameters(chosen.config) >= row["parameters"]
    # What is trained is not trained again.
    written = (output / "0.9" / "gated" / "model.safetensors").stat().st_mtime_ns
    for made in (output / "0.9").iterdir():
        if made.name != "gated":
            shutil.rmtree(made)
    assert stages.compress(options)["models"][2]["model"] == "0.9"
    assert (output / "0.9" / "gated" / "model.safetensors").stat().st_mtime_ns == written


def test_a_target_that_groups_cannot_reach(settings, options, tmp_path):
    settings = {**settings, "targets": ".85", "cost": "latency"}
    settings |= {"gate_epochs": 1.0, "groups": "neurons", "output_dir": str(tmp_path / "out")}
    with pytest.raises(ValueError, match="above 0.9.* with the fewest neurons, rec.* 0.85"):
        stages.compress(CompressOptions(**settings))
    assert not (tmp_path / "out" / "dense").exists()


def test_an_export_above_an_amount_is_pruned_on(settings, options, tmp_path, monkeypatch):
    """The first one is said to have a twentieth more than it may."""
    dense, output = str(tmp_path / "dense"), tmp_path / "out"
    finetuning.finetune(options(output_dir=dense, num_train_epochs=1.0))
    number = model_info.num_parameters(config_of(dense))
    target = f"{0.9 * number / 1e6}M"
    above = iter([1.05, 1.0])
    monkeypatch.setattr(EngineCost, "exported", lambda *_: next(above))
    settings = {**settings, "init_checkpoint": dense, "train": "none", "targets": target}
    report = stages.compress(CompressOptions(**settings, output_dir=str(output)))
    _, row = report["models"]
    name = row["model"]
    assert row["target"] == name == f"{0.9 * number / 1e6:.12g}M"
    assert row["folder"] == str(output / name / "pruned_on_1" / "cut")
    sizes = [
        model_info.num_parameters(config_of(output / name / part))
        for part in ("cut", "pruned_on_1/cut")
    ]
    assert sizes[0] <= 0.9 * number and sizes[1] <= 0.9 * number / 1.05


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"targets": ".5,.8"}, "`targets` must fall from one to the next, .* '.5,.8'"),
        ({"engine": "onnx_runtime"}, "`engine` must be one of .* did you mean 'onnxruntime'"),
        ({"optimize_for": "8"}, "`optimize_for` must be such as 8x128, received '8'"),
        ({"train": "some"}, "`train` must be a number, received 'some'"),
        ({"calibration_examples": 8}, "`calibration_examples` must be at least 64, received 8"),
        ({"init_checkpoint": ""}, "`init_checkpoint` is needed"),
        ({"groups": ","}, "`groups` must name some of sublayers, .*, ranks once each"),
        ({"groups": "head_dimension"}, "received 'head_dimension', did you mean 'head_dimensions'"),
        (
            {"gate_epochs": 1.0, "groups": "heads,ranks"},
            "`gate_epochs` needs `groups` of sublayers, heads and neurons alone, .*'heads,ranks'",
        ),
        ({"baselines": "runs/flop/,runs/flop"}, "must name each model once, .* 'runs/flop' again"),
        ({"baselines": "dense"}, "none dense, received 'dense' again"),
        ({"distill_alpha": 0.5}, "must add up to at most 1, received 0.5 and 0.6"),
        ({"gate_schedule": "noam"}, "unexpected keyword"),
    ],
)
def test_errors_of_options(settings, changes, sentence):
    error = TypeError if "gate_schedule" in changes else ValueError
    with pytest.raises(error, match=sentence):
        CompressOptions(**{**settings, "output_dir": "out", **changes})


def factorized(source):
    specs = {(0, "attention_output"): ProjectionSpec(rank=0)}
    weights = {p: a for p, a in source.weights.items() if "attention_output.kernel" not in p}
    return dataclasses.replace(
        source, config=source.config.with_projections(specs), weights=weights
    )


def gated(source):
    config = units.with_gates(source.config, ["heads"], "hard_concrete")
    weights = surgery.named_weights(BertModel(config))
    return dataclasses.replace(source, config=config, weights=weights)


def test_bad_input_is_found_before_anything_is_trained(settings, bert_dir, tmp_path):
    source, places = read_source(bert_dir), {}
    for make in (factorized, gated):
        places[make] = str(tmp_path / make.__name__)
        model_dir.save(places[make], make(source).model(), source.tokenizer())
    (tmp_path / "empty.txt").write_text("\n")
    words = {"cut_vocabulary": True, "general_text": str(tmp_path / "empty.txt")}
    for changes, sentence in [
        ({"targets": ".01"}, r"`targets` must be above 0\.\d+, what is left"),
        ({"targets": ".1", "embedding_rank": 32}, "at least 1 and below 32, the width of the word"),
        (words, "empty.txt' is empty"),
        ({"baselines": str(tmp_path)}, "is no model directory: expected 'info.json'"),
        ({"data_dir": "nowhere"}, "from train.tsv, but the folder 'nowhere' has no such file"),
        ({"latency_table": "none.json"}, "table 'none.json' does not exist"),
        (
            {"init_checkpoint": places[factorized]},
            "`init_checkpoint` must be a model without gates",
        ),
        ({"init_checkpoint": places[gated]}, "gated' has such; take the model before them"),
        (
            {"task_name": "mlm", "train_file": "train.tsv", "dev_file": "dev.tsv"},
            "`train` and `gate_epochs` must be none and 0 for the task 'mlm', .* received '1'",
        ),
    ]:
        options = CompressOptions(**{**settings, "output_dir": str(tmp_path / "out"), **changes})
        with pytest.raises(ValueError, match=sentence):
            stages.compress(options)
        assert not (tmp_path / "out").exists()


def test_a_training_file_of_too_few_examples(settings, tmp_path):
    """It shows before a table is measured."""
    for split in ("train", "dev"):
        rows = [f"good {number}\t{number % 2}\n" for number in range(63)]
        (tmp_path / f"{split}.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    few = {**settings, "data_dir": str(tmp_path), "latency_table": ""}
    with pytest.raises(ValueError, match="training set must have at least 64 .* received 63"):
        stages.compress(CompressOptions(**few, output_dir=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_too_few_examples(settings, tmp_path):
    few = {**settings, "train_examples": 63, "num_train_epochs": 0.1}
    with pytest.raises(ValueError, match="training set must have at least 64 .* received 63"):
        stages.compress(CompressOptions(**few, output_dir=str(tmp_path / "out")))
