import importlib.util
import json
import shutil

import pytest

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.serving import formats
from bert_tf.studies.speed import benchmark_subjects, benchmark_table, benchmarking
from bert_tf.surgery import units

pytest.importorskip("tensorflow_serving", reason="The extra `export` is not installed.")
pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")


@pytest.fixture(scope="module")
def exported(export, bert_dir, sst_dir, tmp_path_factory):
    """A dense BERT in all formats."""
    out = tmp_path_factory.mktemp("served") / "toy"
    task = {"task_name": "SST-2", "data_dir": sst_dir}
    export(bert_dir, str(out), format_names=list(formats.FORMATS), **task)
    return out / "1"


def test_models_and_exports_in_one_run(bert_dir, exported, caplog):
    files = [exported / form.file for name, form in formats.FORMATS.items() if "_" not in name]
    files += [exported / f"model_{precision}.tflite" for precision in ("float32", "int8")]
    paths = [bert_dir, exported, *files]
    report = json.loads(json.dumps(benchmarking.inference(paths, [1, 3], [5], rounds=2)))
    (sentence,) = [line for line in caplog.messages if "is a program and is run now" in line]
    assert sentence.startswith(f"The SavedModel {exported} ")
    names = [model["model"] for model in report["models"]]
    assert names[1:] == ["toy/1"] + [f"toy/1/{path.name}" for path in files]
    source, *exports = report["models"]
    for model in exports:
        assert model["parameters"] == source["parameters"]
        assert model["stage"] == source["stage"] and model["task"]["name"] == "SST-2"
        assert list(model["scores"]) == ["dev, 67 examples"] and model["file_bytes"] > 0
    sizes = {model["model"]: model["file_bytes"] for model in exports}
    assert sizes["toy/1/model_int8.tflite"] < sizes["toy/1/model_float32.tflite"]
    assert len(report["timings"]) == 2 * len(paths)
    first = report["timings"][0]
    assert first["flops"] == 2 * 5 * first["multiplications_per_token"]
    assert "GFLOPs" in benchmark_table.markdown(report)


def test_what_runs_is_the_model(bert_dir, exported):
    source, export = benchmark_subjects.find([bert_dir, exported])
    features, _ = benchmarking.random_batch([source.config], 2, 7)
    logits = model_dir.load(bert_dir)(features, training=False).numpy()
    for subject in (source, export):
        with subject.start(threads=1) as process:
            (answer,) = process.answers([("serving_default", features)])
        assert answer["logits"] == pytest.approx(logits, abs=1e-5)


def test_memory_of_exports(exported):
    """What ONNX Runtime needs is not what TensorFlow needs."""
    paths = [exported, exported / "model.onnx"]
    tensorflow, onnxruntime = benchmarking.inference(
        paths, [2], [7], rounds=1, memory=True, threads=1
    )["memory"]
    assert (tensorflow["model"], onnxruntime["model"]) == ("toy/1", "toy/1/model.onnx")
    assert 0 < 2 * onnxruntime["peak_bytes"] < tensorflow["peak_bytes"]
    assert onnxruntime["ratios"]["toy/1"] < 0.5


@pytest.mark.parametrize("size", [0, 99])
@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_damaged_export(name, size, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "1")
    path = folder / formats.FORMATS[name].file
    path.write_bytes(path.read_bytes()[:size])
    (subject,) = benchmark_subjects.find([folder if name == "saved_model" else path])
    with pytest.raises(ValueError, match=r"^(TensorFlow|LiteRT|ONNX Runtime) cannot load '.*\.$"):
        subject.start()


def test_engines_that_read_an_export(exported, bert_dir):
    """Every file by every engine that reads it; the ratio to the fastest dense model is shown."""
    found = benchmark_subjects.find([bert_dir, exported], ["onnxruntime", "litert"])
    assert [(one.name, one.engine.title) for one in found][1:] == [
        ("toy/1/model_float32.tflite by litert", "LiteRT"),
        ("toy/1/model_float16.tflite by litert", "LiteRT"),
        ("toy/1/model.onnx by onnxruntime", "ONNX Runtime"),
    ]
    assert [one.loaded.rpartition("/")[2] for one in found[1:]] == [
        "model_float32.tflite",
        "model_float16.tflite",
        "model.onnx",
    ]
    every = benchmark_subjects.find([exported], ["auto"])
    assert {one.engine.title for one in every} >= {"TensorFlow", "LiteRT", "ONNX Runtime"}
    with pytest.raises(ValueError, match="'.*tflite' must be read by an engine of .'onnxruntime'"):
        benchmark_subjects.find([exported / "model_int8.tflite"], ["onnxruntime"])
    with pytest.raises(ValueError, match="Unknown engine 'onnx', did you mean 'onnxruntime'"):
        benchmark_subjects.find([exported], ["onnx"])


