"""Formats on models of a few lines: what they cannot hold, and what they need."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.encoder import INPUT_NAMES, activation
from bert_tf.serving import engines, formats
from bert_tf.serving.engines import Process
from bert_tf.serving.served_model import ServedModel
from bert_tf.serving.services import Service
from flop_tf.backend import keras

IDS = {name: np.ones([2, 3], np.int32) for name in INPUT_NAMES}


class Model(keras.Model):
    """`function(w * (sum of the ids))`, `[B, 1]`."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.w = self.add_weight(name="w", initializer="ones")

    def call(self, inputs, training=None):
        words = tf.cast(inputs["input_word_ids"], tf.float32)
        return self.function(self.w * tf.reduce_sum(words, axis=1, keepdims=True))


class Plain(Service):
    """Gives the logits as they are, and has texts without words."""

    text_names = ("text",)

    def __init__(self):
        """Of no task."""

    def texts(self, examples):
        raise NotImplementedError

    def encode(self, texts):
        raise NotImplementedError

    def features(self, texts):
        ids = tf.zeros([tf.size(texts["text"]), 1], tf.int32)
        return dict.fromkeys(INPUT_NAMES, ids)

    def outputs(self, logits):
        return {"logits": logits}

    def logits(self, outputs):
        return outputs["logits"]

    def answers(self, outputs):
        return outputs

    def text_answers(self, answers, texts, word_ids):
        return answers


def served(function, num_positions=2):
    return ServedModel(Model(function), Plain(), num_positions)


@pytest.mark.parametrize("name", [name for name in formats.FORMATS if name != "saved_model"])
def test_a_format_answers(name, tmp_path, capfd):
    """The third of three tokens is behind the last position; converters print nothing."""
    pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")
    form = formats.get(name)
    form.write(served(activation("gelu")), str(tmp_path))
    assert capfd.readouterr().err == ""
    with Process(engines.ENGINES[engines.of_format(name)], form.path(tmp_path)) as process:
        (answers,) = process.answers([("serving_default", IDS)])
    np.testing.assert_allclose(answers["logits"], [[1.9544997]] * 2, atol=1e-5)


@pytest.mark.parametrize(
    "name, family", [("litert_float32", "LiteRT"), ("litert_int8", "LiteRT"), ("onnx", "ONNX")]
)
def test_an_operation_that_a_format_lacks_is_named(name, family, tmp_path):
    pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")
    with pytest.raises(
        ValueError, match=f"^{family} cannot hold the operation Digamma of the model"
    ):
        formats.get(name).write(served(tf.math.digamma), str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentence = "'onnx' needs the package 'tf2onnx', .*; run pip install 'flop-tf\\[export\\]'"
    with pytest.raises(ValueError, match=sentence):
        formats.get("onnx")
