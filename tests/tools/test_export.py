import json
import shutil

from flop_tools import benchmark, export

import latency_tables
import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.models.bert import BertModel
from bert_tf.serving import versions
from bert_tf.studies.sweeps import sweep
from flop_tf.layers.projection import ProjectionSpec

pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")


def write_table(folder, engine, shape=(8, 16)):
    """Writes a table that is made up, of an engine, for the toy model."""
    return latency_tables.write(folder, engine, shape=shape, hidden_size=8, head_size=4)


def test_export(call, few_models, bert_dir, demo_dir, tmp_path, caplog):
    """Formats of one version by their flags; the next one has a number of its own."""
    table = ["--table", f"--model_dirs={bert_dir}", "--batch_sizes=2", "--lengths=9", "--rounds=1"]
    table += ["--engine=onnxruntime"]
    assert call(benchmark, *table, f"--output_dir={tmp_path / 'table'}") is None
    args = [f"--model_dir={bert_dir}", f"--output_dir={tmp_path / 'toy'}", "--dev_examples=10"]
    tables = tmp_path / "table/latency_table.json", write_table(tmp_path, "litert_int8", (2, 9))
    args += ["--latency_table={},{}".format(*tables), "--optimize_for=2x9"]
    data = ["--task_name=sst-2", f"--data_dir={demo_dir}"]
    assert call(export, *args, *data, "--format=onnx,litert_int8") is None
    report = json.loads((tmp_path / "toy/1" / versions.REPORT_FILE).read_text())
    assert list(report["formats"]) == ["onnx", "litert_int8"]
    assert report["command"].startswith("tools/export.py --model_dir=")
    assert (report["compared_on"], report["num_examples"]) == ("dev", 10)
    assert (
        "onnx by onnxruntime differs by at most " in caplog.text and "eval_accuracy" in caplog.text
    )
    assert {row["flips"] for row in report["formats"].values()} == {0.0}
    caplog.clear()
    assert call(export, *args, *data, "--format=onnx,litert_int8", "--overwrite=false") is None
    assert caplog.messages[-1].endswith(
        "toy/1 is already done; pass --overwrite to export it again."
    )
    text = call(export, *args, *data)
    assert text.startswith("export: error: The version '") and "--overwrite" in text
    assert call(export, *args, *data, "--format=onnx", "--version=2") == (
        f"export: error: The latency table '{tables[1]}' must be of the engine onnxruntime, "
        "received one of litert_int8; measure one by flop-benchmark --table."
    )
    onnx = ["--format=onnx", "--version=2", f"--latency_table={tables[0]}"]
    assert call(export, *args, *data, *onnx) is None
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == ["1", "2"]


def test_the_plan_of_one_model_ends_with_an_export(call, bert_dir, demo_dir, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="The extra `export` is not installed.")
    task = sweep.SweepTask("SST-2", ("--task_name=SST-2", f"--data_dir={demo_dir}"), (), ())
    table = write_table(tmp_path, "tensorflow")
    given = ("--format=saved_model", f"--latency_table={table}")
    plan = sweep.single(task, sweep.Settings(str(tmp_path), bert_dir, benchmark=None, export=given))
    shutil.copytree(bert_dir, tmp_path / "final")
    assert call(export, *plan[-1].flags, "--made_from=one") is None  # As the runner does.
    assert (tmp_path / plan[-1].done_file).is_file()
    assert (tmp_path / "export/1/saved_model.pb").is_file()


def test_bad_input_leaves_no_folder(call, bert_dir, tmp_path):
    out = f"--output_dir={tmp_path / 'out'}"
    model = bert_tf.load(bert_dir)
    gate = ProjectionSpec(4, {"name": "hard_concrete", "config": {"axis": 0}})
    specs = {(i, name): gate for i, name, *_ in model.config.projections()}
    gated = BertModel(model.config.with_projections(specs))
    model_dir.save(tmp_path / "gated", gated, bert_tf.load_tokenizer(bert_dir))
    for folder, sentence in (
        (tmp_path / "gated", f"The model in '{tmp_path}/gated' has gates, which are not exported;"),
        (tmp_path, f"The folder '{tmp_path}' is no model directory: expected 'info.json' in it."),
        (bert_dir, f"Argument `task_name` is needed: '{bert_dir}' does not say its task."),
    ):
        text = call(export, out, f"--model_dir={folder}")
        assert text.startswith(f"export: error: {sentence}") and "\n" not in text
    text = call(export, out, f"--model_dir={bert_dir}", "--task_name=SST-2", "--optimize_for=8*9")
    assert text == "export: error: Flag `--optimize_for` must be such as 8x128, received '8*9'."
    text = call(export, out, f"--model_dir={bert_dir}", "--format=pb")
    assert text.startswith(
        "export: error: Argument `format_names` expects names of ['saved_model', "
    )
    for flag in (
        "--engine=litert",
        "--format=onnx",
        "--allow_slower",
        "--dev_examples=5",
        "--tfds_download",
    ):
        text = call(export, out, f"--model_dir={bert_dir}", "--diffs=x", flag)
        name = flag.partition("=")[0]
        assert text == f"export: error: Flag `{name}` is not for --diffs; leave it out."
    assert not (tmp_path / "out").exists()


def test_data_that_are_not_at_hand(call, bert_dir, tmp_path, caplog):
    """Random tokens are compared; a vocabulary without a score is no reason to stop."""
    args = [f"--model_dir={bert_dir}", "--task_name=SST-2", "--format=litert_float32"]
    args.append(f"--latency_table={write_table(tmp_path, 'litert')}")
    assert call(export, *args, f"--output_dir={tmp_path / 'toy'}") is None
    report = json.loads((tmp_path / "toy/1" / versions.REPORT_FILE).read_text())
    assert report["compared_on"] == "random tokens" and report["scores"] == {}
    assert report["formats"]["litert_float32"]["largest_difference"] < 1e-5
    assert np.isfinite(report["num_examples"]) and "random tokens are compared" in caplog.text
