"""From a checkpoint to a family of smaller models."""

import json
import pathlib

import pytest

from bert_tf.checkpoints import model_dir
from bert_tf.methods.compress import stages
from bert_tf.methods.compress.compress_options import CompressOptions
from bert_tf.models import model_info
from bert_tf.runs import finetuning


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
        "dense_epochs": 3.0,
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
        assert cut["target"] == target
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
    settings = {**settings, "init_checkpoint": dense, "train": "none", "targets": ".7"}
    settings |= {"cost": "latency", "baselines": f"{dense}/"}
    output = tmp_path / "out"
    report = stages.compress(CompressOptions(**settings, output_dir=str(output)))
    own, baseline, row = report["models"]
    assert [own["model"], baseline["model"]] == ["dense", "dense"]
    assert baseline["score"] == own["score"]
    assert row["model"] == "0.7" and row["without_training"] == pytest.approx(row["score"])
    folders = [output / "0.7", *(output / "0.7" / f"pruned_on_{number}" for number in (1, 2))]
    made = [folder for folder in folders if folder.exists()]
    assert row["folder"] == str(made[-1] / "cut")
    # So small a model may take longer than its target whatever is removed.
    assert row["ratio"] <= 0.7 * 1.03 or made == folders
    sizes = [model_info.num_parameters(config_of(folder / "cut")) for folder in made]
    assert sizes == sorted(sizes, reverse=True)
    assert not pathlib.Path(output, "0.7", "model").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"targets": ".5,.8"}, r"`targets` must be one ratio or several that fall, .* '.5,.8'"),
        ({"targets": ""}, "`targets` must be one ratio or several that fall"),
        ({"targets": "0"}, r"`targets` must be in \(0.0, 1.0\], received 0"),
        ({"targets": "1.5"}, r"`targets` must be in \(0.0, 1.0\], received 1.5"),
        ({"engine": "onnx_runtime"}, "`engine` must be one of .* did you mean 'onnxruntime'"),
        ({"optimize_for": "8"}, "`optimize_for` must be such as 8x128, received '8'"),
        ({"train": "some"}, "`train` must be a number, received 'some'"),
        ({"calibration_examples": 8}, "`calibration_examples` must be at least 64, received 8"),
        ({"init_checkpoint": ""}, "`init_checkpoint` is needed"),
        ({"gate_schedule": "noam"}, "unexpected keyword"),
    ],
)
def test_errors_of_options(settings, changes, sentence):
    error = TypeError if "gate_schedule" in changes else ValueError
    with pytest.raises(error, match=sentence):
        CompressOptions(**{**settings, "output_dir": "out", **changes})


def test_a_target_below_the_floor(settings, options, tmp_path):
    dense = str(tmp_path / "dense")
    finetuning.finetune(options(output_dir=dense, num_train_epochs=0.1))
    settings = {**settings, "init_checkpoint": dense, "targets": ".01"}
    with pytest.raises(ValueError, match=r"`targets` must be above 0\.\d+, what is left"):
        stages.compress(CompressOptions(**settings, output_dir=str(tmp_path / "out")))
    assert not (tmp_path / "out" / "0.01").exists()
