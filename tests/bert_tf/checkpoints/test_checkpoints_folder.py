"""Files of a foreign folder: links, paths, FIFOs, and folders with a BERT inside."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.checkpoints.variables import open_checkpoint
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.tokenizers.tokenization import Tokenizer


def move(folder, name, place):
    """Moves a file elsewhere and puts a link in its place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    (folder / name).rename(place)
    (folder / name).symlink_to(os.path.relpath(place, folder))


@pytest.mark.parametrize("name", ["vocab.txt", "config.json", "tokenizer_config.json"])
def test_a_link_out_of_the_folder_is_refused(hugging_face_folder, tmp_path, name):
    folder = hugging_face_folder()
    move(folder, name, tmp_path / "secret")
    with pytest.raises(
        ValueError, match=f"{name}' must not be a link to a file of another name.*secret"
    ):
        read_source(folder)


def test_a_vocabulary_of_elsewhere_can_be_named(hugging_face_folder, tmp_path):
    folder = hugging_face_folder()
    move(folder, "vocab.txt", tmp_path / "words.txt")
    named = str(tmp_path / "words.txt")
    assert read_source(folder, vocab_file=named).vocab_file == named


def test_links_of_the_cache_of_hugging_face(hugging_face_folder, tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    shutil.copytree(hugging_face_folder(), snapshot)
    for number, name in enumerate(os.listdir(snapshot)):
        move(snapshot, name, tmp_path / "models--a--b" / "blobs" / str(number))
    assert read_source(snapshot).vocab_file == str(snapshot / "vocab.txt")
    (tmp_path / "another" / "blobs").mkdir(parents=True)
    shutil.copy(snapshot / "vocab.txt", tmp_path / "another" / "blobs" / "9")
    (snapshot / "vocab.txt").unlink()
    (snapshot / "vocab.txt").symlink_to(tmp_path / "another" / "blobs" / "9")
    with pytest.raises(ValueError, match="must not be a link to a file of another name"):
        read_source(snapshot)


def test_links_within_the_folder_and_to_it_and_of_one_name(hugging_face_folder, tmp_path):
    folder = hugging_face_folder()
    move(folder, "config.json", tmp_path / "base" / "config.json")
    move(folder, "vocab.txt", folder / "..data" / "vocab.txt")
    (tmp_path / "other").symlink_to(folder)
    assert read_source(tmp_path / "other").labels == read_source(folder).labels


def test_a_model_directory_with_a_link(bert_dir, tmp_path):
    folder = tmp_path / "ours"
    shutil.copytree(bert_dir, folder)
    move(folder, "vocab.txt", tmp_path / "secret")
    for read in (read_source, model_dir.load_tokenizer):
        with pytest.raises(ValueError, match="must not be a link to a file of another name"):
            read(str(folder))


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "vocab.txt", "tokenizer.json", "modules.json"]
)
def test_a_fifo_is_not_waited_for(hugging_face_folder, name):
    folder = hugging_face_folder()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(ValueError, match=f"{name}' must be a regular file, received a FIFO"):
        read_source(folder)


def test_a_fifo_as_a_shard(hugging_face_folder):
    folder = hugging_face_folder()
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "part")
    index = {"weight_map": {"a": "part"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="part' must be a regular file, received a FIFO"):
        read_source(folder)


# TensorFlow's checkpoints


@pytest.fixture
def checkpoint(tmp_path):
    """A folder with a checkpoint of no BERT, which is found before it is read."""
    folder = tmp_path / "tf"
    tf.train.Checkpoint(a=tf.Variable(np.zeros(3))).write(str(folder / "model.ckpt"))
    return folder


@pytest.mark.parametrize("relative", [True, False])
def test_a_checkpoint_file_that_leads_out_of_its_folder(checkpoint, tmp_path, relative):
    other = tmp_path / "other"
    other.mkdir()
    path = "../tf/model.ckpt" if relative else str(checkpoint / "model.ckpt")
    (other / "checkpoint").write_text(f'model_checkpoint_path: "{path}"\n')
    for named in (other, other / "checkpoint"):
        with pytest.raises(ValueError, match="must name a checkpoint of its own folder, received"):
            read_source(named)
    (checkpoint / "checkpoint").write_text(f'model_checkpoint_path: "{checkpoint}/model.ckpt"\n')
    with pytest.raises(ValueError, match="holds no BertEncoder"):
        read_source(checkpoint)


def test_a_fifo_as_data(checkpoint):
    data = checkpoint / "model.ckpt.data-00000-of-00001"
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(ValueError, match="data-00000-of-00001' must be a regular file, .* a FIFO"):
        read_source(checkpoint / "model.ckpt")


def test_data_that_are_too_short_are_not_read(checkpoint):
    (checkpoint / "model.ckpt.data-00000-of-00001").write_bytes(b"")
    variables = open_checkpoint(str(checkpoint / "model.ckpt"))
    with pytest.raises(ValueError, match=r"its data files are too small for .*a.* \(3,\); fetch"):
        variables.read("a/.ATTRIBUTES/VARIABLE_VALUE")


def test_a_folder_of_tf_hub(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "variables").mkdir()
    with pytest.raises(ValueError, match="holds a SavedModel, as those of TF Hub; .*s/variables'"):
        read_source(tmp_path)


# sentence-transformers


def test_the_bert_of_sentence_transformers(hugging_face_folder, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    root = tmp_path / "sentence"
    root.mkdir()
    hugging_face_folder(architectures=["BertModel"]).rename(root / "0_Transformer")
    source = read_source(root)
    assert source.vocab_file == str(root / "0_Transformer" / "vocab.txt")
    assert "is read alone: it has no list of modules" in caplog.text


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ([], "must begin with a Transformer, received"),
        ([{"path": "", "type": "x.Pooling"}], "must begin with a Transformer, received .'x.Pool"),
        ([{"path": "../theirs", "type": "x.Transformer"}], "must name files of its own folder"),
        ({}, "expected 'array'"),
    ],
)
def test_lists_of_modules_that_are_refused(hugging_face_folder, modules, sentence):
    folder = hugging_face_folder()
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=sentence):
        read_source(folder)


def test_a_vocabulary_shorter_than_the_embedding(shared, caplog):
    source = read_source(shared / "faults" / "vocabulary_shorter_than_embedding")
    assert "has 30540 tokens for the 31540 rows" in caplog.text
    source.tokenizer()


def test_rows_without_a_token_stay(vocab_file, tmp_path):
    config = EncoderConfig(
        vocab_size=400,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    model_dir.save(tmp_path / "m", BertModel(config), Tokenizer(vocab_file))
    assert model_dir.load(tmp_path / "m").config.vocab_size == 400
