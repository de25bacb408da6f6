"""Tests of the span head: the model, its place in checkpoints, and the change of heads."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.checkpoints.foreign_config import read_config
from bert_tf.checkpoints.formats import FORMATS
from bert_tf.checkpoints.variables import Variables
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.families.bert import Bert
from bert_tf.families.names import per_block
from bert_tf.heads import losses
from bert_tf.heads.head import HEADS, head_of
from bert_tf.heads.span import MASKED
from bert_tf.models.bert import BertModel
from bert_tf.models.model_info import multiplications_per_token
from bert_tf.models.weight_paths import POOLER, expected_shapes
from bert_tf.surgery import compression
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import randomness, surgery
from flop_tf.backend import keras
from flop_tf.layers.projection import ProjectionSpec

CONFIG = EncoderConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
    initializer_range=0.5,
    head="span",
)
GATE = {"name": "hard_concrete", "config": {"axis": 0, "seed": 3}}
GATED = CONFIG.with_projections({(0, "query"): ProjectionSpec(8, GATE)})


def features(lengths=(6, 3), width=7):
    mask = (np.arange(width) < np.array(lengths)[:, np.newaxis]).astype(np.int32)
    ids = np.random.default_rng(1).integers(1, 13, [2, 9])[:, :width].astype(np.int32) * mask
    arrays = (ids, mask, np.zeros_like(ids))
    return dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True))


def test_every_head_has_its_class():
    assert {"classifier", "mlm", "span"} <= set(HEADS)
    for name, head in HEADS.items():
        labels = 1 if name == "mlm" else CONFIG.num_labels
        config = dataclasses.replace(CONFIG, head=name, num_labels=labels)
        assert type(BertModel(config).head) is head


def test_logits_are_of_the_tokens():
    model = BertModel(CONFIG)
    logits = model(features(), training=False)
    hidden = model.encoder(features(), training=False)["sequence_output"]
    expected = hidden @ model.span.kernel + model.span.bias
    assert logits.shape == (2, 2, 7) and logits.dtype == tf.float32
    np.testing.assert_allclose(logits[0, :, :6], tf.transpose(expected[0, :6]), atol=1e-6)
    np.testing.assert_array_equal(logits[1, :, 3:], MASKED)


@pytest.mark.parametrize("config", [CONFIG, GATED])
def test_padding_changes_neither_logits_nor_loss(config):
    model = BertModel(config)
    narrow, wide = (model(features(width=width), training=False) for width in (6, 9))
    np.testing.assert_allclose(narrow, wide[..., :6], atol=1e-5)
    labels, loss = tf.constant([[1, 5], [0, 2]]), losses.task_loss(False)
    assert float(loss(labels, narrow)) == pytest.approx(float(loss(labels, wide)), abs=1e-5)
    taught = [losses.distillation_loss(tf.reverse(wide, [1]), x, 2.0) for x in (narrow, wide)]
    assert float(taught[0]) == pytest.approx(float(taught[1]), abs=1e-5) and taught[0] > 0.01


def test_predict_joins_batches_of_any_width():
    model = BertModel(CONFIG)
    model.compile()
    spec = {name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_NAMES}
    batches = tf.data.Dataset.from_generator(
        lambda: (features(width=width) for width in (6, 8)), output_signature=spec
    )
    logits = model.predict(batches, verbose=0)
    assert logits.shape == (4, 2, 9)
    np.testing.assert_allclose(logits[:2], logits[2:], atol=1e-5)
    np.testing.assert_array_equal(logits[:2, :, 6:], MASKED)


def test_the_pooler_rests():
    model = BertModel(CONFIG)
    model.compile("sgd", loss=losses.task_loss(False))
    before = surgery.named_weights(model)
    model.train_on_batch(features(), tf.constant([[1, 5], [0, 2]]))
    changed = {
        path for path, w in surgery.named_weights(model).items() if (w != before[path]).any()
    }
    assert changed >= {"span.kernel", "span.bias", "encoder.blocks.0.query.kernel"}
    assert not changed & set(POOLER)


def test_dropout_is_that_of_the_encoder_alone():
    model = BertModel(dataclasses.replace(CONFIG, hidden_dropout_prob=0.5))
    with randomness.step_scope(0, 1):
        hidden = model.encoder(features(), training=True)["sequence_output"]
        logits = model(features(), training=True)
    expected = tf.transpose(hidden @ model.span.kernel + model.span.bias, [0, 2, 1])
    np.testing.assert_allclose(logits[0, :, :6], expected[0, :, :6], atol=1e-6)


def test_reload(tmp_path):
    model = BertModel(GATED)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is BertModel and again.config == GATED
    np.testing.assert_allclose(again(features()), model(features()), atol=1e-6)


def test_multiplications():
    classifier = dataclasses.replace(CONFIG, head="classifier")
    # The head reads ten tokens; pooler and classifier read one.
    difference = 2 * 8 - (8 * 8 + 8 * 2) / 10
    counts = [multiplications_per_token(config, 10) for config in (CONFIG, classifier)]
    assert counts[0] - counts[1] == round(difference)


def test_old_configs_are_classifiers():
    data = CONFIG.to_dict()
    assert data.pop("head") == "span"
    assert EncoderConfig.from_dict(data).head == "classifier"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"head": "spans"},
            r"`head` must be one of \['classifier', 'mlm', 'span', 'tokens'\], received 'spans'",
        ),
        ({"num_labels": 3}, "`num_labels` must be 2 with the head 'span', received 3"),
    ],
)
def test_bad_heads(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        head_of(dataclasses.replace(CONFIG, **changes))


# Model directories


@pytest.fixture
def saved(vocab_file, tmp_path):
    """Saves a model of a config, and returns it and its folder."""

    def save(config):
        config = dataclasses.replace(config, vocab_size=30)
        model = BertModel(config)
        model_dir.save(tmp_path / "model", model, Tokenizer(vocab_file))
        return model, str(tmp_path / "model")

    return save


def test_model_directory(saved):
    model, folder = saved(GATED)
    again = bert_tf.load(folder)
    assert type(again) is BertModel and again.config == model.config
    weights = surgery.named_weights(again)
    assert set(weights) == set(expected_shapes(again.config))
    for path, array in surgery.named_weights(model).items():
        np.testing.assert_array_equal(weights[path], array)


@pytest.mark.parametrize(("before", "after"), [("classifier", "span"), ("span", "classifier")])
def test_another_head_starts_anew(saved, before, after):
    """Both heads are of two outputs: their shapes alone do not tell them apart."""
    model, folder = saved(dataclasses.replace(CONFIG, head=before))
    other = read_source(folder).model(head=after)
    assert type(other.head) is HEADS[after]
    kernels = [surgery.named_weights(m)[f"{m.config.head}.kernel"] for m in (model, other)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
    np.testing.assert_array_equal(other.encoder.pooler.kernel, model.encoder.pooler.kernel)


def test_surgery(saved):
    model, folder = saved(CONFIG)
    factorized, origin = compression.factorize(read_source(folder))
    batches = [(features(),)]
    assert compression.largest_difference(model, factorized, batches) < 1e-5
    assert origin["span.kernel"] == compression.CARRIED
    anew, origin = compression.factorize(read_source(folder), keep_head=False)
    assert type(anew) is BertModel and origin["span.kernel"] == compression.NEW
    gated = BertModel(compression.with_gates(factorized.config, "hard_concrete"))
    weights = surgery.named_weights(factorized)
    gates = [path for path in surgery.named_weights(gated) if path.endswith("log_alpha")]
    surgery.assign_weights(gated, weights, new=gates)
    for gate in gated.gates:
        gate.log_alpha.assign(np.linspace(-5, 1, gate.log_alpha.shape[0]))
    compact = compression.remove_masks(gated)
    assert compression.largest_difference(gated, compact, batches) < 1e-5
    assert compression.largest_difference(factorized, compact, batches) > 1e-3


# Google and Hugging Face


def variables(name, config=CONFIG, **changes):
    """The variables of a checkpoint by the names of its format; None takes one away."""
    rng = np.random.default_rng(0)
    shapes = expected_shapes(config)
    rows = per_block(Bert.names[name].table, config.num_hidden_layers)
    arrays = {}
    for path, shape in shapes.items():
        row, array = rows[path], rng.normal(size=shape).astype(np.float32)
        arrays[row.name] = array.T if row.transform is np.transpose else array
    arrays = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    shapes = {name: array.shape for name, array in arrays.items()}
    return Variables("Checkpoint 'x'", shapes, arrays.__getitem__)


SQUAD = ("cls/squad/output_weights", "cls/squad/output_bias")
QA = ("qa_outputs.weight", "qa_outputs.bias")
GIVEN = [("google_tf1", SQUAD), ("hugging_face", QA)]


def read(name, given, config_file):
    return FORMATS[name]().weights(given, read_config(config_file))


@pytest.fixture
def config_file(tmp_path):
    data = CONFIG.to_dict()
    del data["head"], data["num_labels"]
    (tmp_path / "config.json").write_text(json.dumps(data), "utf-8")
    return str(tmp_path / "config.json")


@pytest.mark.parametrize(("name", "names"), GIVEN)
def test_import(name, names, config_file):
    given = variables(name)
    assert [given.shapes[name] for name in names] == [(2, 8), (2,)]
    config, weights = read(name, given, config_file)
    assert config == CONFIG and set(weights) == set(expected_shapes(CONFIG))
    np.testing.assert_array_equal(weights["span.kernel"], given.read(names[0]).T)
    np.testing.assert_array_equal(weights["span.bias"], given.read(names[1]))


@pytest.mark.parametrize(("name", "names"), GIVEN)
def test_import_of_what_does_not_fit(name, names, config_file):
    for changes, sentence in (
        ({names[1]: None}, f"lacks 1 variables .*: {names[1]}; check"),
        (
            {names[1]: np.zeros(3, np.float32)},
            rf"{names[1]} gives \[3\] instead of \[2\]; check",
        ),
        (
            {names[0]: np.zeros([2, 9], np.float32)},
            rf"{names[0]} gives \[9, 2\] instead of \[8, 2\]; check",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            read(name, variables(name, **changes), config_file)


def test_two_heads_are_one_too_many(config_file):
    head = {"output_weights": np.zeros([3, 8], np.float32), "output_bias": np.zeros(3, np.float32)}
    config, weights = read(
        "google_tf1", variables("google_tf1", **dict.fromkeys(SQUAD), **head), config_file
    )
    assert (config.head, config.num_labels) == ("classifier", 3) and "span.bias" not in weights
    both = {"classifier.weight": head["output_weights"], "classifier.bias": head["output_bias"]}
    with pytest.raises(ValueError, match=r"has no use for: qa_outputs\.bias, qa_outputs\.weight"):
        read("hugging_face", variables("hugging_face", **both), config_file)


def test_a_model_of_transformers_has_no_pooler(config_file, tmp_path, vocab_file):
    pooler = ("pooler.dense.weight", "pooler.dense.bias")
    given = variables("hugging_face", **dict.fromkeys(pooler))
    tensors = {f"bert.{n}" if n not in QA else n: given.read(n) for n in given.shapes}
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    source = read_source(tmp_path)
    assert source.config.head == "span" and not set(POOLER) & set(source.weights)
    model = source.model()
    np.testing.assert_array_equal(model.span.bias, given.read("qa_outputs.bias"))
    factorized, origin = compression.factorize(source)
    assert origin[POOLER[0]] == compression.NEW
    difference = compression.largest_difference(model, factorized, [(features(),)])
    assert difference < 1e-5
    with pytest.raises(ValueError, match=r"lacks 1 variables .*: pooler\.dense\.bias; check"):
        read("hugging_face", variables("hugging_face", **{pooler[1]: None}), config_file)
    nothing = dict.fromkeys((*pooler, *QA))
    _, weights = read("hugging_face", variables("hugging_face", **nothing), config_file)
    assert not set(POOLER) & set(weights)  # A start without a pooler, which is then new.
