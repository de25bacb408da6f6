import json
import os
import pathlib
import re
import resource
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.models.bert import BertModel
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec

GATE = {"name": "hard_concrete", "config": {"axis": 0, "seed": 3}}
BASE = EncoderConfig(
    vocab_size=30,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    num_labels=3,
)
STAGES = {
    "dense": {},
    "factorized": {(i, "query"): ProjectionSpec(8) for i in (0, 1)},
    "gated": {(0, "query"): ProjectionSpec(8, GATE), (1, "ffn_in"): ProjectionSpec(3, GATE)},
    "compact": {(0, "query"): ProjectionSpec(0), (1, "query"): ProjectionSpec(2)},
}


@pytest.fixture
def saved(vocab_file, tmp_path):
    """Saves a model of a stage, and returns it and its folder."""

    def save(stage="dense", **info):
        model = BertModel(BASE.with_projections(STAGES[stage]))
        model_dir.save(tmp_path / "model", model, Tokenizer(vocab_file, False), **info)
        return model, str(tmp_path / "model")

    return save


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_comes_back(saved, stage):
    model, folder = saved(stage)
    again = bert_tf.load(folder)
    assert again.config == model.config
    weights = surgery.named_weights(again)
    for path, array in surgery.named_weights(model).items():
        np.testing.assert_array_equal(weights[path], array)
        assert weights[path].dtype == np.float32
    assert bert_tf.load_info(folder)["stage"] == stage


