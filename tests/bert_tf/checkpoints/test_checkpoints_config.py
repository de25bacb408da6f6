"""What the config of a foreign BERT says of its mathematics, its head and its labels."""

import json

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from bert_tf.checkpoints import hugging_face_folder as writing
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions
from bert_tf.models.weight_paths import POOLER, in_encoder

NAMES = {"id2label": {"0": "positive", "1": "negative"}}


@pytest.fixture
def log(caplog):
    caplog.set_level("INFO", logger="absl")
    return caplog


# Keys


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("pruned_heads", {"0": [1]}),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("embedding_size", 16),
        ("emb_size", 16),
        ("layer_norm_type", "pre"),
        ("quantization_config", {"bits": 8}),
        ("auto_map", {"AutoModel": "modeling.Other"}),
        ("tie_word_embeddings", False),
        ("hidden_act", "quick_gelu"),
        ("hidden_act", "gelu_fast"),
    ],
)
def test_a_key_that_asks_for_another_model_is_refused(hugging_face_folder, key, value):
    with pytest.raises(ValueError, match=f"{key}.* must be|must have {key} .* received") as error:
        read_source(hugging_face_folder(**{key: value}))
    assert str(error.value).endswith(f"received {value!r}.")


@pytest.mark.parametrize(("key", "value"), [("rotary", True), ("word_embedding_rank", 8)])
def test_an_unknown_key_is_refused(hugging_face_folder, key, value):
    with pytest.raises(
        ValueError, match=f"the key '{key}' with the value {value}, which is not kn"
    ):
        read_source(hugging_face_folder(**{key: value}))


def test_keys_that_change_nothing(hugging_face_folder):
    harmless = {
        "position_embedding_type": "absolute",
        "pruned_heads": {},
        "is_decoder": False,
        "embedding_size": 32,
        "transformers_version": "5.24.0",
        "torch_dtype": "float32",
        "classifier_dropout": None,
        "_name_or_path": "bert-base-uncased",
        "hidden_act": "gelu_python",
    }
    source = read_source(hugging_face_folder(**harmless))
    assert source.config == read_source(hugging_face_folder()).config


@pytest.mark.parametrize("layers", [10**7, 999, -1])
def test_more_layers_than_there_are_weights(hugging_face_folder, layers):
    with pytest.raises(ValueError, match="`num_hidden_layers` must be|lacks .* and .* more; check"):
        read_source(hugging_face_folder(num_hidden_layers=layers))


def test_relative_positions(shared):
    with pytest.raises(ValueError, match="must have position_embedding_type 'absolute', .*relativ"):
        read_source(shared / "data" / "families" / "bert_relative_positions")


# Heads


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ({"architectures": ["BertForMultipleChoice"]}, "BertForMultipleChoice"),
        ({"architectures": ["BertModel"]}, "BertModel"),
        ({"problem_type": "ranking"}, "problem_type 'ranking' and 2 outputs"),
    ],
)
def test_a_head_that_is_lacking_is_left_out(hugging_face_folder, tmp_path, log, about, name):
    folder = hugging_face_folder(**about)
    source = read_source(folder)
    assert all(map(in_encoder, source.weights)) and name in source.missing_head
    assert name in log.text and "which is left out" in log.text
    out = str(tmp_path / "out")
    with pytest.raises(ValueError, match=f"Argument `finetuned` needs a task head .* {name}"):
        stages.factorize(FactorizeOptions(str(folder), out, finetuned=True))
    stages.factorize(FactorizeOptions(str(folder), out))
    assert model_dir.load(out).config.head == "classifier"


def test_other_weights_of_a_head_that_is_lacking(hugging_face_folder):
    folder = hugging_face_folder(architectures=["BertForMultipleChoice"])
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors["crf.transitions"] = np.zeros([2, 2], np.float32)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    assert read_source(folder).missing_head == "BertForMultipleChoice"


