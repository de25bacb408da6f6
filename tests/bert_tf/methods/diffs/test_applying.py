import os

import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.diffs import applying, base_model
from flop_tf.files import diff_file


def test_applied_and_removed(diff_dirs, bert_dir, tmp_path):
    merged, back = str(tmp_path / "merged"), str(tmp_path / "back")
    applying.apply(diff_dirs["mnli"], bert_dir, merged)
    model, info = bert_tf.load(merged), bert_tf.load_info(merged)
    assert model.config.num_labels == 3 and info["task"]["name"] == "MNLI"
    diff, path = applying.read(diff_dirs["mnli"])
    expected = base_model.applied(read_source(bert_dir), diff, path).weights
    found = read_source(merged).weights
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)
    applying.remove(diff_dirs["mnli"], bert_dir, merged, back)
    base, removed = (base_model.base_weights(read_source(f)) for f in (bert_dir, back))
    assert all(base[name].tobytes() == removed[name].tobytes() for name in base)
    with pytest.raises(ValueError, match="must be the base with .* such as .*; it was trained on"):
        applying.remove(diff_dirs["sst-2"], bert_dir, merged, str(tmp_path / "x"))


def test_inspect(diff_dirs, make_diff):
    found = applying.inspect(diff_dirs["sst-2"])
    diff = make_diff("sst-2")
    assert found["entries"] == diff.num_entries and found["density"] == diff.density
    assert found["task"]["name"] == "SST-2" and found["stored_whole"] == 66
    assert list(found["layers"]) == ["embeddings", "pooler", "0"]
    number = len(diff.positions["encoder.blocks.0.query.kernel"])
    assert found["kinds"]["query.kernel"] == number / 32**2
    none = [name for name, positions in diff.positions.items() if not len(positions)]
    assert found["zero_groups"] == none
    assert found["bytes"] == os.path.getsize(os.path.join(diff_dirs["sst-2"], "diff.safetensors"))


def test_what_is_refused(make_diff, bert_dir, tmp_path):
    path = str(tmp_path / "diff")
    for info, sentence in (
        ({"head": {}}, "must have a task and its head, received a difference without; write it"),
        ({"head": {"head": "span"}}, "be that of a difference: expected the key 'num_labels' at"),
        ({"head": {"head": "x", "num_labels": 2}}, "`head` must be one of .* received 'x'"),
        ({"head": {"head": "span", "num_labels": 2}}, "of the shape None as its head 'span' says"),
        (
            {"head": {"head": "classifier", "num_labels": 3}},
            r"of the shape \(3,\) as its head .*received \(2,\)",
        ),
        (
            {"head": {"head": "classifier", "num_labels": 2, "hidden_size": 10**6}},
            "object contains unknown field 'hidden_size' at '.head'",
        ),
        ({"task": "RTE"}, "expected 'object', received 'str' at '.task'"),
        ({"task": {"name": "RTE", "x": 1}}, "object contains unknown field 'x' at '.task'"),
        ({"max_seq_length": 0}, "expected 'int' >= 1 at '.max_seq_length'"),
    ):
        diff_file.write(path, make_diff(**info))
        with pytest.raises(ValueError, match=sentence):
            applying.apply(path, bert_dir, str(tmp_path / "out"))
    with pytest.raises(ValueError, match="Expected the difference 'nowhere', found no such file."):
        applying.inspect("nowhere")
    assert not (tmp_path / "out").exists()
    assert model_dir.load_info(bert_dir)