def test_a_file_of_others(bert_dir, exported, tmp_path):
    """It has no report; its inputs are ours."""
    path = shutil.copy(exported / "model.onnx", tmp_path / "theirs.onnx")
    report = benchmarking.inference([path, bert_dir], [2], [5], rounds=1)
    theirs, ours = report["models"]
    assert theirs["stage"] is theirs["parameters"] is None and ours["parameters"]
    assert [list(row["ratios"]) for row in report["timings"]] == [
        ["theirs.onnx", benchmarking.FASTEST_DENSE]
    ] * 2
    assert report["timings"][0]["fastest_dense"] == ours["model"]
    assert report["timings"][1]["ratios"][benchmarking.FASTEST_DENSE] == 1.0
    assert "| -  " in benchmark_table.markdown(report)
    with pytest.raises(ValueError, match="theirs.onnx' must have '.*export.json' next to it"):
        benchmarking.inference([path], [2], [5], rounds=1)


def test_a_file_of_another_model(bert_dir, tmp_path):
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None])
    graph = onnx.helper.make_graph([node], "other", [value], [out])
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset]), tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"^ONNX Runtime cannot (load|run) '.*other.onnx': .*\.$"):
        benchmarking.inference([bert_dir, tmp_path / "other.onnx"], [2], [5], rounds=1)


def test_weights_that_are_missing(exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "1")
    for path in (folder / "variables").glob("*.data*"):
        path.write_bytes(b"")
    (subject,) = benchmark_subjects.find([folder])
    with pytest.raises(ValueError, match="TensorFlow cannot load '.*1': "):
        subject.start()


@pytest.mark.parametrize("name, package", [("onnx", "onnxruntime"), ("litert_int8", "ai_edge_lit")])
def test_a_package_that_is_missing(name, package, exported, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=f"needs the package '{package}.*', which is not installed"
    ):
        benchmark_subjects.find([exported / formats.FORMATS[name].file])


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        ({"scores": {"dev": {"f1": 0.5}}}, "Unknown task ''"),
        ({"scores": {"dev": {"f1": 0.5}}, "task": {"name": "SST-2"}}, "must have 'eval_accuracy'"),
    ],
)
def test_scores_that_are_not_of_the_task(info, sentence, bert_dir, tmp_path):
    folder = shutil.copytree(bert_dir, tmp_path / "model")
    (folder / "info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match=sentence):
        benchmark_subjects.find([folder])


def test_no_subject(exported, tmp_path):
    with pytest.raises(ValueError, match="is no model directory"):
        benchmark_subjects.find([tmp_path])
    (tmp_path / "model.onnx").write_text("")
    with pytest.raises(ValueError, match="The export '.*model.onnx' must have '.*export.json'"):
        benchmarking.inference([tmp_path / "model.onnx"], [1], [2], rounds=1)
    with pytest.raises(ValueError, match="The path 'nowhere' does not exist"):
        benchmark_subjects.find(["nowhere"])


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        "{}",
        '{"formats": {"onnx": {"scores": {}}}}',
        '{"formats": {"onnx": {"scores": [1]}}, "compared_on": "dev", "num_examples": 1, '
        '"task": {"name": "SST-2"}}',
        '{"formats": {"onnx": {"scores": {"f1": 1}}}, "compared_on": "dev", "num_examples": 1, '
        '"task": 5}',
        '{"formats": {"litert": {}}, "compared_on": "dev", "num_examples": 1, "config": {}}',
        '{"formats": {"onnx": {"scores": {}}}, "compared_on": "dev", "num_examples": 1, '
        '"config": {"vocab_size": 1e12}}',
    ],
)
def test_a_damaged_report(text, tmp_path):
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra/export.json").write_text(text)
    (tmp_path / "model.onnx").write_text("")
    with pytest.raises(
        ValueError, match="^The (file|report of an export) '.*export.json' (is|must)"
    ):
        benchmark_subjects.find([tmp_path / "model.onnx"])


def test_masks_of_several_tasks(bert_dir, tmp_path):
    """Which mask is taken depends on the task, so there is no one model to measure."""
    folder = shutil.copytree(bert_dir, tmp_path / "model")
    config = EncoderConfig.from_json_file(folder / "bert_config.json")
    config = units.with_gates(config, ["heads"], "switched", num_masks=3)
    (folder / "bert_config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(ValueError, match="model' has a mask for each of 3 tasks; cut it to one"):
        benchmark_subjects.find([folder])
