"""Models written back as folders of Hugging Face, and read again."""

import dataclasses
import json
import os

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from bert_tf.checkpoints import hugging_face_folder, model_dir, read_source
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models.bert import BertModel
from bert_tf.serving import hugging_face_export, versions
from bert_tf.serving.servable import ServedTask
from bert_tf.surgery import compression, narrow_heads, units, word_embedding
from bert_tf.surgery.uniform import uniform
from flop_tf import surgery
from flop_tf.layers.projection import ProjectionSpec

FOLDERS = (
    *("bert_classes", "bert_regression", "bert_span", "bert_tokens"),
    *("distilbert_classes", "electra_small", "roberta_classes", "xlm_roberta_classes"),
)


def batch_of(source):
    ids = np.random.default_rng(0).integers(0, source.config.vocab_size, [2, 9])
    arrays = (ids, np.array([[1] * 9, [1] * 5 + [0] * 4]), np.zeros_like(ids))
    return {n: tf.constant(a, tf.int32) for n, a in zip(INPUT_NAMES, arrays, strict=True)}


def uneven(source):
    """Returns a model with fewer heads, narrow ones, fewer neurons, ranks and a sublayer gone."""
    config, rng = source.config, np.random.default_rng(1)
    weights = {
        p: a + np.float32(0.05 * rng.normal(size=a.shape)) for p, a in source.weights.items()
    }
    heads, size = config.num_attention_heads, config.head_size
    moments = {
        1: narrow_heads.HeadMoments(
            *(np.eye(size)[np.newaxis].repeat(heads, 0) for _ in range(3)), np.zeros([heads, size])
        )
    }
    config, weights = narrow_heads.narrow(config, weights, moments, {1: (size // 2, size // 4)})
    mask = {
        "blocks.0.heads": np.arange(heads) % 2 == 0,
        "blocks.0.neurons": np.arange(config.intermediate_size) < 40,
        "blocks.1.heads": np.arange(heads) > 0,
        "blocks.1.neurons": np.arange(config.intermediate_size) < 7,
        "blocks.2.heads": np.zeros(heads),
        "blocks.2.ffn": np.zeros(1),
    }
    config, weights = units.remove(config, weights, mask)
    specs = {(0, "query"): ProjectionSpec(3), (1, "ffn_out"): ProjectionSpec(2)}
    config, weights = compression.with_factors(config, weights, specs)
    counts = np.ones(config.vocab_size)
    config, weights = word_embedding.factorize(config, weights, counts, config.embedding_width // 2)
    return dataclasses.replace(source, config=config, weights=weights)


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_written_is_the_model(shared, name, tmp_path):
    source = read_source(shared / "data" / "families" / name)
    small = uneven(source)
    config, weights = uniform(small.config, small.weights)
    assert config.intermediate_size == 40 and config == config.dense
    variables = surgery.named_variables(BertModel(config))
    assert {path: array.shape for path, array in weights.items()} == {
        path: variable.shape for path, variable in variables.items() if path in source.weights
    }
    hugging_face_folder.write(small, tmp_path, "small")
    again = read_source(tmp_path)
    assert (again.config, again.labels, again.info) == (config, source.labels, source.info)
    batch = batch_of(source)
    np.testing.assert_allclose(again.model()(batch), small.model()(batch), atol=1e-5)
    texts = ["A film of rare charm.", "Größe [SEP] naïve café 🙂", ""]
    tokenizers = [one.tokenizer() for one in (again, source)]
    ids = [one.encode(texts, texts[::-1]).ids.to_list() for one in tokenizers]
    assert ids[0] == ids[1]
    card = (tmp_path / "README.md").read_text()
    assert "| 1 | 2 | 12, 12 | 40 | query 3 |" in card
    assert "| 2 | 3 | 6, 3 | 7 | ffn_out 2 |" in card


@pytest.mark.parametrize("name", FOLDERS)
def test_names_and_keys_are_those_that_came(shared, name, tmp_path):
    folder = shared / "data" / "families" / name
    hugging_face_folder.write(read_source(folder), tmp_path, "same")
    arrays = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    theirs = safetensors.numpy.load_file(folder / "model.safetensors")
    assert arrays.keys() <= theirs.keys()
    # Buffers, and a layer that nothing reads, are left out.
    assert all("position_ids" in n or "pooler" in n for n in theirs.keys() - arrays.keys())
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, theirs[key], err_msg=key)
    about, given = (json.loads((f / "config.json").read_text()) for f in (tmp_path, folder))
    for key in about.keys() & given.keys():
        assert about[key] == given[key], key
    assert about.keys() - given.keys() <= {"problem_type", "label2id", "id2label", "embedding_size"}


def test_an_export(shared, sst_dir, tmp_path):
    source = uneven(read_source(shared / "data" / "families" / "distilbert_classes"))
    task = {"name": "SST-2", "labels": ["0", "1"]}
    scores = {"dev": {"accuracy": 0.9}}
    compact = str(tmp_path / "compact")
    known = {**source.info, "task": task, "scores": scores}
    model_dir.save(compact, source.model(), source.tokenizer(), **known)
    version = versions.Version(str(tmp_path / "out"), command_flags="same")
    report = hugging_face_export.export(compact, version, ServedTask(data_dir=sst_dir))
    assert report["largest_difference"] < 1e-5
    assert hugging_face_export.export(compact, version, ServedTask()) is None
    files = sorted(os.listdir(version.path))
    assert {"README.md", "config.json", "model.safetensors", "vocab.txt"} <= set(files)
    card = (tmp_path / "out" / "1" / "README.md").read_text()
    assert "Task: SST-2, classes 0, 1." in card and "Scores of dev: accuracy 0.9000." in card
    about = json.loads((tmp_path / "out" / "1" / "config.json").read_text())
    assert about["id2label"] == {"0": "0", "1": "1"} and about["model_type"] == "distilbert"


def test_a_model_of_masked_words(shared, tmp_path):
    source = read_source(shared / "data" / "families" / "bert_classes")
    model = source.model(head="mlm", num_labels=1)
    given = dataclasses.replace(
        source, config=model.config, weights=surgery.named_weights(model), labels=None
    )
    hugging_face_folder.write(given, tmp_path, "words")
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["architectures"] == ["BertForMaskedLM"] and "id2label" not in about
    again = read_source(tmp_path, pretraining_head=True).model(head="mlm", num_labels=1)
    batch = batch_of(source)
    np.testing.assert_allclose(again(batch), model(batch), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "field"),
    [("distilbert_classes", "pooler_act"), ("electra_small", "embedding_size")],
)
def test_a_model_of_another_family_than_it_says(shared, tmp_path, name, field):
    source = dataclasses.replace(read_source(shared / "data" / "families" / name), info={})
    with pytest.raises(ValueError, match=f"must be of the family 'bert', .* differs in .*{field}"):
        hugging_face_folder.write(source, tmp_path, "wrong")
    assert not (tmp_path / "model.safetensors").exists()
