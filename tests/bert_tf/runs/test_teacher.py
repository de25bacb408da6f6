import contextlib
import json
import os

import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.data import batching
from bert_tf.runs import evaluation, teacher
from bert_tf.tasks import registry
from flop_tf import files
from flop_tf.backend import keras


@pytest.fixture
def encoded(bert_dir, sst_dir):
    examples = registry.get("sst-2").read(sst_dir, "dev")
    return batching.encode(examples, bert_tf.load_tokenizer(bert_dir), 11)


@pytest.fixture
def folder(bert_dir, tmp_path):
    for name in os.listdir(bert_dir):
        os.symlink(os.path.join(bert_dir, name), tmp_path / name)
    return str(tmp_path)


def logits_of(folder, encoded, batch_size):
    return teacher.logits(model_dir.read(folder), folder, encoded, batch_size)


def kept(folder):
    return [name for name in os.listdir(folder) if name.startswith("logits-")]


def test_logits_are_kept_and_in_the_order_of_the_data(folder, encoded):
    logits = logits_of(folder, encoded, 16)
    expected = evaluation.predict(bert_tf.load(folder), encoded, 7)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    (name,) = kept(folder)
    # What lies there is taken: a mark in it comes back.
    np.save(os.path.join(folder, name), logits + 1)
    np.testing.assert_array_equal(logits_of(folder, encoded, 16), logits + 1)


def test_other_data_or_precision_have_their_own(folder, encoded):
    logits_of(folder, encoded, 16)
    assert logits_of(folder, encoded.take(range(5)), 16).shape == (5, 2)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        logits_of(folder, encoded.take(range(5)), 16)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert len(kept(folder)) == 3


def test_another_config_has_its_own(folder, encoded):
    first = logits_of(folder, encoded, 16)
    path = os.path.join(folder, "bert_config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    os.remove(path)  # The link, not what it leads to.
    files.write_json(path, {**config, "hidden_act": "relu"})
    assert np.abs(logits_of(folder, encoded, 16) - first).max() > 1e-3
    assert len(kept(folder)) == 2


def test_a_folder_that_cannot_be_written_to(folder, encoded, monkeypatch, caplog):
    monkeypatch.setattr(files, "replacing", unwritable)
    assert logits_of(folder, encoded.take(range(5)), 16).shape == (5, 2)
    assert kept(folder) == [] and "computed again next time: [Errno 30]" in caplog.text


@contextlib.contextmanager
def unwritable(path):
    raise OSError(30, "Read-only file system", path)
    yield


@pytest.mark.parametrize(
    "damage", ["empty", "short", "int64", "wide", "nan", "object", "huge", "torn", "fifo"]
)
def test_a_damaged_file_is_made_anew(folder, encoded, caplog, damage):
    logits = logits_of(folder, encoded, 16)
    (name,) = kept(folder)
    path = os.path.join(folder, name)
    arrays = {
        "short": logits[:-1],
        "int64": np.int64(logits),
        "wide": np.concatenate([logits, logits], axis=1),
        "nan": np.full_like(logits, np.nan),
        "object": np.array([None, {}]),
    }
    os.remove(path)
    if damage == "fifo":
        os.mkfifo(path)
    elif damage in arrays:
        np.save(path, arrays[damage], allow_pickle=True)
    else:
        with open(path, "wb") as file:
            if damage == "huge":
                about = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9)}
                np.lib.format.write_array_header_1_0(file, about)
            elif damage == "torn":
                file.write(b"\x93NUMPY\x01\0\x0a\0{'shape':(")
    np.testing.assert_array_equal(logits_of(folder, encoded, 16), logits)
    assert "are made anew: " in caplog.text
    np.testing.assert_array_equal(np.load(path), logits)


def test_no_teacher(encoded, tmp_path):
    with pytest.raises(ValueError, match="is no model directory: expected 'info.json' in it"):
        logits_of(str(tmp_path), encoded, 16)
