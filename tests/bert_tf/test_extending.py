"""The examples of docs/extending.md work as they are shown, each in a model that it extends."""

import contextlib
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import bert_tf
from bert_tf.checkpoints import formats as checkpoint_formats
from bert_tf.checkpoints import read_source
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.families.family import FAMILIES
from bert_tf.families.names import per_block
from bert_tf.heads.head import HEADS
from bert_tf.runs import finetuning
from bert_tf.serving.engines import ENGINES
from bert_tf.serving.formats import FORMATS
from bert_tf.tasks.registry import TASKS
from flop_tf import surgery
from flop_tf.backend import keras
from flop_tf.gates import GATES

REGISTRIES = (GATES, HEADS, TASKS, FAMILIES, checkpoint_formats.FORMATS, ENGINES, FORMATS)
PAGE = pathlib.Path(__file__).parents[2] / "docs/extending.md"
_SECTION = re.compile(r"^## ([^\n]*)\n(?:(?!^## ).)*?```python\n(.*?)```", re.DOTALL | re.MULTILINE)
BLOCKS = dict(_SECTION.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture(autouse=True)
def registries():
    """What an example registers is unknown again after its test."""
    with contextlib.ExitStack() as stack:
        for registry in REGISTRIES:
            stack.enter_context(registry.temporary())
        yield


def run(name, **given):
    """Runs an example and returns its names."""
    names = {**given, "__name__": "example"}
    exec(compile(BLOCKS[name], f"{PAGE.name}: {name}", "exec"), names)
    return names


def features():
    mask = np.array([[1] * 7, [1] * 3 + [0] * 4], np.int32)
    ids = np.random.default_rng(0).integers(4, 22, [2, 7]).astype(np.int32) * mask
    return dict(zip(INPUT_NAMES, map(tf.constant, (ids, mask, 0 * ids)), strict=True))


def test_every_section_has_an_example():
    assert list(BLOCKS) == [
        "A gate",
        "A head",
        "A task",
        "A family",
        "A checkpoint format",
        "An engine",
        "An export format",
        "An objective",
        "A method",
    ]


@pytest.fixture
def dense():
    keras.utils.set_random_seed(0)
    inputs = keras.Input([8])
    hidden = keras.layers.Dense(12, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(hidden))


@pytest.fixture
def x():
    return tf.constant(np.random.default_rng(0).normal(size=[64, 8]), tf.float32)


def test_a_gate(dense, x):
    found = run("A gate", dense_model=dense, x=x, y=x[:, :2])
    small, model = found["small"], found["model"]
    assert {type(gate) for gate in model.gates} == {found["Ramp"]} and "ramp" in GATES
    assert not small.gates and small.count_params() < dense.count_params()
    np.testing.assert_allclose(small(x), model(x, training=False), atol=1e-5)


def test_a_head_and_a_task(options, sst_dir, tmp_path):
    head, task = run("A head")["Mean"], run("A task")
    scores = finetuning.finetune(options(task_name="tone", data_dir=sst_dir))
    assert scores["dev"]["eval_accuracy"] > 0.8
    model = bert_tf.load(tmp_path / "out")
    assert type(model.head) is head and model.config.head == "mean"
    assert bert_tf.load_info(tmp_path / "out")["task"]["name"] == "tone" and task["Tone"]


def test_a_family(bert_dir, tmp_path):
    family = run("A family")
    model = bert_tf.load(bert_dir)
    rows, arrays = per_block(family["TABLE"], model.config.num_hidden_layers), {}
    for path, array in surgery.named_weights(model).items():
        arrays[f"other_bert.{rows[path].name}"] = np.ascontiguousarray(rows[path].transform(array))
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
    known = family["Bert"].known
    about = {key: value for key, value in model.config.to_dict().items() if key in known}
    about |= {"model_type": "other_bert", "dim": about.pop("hidden_size")}
    about["architectures"] = ["OtherBertForSequenceClassification"]
    (tmp_path / "config.json").write_text(json.dumps(about))
    shutil.copy(pathlib.Path(bert_dir) / "vocab.txt", tmp_path)
    source = read_source(str(tmp_path))
    assert source.has_head and source.config == model.config
    np.testing.assert_allclose(source.model()(features()), model(features()), atol=1e-6)


def test_a_checkpoint_format(bert_dir, tmp_path):
    run("A checkpoint format")
    model = bert_tf.load(bert_dir)
    weights = surgery.named_weights(model)
    arrays = {f"transposed:{path}": array.T.copy() for path, array in weights.items()}
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    shutil.copy(pathlib.Path(bert_dir) / "vocab.txt", tmp_path)
    source = read_source(tmp_path)
    assert source.format == "transposed"
    for path, array in surgery.named_weights(source.model()).items():
        np.testing.assert_array_equal(array, weights[path])


def test_an_engine(export, bert_dir, tmp_path):
    """The example is a file, which the process of an engine runs by itself."""
    pytest.importorskip("onnxruntime", reason="The extra `export` is not installed.")
    file = tmp_path / "plain_engine.py"
    file.write_text(BLOCKS["An engine"])
    names = {"__name__": "bert_tf.plain_engine", "__package__": "bert_tf"}
    exec(compile(BLOCKS["An engine"], str(file), "exec"), names)
    assert ENGINES["plain"].load is names["load"]
    report = export(bert_dir, str(tmp_path / "out"), engine="plain", task_name="SST-2")
    (row,) = report["engines"]
    assert row["engine"] == "plain" and row["largest_difference"] < 1e-4


def test_an_export_format(export, bert_dir, tmp_path):
    pytest.importorskip("onnxruntime", reason="The extra `export` is not installed.")
    run("An export format")
    names = ["onnx", "onnx_half"]
    report = export(bert_dir, str(tmp_path / "out"), format_names=names, task_name="SST-2")
    assert 0 < report["formats"]["onnx_half"]["largest_difference"] < 1e-2
    sizes = [(tmp_path / "out" / "1" / FORMATS[name].file).stat().st_size for name in names]
    assert sizes[1] < sizes[0]


def test_an_objective(dense, x):
    y = x[:, :2]
    first, last = ([w.numpy() for w in layer.weights] for layer in dense.layers[1:])
    loss = keras.losses.MeanSquaredError()
    before = float(loss(y, dense(x)))
    model = run("An objective", dense_model=dense, x=x, y=y)["model"]
    assert float(loss(y, model(x))) < 0.9 * before
    for array, weight in zip(first, model.layers[1].weights, strict=True):
        np.testing.assert_array_equal(weight, array)
    for array, weight in zip(last, model.layers[2].weights, strict=True):
        assert (weight.numpy() != array).all()


def test_a_method(bert_dir, sst_dir, tmp_path, monkeypatch):
    (tmp_path / "SST-2").symlink_to(sst_dir)
    (tmp_path / "BERT").symlink_to(bert_dir)
    monkeypatch.chdir(tmp_path)
    short = {"max_seq_length": 11, "num_train_epochs": 0.1, "length_buckets": "11"}
    make = BLOCKS["A method"].replace("task_name=", f"**{short}, task_name=")
    monkeypatch.setitem(BLOCKS, "A method", make)
    found = run("A method")
    assert (tmp_path / "runs/l1/model.safetensors").is_file()
    assert bert_tf.load("runs/l1").config == bert_tf.load("BERT").config
    assert found["L1Objective"](0.1).scale == 0.1