def test_a_missing_pooler_starts_anew(hugging_face_folder, log):
    folder = hugging_face_folder(
        without=(*POOLER, "classifier.kernel", "classifier.bias"), architectures=["BertModel"]
    )
    source = read_source(folder)
    assert not set(POOLER) & set(source.weights) and not source.missing_head
    assert "lacks encoder.pooler.kernel and encoder.pooler.bias; they start anew" in log.text
    source.model()
    without_config = hugging_face_folder(without=POOLER, architectures=None)
    assert read_source(without_config).missing_head == "a classifier that reads no pooler"


@pytest.mark.parametrize(
    ("problem", "head"),
    [
        ("multi_label_classification", "labels"),
        ("regression", "numbers"),
        ("single_label_classification", "classifier"),
    ],
)
def test_heads_of_one_layer(hugging_face_folder, shared, tmp_path, problem, head):
    source = read_source(hugging_face_folder(problem_type=problem))
    assert (source.config.head, source.missing_head) == (head, "") and source.has_head
    assert source.model().head.layer_path == "classifier"
    writing.write(source, tmp_path, "again")
    again = read_source(tmp_path)
    assert again.config == source.config
    np.testing.assert_array_equal(
        again.weights["classifier.kernel"], source.weights["classifier.kernel"]
    )


def test_several_labels_as_they_were_found(shared):
    folder = shared / "faults" / "head_multi_label"
    source, expected = read_source(folder), np.load(folder / "ref.npz")
    assert (source.config.head, len(source.labels)) == ("labels", 5)
    arrays = (tf.constant(expected[name], tf.int32) for name in ("ids", "mask", "types"))
    features = dict(zip(INPUT_NAMES, arrays, strict=True))
    np.testing.assert_allclose(source.model()(features), expected["ref"], atol=1e-5)


def test_the_class_says_which_head_has_the_weights(hugging_face_folder):
    """A classifier and the head of tokens have their weights under the same names."""
    kinds = {"BertForTokenClassification": "tokens", "BertForSequenceClassification": "classifier"}
    kinds |= {None: "classifier"}
    for architecture, head in kinds.items():
        folder = hugging_face_folder(architectures=architecture and [architecture], **NAMES)
        source = read_source(folder)
        assert source.config.head == head and source.has_head and not source.missing_head
        assert source.labels == ("positive", "negative")
        kernel = safetensors.numpy.load_file(folder / "model.safetensors")["classifier.weight"].T
        np.testing.assert_array_equal(source.weights[f"{head}.kernel"], kernel)
    without = hugging_face_folder(without=POOLER, architectures=["BertForTokenClassification"])
    assert read_source(without).has_head


def test_a_head_of_tokens_as_it_was_found(shared):
    folder = shared / "faults" / "head_tokens_with_pooler"
    found = np.load(folder / "ref.npz")
    arrays = (tf.constant(found[name], tf.int32) for name in ("ids", "mask", "types"))
    logits = read_source(folder).model()(dict(zip(INPUT_NAMES, arrays, strict=True)))
    real = found["mask"] != 0
    np.testing.assert_allclose(logits.numpy()[real], found["ref"][real], atol=1e-5)


# Names of labels


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (NAMES, ("positive", "negative")),
        ({"label2id": {"b": 1, "a": 0}}, ("a", "b")),
        ({**NAMES, "label2id": {"negative": 0, "positive": 1}}, ("positive", "negative")),
        ({"id2label": {"0": 0, "1": 1}}, ("0", "1")),
        ({}, None),
    ],
)
def test_labels(hugging_face_folder, about, expected):
    assert read_source(hugging_face_folder(**about)).labels == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            {"0": "a", "2": "b"},
            "must name the labels of the outputs 0 to 1, received names of 0, 2",
        ),
        ({"0": "a", "1": "a"}, "a name of its own for each of the 2 outputs .* received .'a', 'a'"),
        (["a", "b"], "must have names of labels that fit: expected 'object | null'"),
    ],
)
def test_labels_that_fit_no_head(hugging_face_folder, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_source(hugging_face_folder(id2label=names))


def test_fewer_labels_than_outputs(hugging_face_folder):
    folder = hugging_face_folder()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a"}}))
    with pytest.raises(ValueError, match="a name of its own for each of the 2 outputs"):
        read_source(folder)
