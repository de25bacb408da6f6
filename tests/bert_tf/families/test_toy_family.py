"""A family that nothing but this file knows goes through every stage of the chain.

It renames weights and keys, and differs from BERT in all that a config says: it has no segments,
its positions begin at the third row, its embeddings are narrower and its pooler is a ReLU.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import bert_tf
from bert_tf.checkpoints import read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.families.bert import Bert
from bert_tf.families.family import FAMILIES, register_family
from bert_tf.families.names import From, Names, layers, per_block
from bert_tf.heads.head import HEADS
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import POOLER
from bert_tf.runs import finetuning
from flop_tf import surgery
from flop_tf.backend import keras

PROJECTIONS = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")
DENSE = {f"encoder.blocks.{{i}}.{name}": f"layers.{{i}}.{name}" for name in PROJECTIONS}
DENSE |= {
    "encoder.embeddings.projection": "widen",
    "encoder.pooler": "head.first",
    "classifier": "head.second",
}
NORMS = {
    "encoder.embeddings.layer_norm": "norm",
    "encoder.blocks.{i}.attention_norm": "layers.{i}.norm_1",
    "encoder.blocks.{i}.ffn_norm": "layers.{i}.norm_2",
}
TABLE = {
    "encoder.embeddings.word_embeddings": From("words"),
    "encoder.embeddings.position_embeddings": From("places"),
    **layers(DENSE, {"kernel": From(".w", np.transpose), "bias": From(".b")}),
    **layers(NORMS, {"gamma": From(".scale"), "beta": From(".shift")}),
}
CONFIG = EncoderConfig(
    vocab_size=22,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=48,
    initializer_range=0.05,
    max_position_embeddings=18,
    type_vocab_size=0,
    embedding_size=24,
    position_offset=2,
    pooler_act="relu",
)


@pytest.fixture(scope="module", autouse=True)
def toy():
    """The family, which is unknown again afterwards."""
    with FAMILIES.temporary():

        @register_family("toy")
        class Toy(Bert):
            """See the module."""

            names = {"hugging_face": Names(TABLE, prefix="toy.", optional=POOLER)}
            architectures = {"ToyForClasses": "classifier"}
            known = (Bert.known - {"hidden_size"}) | {"width", "narrow", "first_place"}

            @classmethod
            def fields(cls, data):
                names = {"width": "hidden_size", "narrow": "embedding_size"}
                names |= {"first_place": "position_offset"}
                found = {names.get(key, key): value for key, value in super().fields(data).items()}
                return {**found, "type_vocab_size": 0, "pooler_act": "relu"}

        yield Toy


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, vocab_file):
    """A folder as another program wrote it, and the model in it."""
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("toy")
    model = BertModel(CONFIG)
    rows, arrays = per_block(TABLE, CONFIG.num_hidden_layers), {}
    for path, array in surgery.named_weights(model).items():
        array = rows[path].transform(array + np.float32(0.02))
        prefix = "" if rows[path].name.startswith("head.") else "toy."
        arrays[prefix + rows[path].name] = np.ascontiguousarray(array)
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    for variable in model.weights:
        variable.assign_add(tf.fill(variable.shape, 0.02))
    about = {"model_type": "toy", "architectures": ["ToyForClasses"], "first_place": 2}
    about |= {"width": 32, "narrow": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    about |= {"vocab_size": 22, "intermediate_size": 48, "max_position_embeddings": 18}
    (folder / "config.json").write_text(json.dumps({**about, "initializer_range": 0.05}))
    shutil.copy(vocab_file, folder)
    return str(folder), model


def batch(width=9):
    rng = np.random.default_rng(0)
    mask = (np.arange(width) < np.array([[width], [4]])).astype(np.int32)
    ids = rng.integers(4, 22, [2, width]).astype(np.int32) * mask
    return dict(zip(INPUT_NAMES, map(tf.constant, (ids, mask, 0 * ids)), strict=True))


def test_import(theirs):
    folder, model = theirs
    source = read_source(folder)
    assert source.config == CONFIG and source.has_head and source.format == "hugging_face"
    assert type(source.model().head) is HEADS["classifier"]
    np.testing.assert_allclose(source.model()(batch()), model(batch()), atol=1e-6)


def test_what_differs_from_bert(theirs):
    """A BERT whose first positions, segments and narrow embeddings are made to do the same."""
    _, model = theirs
    weights = surgery.named_weights(model)
    shifted = weights["encoder.embeddings.position_embeddings"][2:]
    assert CONFIG.num_positions == len(shifted) == 16
    config = dataclasses.replace(
        CONFIG, position_offset=0, max_position_embeddings=16, type_vocab_size=1
    )
    same = BertModel(config)
    surgery.assign_weights(
        same,
        {
            **weights,
            "encoder.embeddings.position_embeddings": shifted,
            "encoder.embeddings.token_type_embeddings": np.zeros([1, 24], np.float32),
        },
    )
    np.testing.assert_allclose(same(batch(16)), model(batch(16)), atol=1e-6)
    first = model.encoder(batch())["sequence_output"].numpy()[:, 0]
    pooled = np.maximum(first @ weights[POOLER[0]] + weights[POOLER[1]], 0)
    expected = pooled @ weights["classifier.kernel"] + weights["classifier.bias"]
    np.testing.assert_allclose(model(batch()), expected, atol=1e-5)
    bare = dataclasses.replace(CONFIG, pooler_act=None)
    left = {path: array for path, array in weights.items() if path not in POOLER}
    bare = BertModel(bare)
    surgery.assign_weights(bare, left)
    expected = first @ weights["classifier.kernel"] + weights["classifier.bias"]
    np.testing.assert_allclose(bare(batch()), expected, atol=1e-5)


def test_the_chain(theirs, options, sst_dir, export, tmp_path):
    factorized, compact, exported = (str(tmp_path / name) for name in "fce")
    stages.factorize(
        FactorizeOptions(theirs[0], factorized, finetuned=True, data_dir=sst_dir, task_name="sst-2")
    )
    found = bert_tf.load(factorized)
    np.testing.assert_allclose(found(batch()), theirs[1](batch()), atol=1e-5)
    gated = options(
        init_checkpoint=factorized, gate="hard_concrete", target_sparsity=0.4, num_train_epochs=1
    )
    finetuning.finetune(gated)
    assert stages.remove_mask(RemoveOptions(gated.output_dir, compact)) < 1e-5
    model = bert_tf.load(compact)
    assert model.config.embedding_size == 24 and model.config != model.config.dense
    assert set(stages.evaluate(EvaluateOptions(compact))["dev"]) > {"eval_accuracy"}
    names = ["saved_model", "onnx", "litert_float32"]
    export(compact, exported, format_names=names)
    served = tf.saved_model.load(f"{exported}/1").signatures["serving_default"](**batch())
    np.testing.assert_allclose(served["logits"], model(batch()), atol=1e-5)


def test_a_format_that_the_family_lacks(theirs):
    model_type = {"model_type": "toys"}
    folder = theirs[0]
    path = f"{folder}/other.json"
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        about = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**about, **model_type}, file)
    with pytest.raises(ValueError, match="'bert' or 'distilbert' or .* or 'toy', received 'toys'"):
        read_source(folder, path)