def test_files(saved, vocab_file):
    model, folder = saved("gated", task={"name": "SST-2"}, scores={"dev": {"eval_loss": 0.5}})
    assert sorted(os.listdir(folder)) == [
        "bert_config.json",
        "info.json",
        "info.txt",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    info = bert_tf.load_info(folder)
    assert info["task"] == {"name": "SST-2"} and info["scores"]["dev"] == {"eval_loss": 0.5}
    assert len(info["projections"]) == 12
    lines = pathlib.Path(folder, "info.txt").read_text().splitlines()
    written = dict(line.split(" = ") for line in lines)
    assert written["dense_origin_params"] == str(info["dense_origin_params"]) == "896"
    assert int(written["pruned_total_params"]) == sum(np.size(w) for w in model.get_weights())
    tokenizer = bert_tf.load_tokenizer(folder)
    assert not tokenizer.do_lower_case and tokenizer.vocab == Tokenizer(vocab_file).vocab


def test_one_read_has_everything(saved):
    model, folder = saved("compact", task={"name": "SST-2", "labels": ["no", "yes", "or"]})
    source = model_dir.read(folder)
    assert source.config == model.config and source.labels == ("no", "yes", "or")
    assert source.info == bert_tf.load_info(folder) and source.info["task"]["name"] == "SST-2"
    assert source.tokenizer().rules == bert_tf.load_tokenizer(folder).rules
    for path, array in surgery.named_weights(source.model()).items():
        np.testing.assert_array_equal(array, surgery.named_weights(model)[path])


@pytest.mark.parametrize("name", ["info.json", "tokenizer_config.json", "vocab.txt"])
def test_an_incomplete_folder(saved, name):
    _, folder = saved()
    os.remove(os.path.join(folder, name))
    with pytest.raises(ValueError, match=f"is no model directory: expected '{name}' in it"):
        model_dir.read(folder)
    assert read_source(folder).config == BASE  # Weights to start from need less.


def test_saving_over_itself(saved):
    _, folder = saved()
    model_dir.save(folder, bert_tf.load(folder), bert_tf.load_tokenizer(folder))
    assert len(os.listdir(folder)) == 6 and bert_tf.load(folder)


def test_another_head_starts_anew(saved):
    model, folder = saved()
    same = read_source(folder).model(num_labels=3)
    np.testing.assert_array_equal(same.classifier.kernel, model.classifier.kernel)
    other = read_source(folder).model(num_labels=1)
    assert other.classifier.kernel.shape == (8, 1)
    np.testing.assert_array_equal(other.encoder.pooler.kernel, model.encoder.pooler.kernel)


def test_new_gates_start_anew(saved):
    _, folder = saved("factorized")
    source = read_source(folder)
    specs = {(i, "query"): ProjectionSpec(8, GATE) for i in (0, 1)}
    model = source.model(layers=source.config.with_projections(specs).layers)
    assert set(model.encoder.blocks[0].query.gate.log_alpha.numpy()) == {5.0}


def test_no_heads(vocab_file, tmp_path):
    config = EncoderConfig(**{**vars(BASE), "layers": (LayerConfig(0, 0), LayerConfig(1, 5))})
    model_dir.save(tmp_path / "m", BertModel(config), Tokenizer(vocab_file))
    assert bert_tf.load(tmp_path / "m").config == config


def test_a_truncated_file(saved):
    _, folder = saved()
    path = pathlib.Path(folder, "model.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="model.safetensors' cannot be read, .* damaged"):
        bert_tf.load(folder)


def test_nan(saved):
    model, folder = saved()
    weights = surgery.named_weights(model)
    weights["encoder.pooler.bias"][3] = np.nan
    safetensors.numpy.save_file(weights, os.path.join(folder, "model.safetensors"))
    with pytest.raises(ValueError, match="NaN or infinite values in 1 .*: encoder.pooler.bias"):
        bert_tf.load(folder)


@pytest.mark.parametrize("name", ["info.json", "tokenizer_config.json"])
def test_damaged_or_missing_json(saved, name):
    _, folder = saved()
    load = bert_tf.load_info if name == "info.json" else bert_tf.load_tokenizer
    for text, sentence in (("{", "must be JSON"), ("3", "is damaged .* expected 'object'")):
        pathlib.Path(folder, name).write_text(text)
        with pytest.raises(ValueError, match=f"The file .*{name}' {sentence}"):
            load(folder)
    os.remove(os.path.join(folder, name))
    with pytest.raises(ValueError, match=f"is no model directory: expected '{name}' in it"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("stage", 3, "'str', received 'int' at '.stage'"),
        ("task", "SST-2", "'object', received 'str' at '.task'"),
        ("task", {"labels": ["0", "1"]}, "the key 'name' at '.task'"),
        ("data_dir", 7, "'str', received 'int' at '.data_dir'"),
        ("max_seq_length", "abc", "'int', received 'str' at '.max_seq_length'"),
        ("max_seq_length", 0, "'int' >= 1 at '.max_seq_length'"),
        ("max_seq_length", True, "'int', received 'bool' at '.max_seq_length'"),
        ("scores", [], "'object', received 'array' at '.scores'"),
        ("scores", {"dev": 0.5}, "'object', received 'float' at '.scores[...]'"),
        ("scores", {"dev": {"eval_loss": "low"}}, "'float', received 'str' at '.scores"),
    ],
)
def test_damaged_values(saved, key, value, expected):
    _, folder = saved()
    info = {**bert_tf.load_info(folder), key: value}
    pathlib.Path(folder, "info.json").write_text(json.dumps(info))
    sentence = f"info.json' is damaged or of another kind: expected {expected}"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        bert_tf.load_info(folder)


def test_a_vocabulary_of_other_words(saved):
    _, folder = saved()
    path = pathlib.Path(folder, "vocab.txt")
    words = path.read_text().split()
    path.write_text("\r\n".join(words))
    assert bert_tf.load_tokenizer(folder).vocab == words  # Other ends of lines are no other words.
    path.write_text("\n".join([*words[:-2], words[-1], words[-2]]))
    for tokenizer in (lambda: bert_tf.load_tokenizer(folder), read_source(folder).tokenizer):
        with pytest.raises(ValueError, match="vocab.txt' must have the words that the model was "):
            tokenizer()
    named = read_source(folder, vocab_file=str(path))  # The user may mean other words.
    assert named.tokenizer().vocab[-1] == words[-2]
    info = bert_tf.load_info(folder)
    del info["vocabulary"]  # Older ones do not have it.
    pathlib.Path(folder, "info.json").write_text(json.dumps(info))
    assert bert_tf.load_tokenizer(folder).vocab[-1] == words[-2]


def test_no_vocabulary(saved):
    _, folder = saved()
    os.remove(os.path.join(folder, "vocab.txt"))
    with pytest.raises(ValueError, match="is no model directory: expected 'vocab.txt' in it"):
        bert_tf.load_tokenizer(folder)
    with pytest.raises(ValueError, match="No vocabulary lies next .*: neither vocab.txt nor"):
        read_source(folder).tokenizer()


@pytest.mark.parametrize(("asked", "expected"), [(None, False), (True, True)])
def test_case_of_the_tokenizer(saved, asked, expected):
    _, folder = saved()
    assert read_source(folder).do_lower_case is False
    assert read_source(folder).tokenizer(asked).do_lower_case is expected


def test_a_full_disk_leaves_the_old_model(saved, tmp_path):
    """In a process of its own, whose files cannot grow beyond a few bytes."""
    _, folder = saved(note="old")
    before = {name: pathlib.Path(folder, name).read_bytes() for name in os.listdir(folder)}
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from flop_tools import program\n"
        "import resource\n"
        "import bert_tf\n"
        "from bert_tf.checkpoints import model_dir\n"
        "def main(_):\n"
        f"    folder = {folder!r}\n"
        "    model, tokenizer = bert_tf.load(folder), bert_tf.load_tokenizer(folder)\n"
        "    model.classifier.bias.assign_add([1.0, 1.0, 1.0])\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "    model_dir.save(folder, model, tokenizer, note='new')\n"
        "program.run(main, lambda: None)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    end = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert end.returncode == 1
    assert end.stderr.splitlines()[-1].startswith("program: error: The weights cannot be written")
    assert "Traceback" not in end.stderr
    after = {name: pathlib.Path(folder, name).read_bytes() for name in os.listdir(folder)}
    assert after == before
