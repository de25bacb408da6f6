"""Several differences in one SavedModel."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  Its operations are in the graph.

from bert_tf.checkpoints import read_source
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.methods.diffs import applying, base_model, task_exporting
from bert_tf.methods.diffs.diff_store import save
from bert_tf.serving import versions
from bert_tf.serving.versions import Version
from bert_tf.tasks import model_task

NAMES = ("SST-2", "STS-B")


@pytest.fixture(scope="module")
def exported(diff_dirs, bert_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "tasks"
    paths = [diff_dirs["sst-2"], diff_dirs["sts-b"]]
    version = Version(str(out), command="flop x", command_flags="--x\n")
    report = task_exporting.export(bert_dir, paths, version)
    assert task_exporting.export(bert_dir, paths, version) is None  # It is done.
    return out / "1", report


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported[0])).signatures


def test_the_base_is_stored_once(exported, bert_dir):
    folder, report = exported
    assert json.loads((folder / versions.REPORT_FILE).read_text()) == report
    assert report["largest_difference"] <= 1e-5 and tuple(report["tasks"]) == NAMES
    stored = tf.train.list_variables(str(folder / "variables" / "variables"))
    shapes = [shape for name, shape in stored if name.startswith("weights/")]
    assert len(shapes) == len(read_source(bert_dir).weights)  # Once and not for each task.


def test_a_request_says_its_task(signatures, diff_dirs, bert_dir):
    (features,) = model_task.random_features(read_source(bert_dir).config, 7, 1, 3)
    for name, folder in zip(NAMES, diff_dirs.values(), strict=False):
        diff, path = applying.read(folder)
        expected = base_model.build(read_source(bert_dir), diff, path)(features, training=False)
        task = tf.constant([name] * 3)
        found = signatures["serving_default"](**features, task=task)["logits"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (["RTE"] * 2, "The task must be one of"),
        ([], "The task must be one of"),
        (["STS-B", "SST-2"], "A request has one task."),
    ],
)
def test_bad_tasks(signatures, task, sentence):
    ids = {name: tf.ones([2, 4], tf.int32) for name in INPUT_NAMES}
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        signatures["serving_default"](**ids, task=tf.constant(task, tf.string))


def test_ids_are_checked(signatures):
    ids = {name: tf.ones([1, 4], tf.int32) for name in INPUT_NAMES}
    ask = functools.partial(signatures["serving_default"], task=tf.constant(["SST-2"]))
    twos = {**ids, "input_mask": ids["input_mask"] * 2}
    np.testing.assert_array_equal(ask(**twos)["logits"], ask(**ids)["logits"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="The inputs must have one shape"):
        ask(**{**ids, "input_mask": tf.ones([1, 3], tf.int32)})


def test_texts_have_a_signature_for_each_task(signatures):
    assert set(signatures) == {"serving_default", "text_sst_2", "text_sts_b"}
    label = signatures["text_sst_2"](text=tf.constant(["a good film"]))["label"]
    assert label.numpy()[0] in (b"0", b"1")
    pair = {"text_a": tf.constant(["a good film"]), "text_b": tf.constant(["so dull"])}
    assert signatures["text_sts_b"](**pair)["score"].shape == [1]


def test_what_is_refused(exported, diff_dirs, make_diff, bert_dir, tmp_path):
    folder, _ = exported
    paths = [diff_dirs["sst-2"], diff_dirs["sts-b"]]
    for flags in ("", "--other\n"):
        with pytest.raises(ValueError, match="exists already; choose another one by --version"):
            version = Version(str(folder.parent), command_flags=flags)
            task_exporting.export(bert_dir, paths, version)
    other = make_diff()
    save(str(tmp_path / "other"), type(other)(**{**vars(other), "base": "0" * 64}), "float32")
    with pytest.raises(ValueError, match="has a difference to another base model: expected the"):
        task_exporting.export(bert_dir, [str(tmp_path / "other")], Version(str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
