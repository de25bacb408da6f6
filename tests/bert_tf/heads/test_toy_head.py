"""A head that nothing but this file knows goes through every stage of the chain.

It has two layers on the mean of the tokens, and a loss, a metric and answers of its own.
"""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

import bert_tf
from bert_tf.data.examples import Table
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.heads.head import HEADS, Head, register_head
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.models.weight_paths import POOLER, expected_shapes
from bert_tf.runs import finetuning
from bert_tf.tasks import registry
from bert_tf.tasks.text_task import TextTask
from flop_tf import surgery
from flop_tf.backend import keras

WIDTH = 4


class TwoLayers(keras.layers.Layer):
    def __init__(self, outputs, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(WIDTH, activation="tanh")
        self.last = keras.layers.Dense(outputs)

    def call(self, inputs):
        return self.last(self.first(inputs))


class Hinge(keras.losses.Loss):
    def call(self, y_true, y_pred):
        labels = tf.reshape(tf.cast(y_true, tf.int32), [-1])  # Keras adds an axis of 1.
        signs = 2 * tf.one_hot(labels, y_pred.shape[-1]) - 1
        return tf.reduce_sum(tf.nn.relu(1 - signs * y_pred), axis=-1)


class Tone(Head):
    reads_pooler = False
    output_weights = ("last.kernel", "last.bias")

    def shapes(self):
        hidden, outputs = self.config.hidden_size, self.config.num_labels
        first = {"first.kernel": (hidden, WIDTH), "first.bias": (WIDTH,)}
        return {**first, "last.kernel": (WIDTH, outputs), "last.bias": (outputs,)}

    def layer(self):
        return TwoLayers(self.config.num_labels, dtype="float32", name=self.name)

    def logits(self, layer, encoded, features, training=None):
        mask = tf.cast(features["input_mask"], tf.float32)[..., tf.newaxis]
        total = tf.reduce_sum(mask * encoded["sequence_output"], axis=1)
        return layer(total / tf.reduce_sum(mask, axis=1))

    @staticmethod
    def loss(num_outputs):
        return Hinge()

    def multiplications(self, length):
        return self.config.hidden_size * WIDTH + WIDTH * self.config.num_labels

    @staticmethod
    def outputs(logits):
        return {"strengths": logits}

    @staticmethod
    def logits_of(outputs):
        return outputs["strengths"]

    @staticmethod
    def answers(outputs, labels, vocab):
        best = tf.argmax(outputs["strengths"], axis=-1)
        return {**outputs, "tone": tf.gather(tf.constant(labels), best)}


@dataclasses.dataclass(frozen=True)
class ToneTask(TextTask):
    primary_metric: str = "least_recall"
    metrics = ("least_recall",)

    @property
    def head(self):
        return {"head": "tone", "num_labels": self.num_outputs}

    def score(self, logits, encoded):
        right = logits.argmax(axis=-1) == encoded.labels
        recalls = [right[encoded.labels == label].mean() for label in (0, 1)]
        loss = float(self.loss()(encoded.labels, tf.constant(logits)))
        return {"eval_loss": loss, "least_recall": float(min(recalls))}


TABLES = {split: Table(f"{split}.tsv", ("sentence",), "label") for split in ("train", "dev")}
TASK = ToneTask(
    name="tone", labels=("0", "1"), splits=tuple((split, (t,)) for split, t in TABLES.items())
)


@pytest.fixture(scope="module", autouse=True)
def known():
    """The head and its task, which are unknown again afterwards."""
    with HEADS.temporary(), registry.TASKS.temporary():
        register_head("tone")(Tone)
        registry.register_task("tone")(lambda settings, data_dir, labels: TASK)
        yield


def features():
    mask = np.array([[1] * 7, [1] * 3 + [0] * 4], np.int32)
    ids = np.random.default_rng(0).integers(4, 22, [2, 7]).astype(np.int32) * mask
    return dict(zip(INPUT_NAMES, map(tf.constant, (ids, mask, 0 * ids)), strict=True))


def test_the_chain(bert_dir, sst_dir, options, export, tmp_path):
    dense, factorized, gated, compact, exported = (str(tmp_path / name) for name in "dfgce")
    task = {"task_name": "tone", "data_dir": sst_dir}
    scores = finetuning.finetune(options(task_name="tone", output_dir=dense))
    assert scores["dev"].keys() == {"eval_loss", "least_recall"}
    assert scores["dev"]["least_recall"] > 0.6
    model = bert_tf.load(dense)
    assert type(model.head) is Tone and model.config.head == "tone"
    shapes = {path: array.shape for path, array in surgery.named_weights(model).items()}
    assert shapes == expected_shapes(model.config) and "tone.last.kernel" in shapes
    before = bert_tf.load(bert_dir).encoder.pooler.kernel
    np.testing.assert_array_equal(model.encoder.pooler.kernel, before)  # Nothing reads it.

    stages.factorize(FactorizeOptions(dense, factorized, finetuned=True, **task))
    found = bert_tf.load(factorized)
    np.testing.assert_allclose(found(features()), model(features()), atol=1e-5)
    pruning = {"gate": "hard_concrete", "target_sparsity": 0.4, "num_train_epochs": 1}
    finetuning.finetune(
        options(task_name="tone", init_checkpoint=factorized, output_dir=gated, **pruning)
    )
    assert stages.remove_mask(RemoveOptions(gated, compact)) < 1e-5
    assert stages.evaluate(EvaluateOptions(compact))["dev"].keys() == {"eval_loss", "least_recall"}

    names = ["saved_model", "onnx"]
    report = export(compact, exported, format_names=names)
    assert report["compared_on"] == "dev"
    served = tf.saved_model.load(os.path.join(exported, "1")).signatures
    answers = served["serving_default"](**features())
    model = bert_tf.load(compact)
    assert set(answers) == {"strengths", "tone"}
    np.testing.assert_allclose(answers["strengths"], model(features()), atol=1e-5)
    assert set(served["text"](text=tf.constant(["so good"]))) == {"strengths", "tone"}


def test_a_checkpoint_without_pooler(bert_dir):
    source = bert_tf.checkpoints.read_source(bert_dir)
    weights = {path: array for path, array in source.weights.items() if path not in POOLER}
    bare = dataclasses.replace(source, weights=weights).model(**TASK.head)
    assert bare(features()).shape == (2, 2)
