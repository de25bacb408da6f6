"""Models of each family as `transformers` saved them, with its outputs; and through the chain."""

import dataclasses
import json

import latency_tables
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import bert_tf
from bert_tf.checkpoints import read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.families.family import FAMILIES
from bert_tf.families.names import per_block
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions, RemoveOptions
from bert_tf.models.bert import BertModel
from bert_tf.runs import finetuning
from flop_tf import surgery
from flop_tf.backend import keras

NEW = ("distilbert_classes", "electra_small", "roberta_classes", "xlm_roberta_classes")
FOLDERS = ("bert_classes", "bert_regression", "bert_sharded", *NEW)

SIZES = {"vocab_size": 22, "max_position_embeddings": 18, "initializer_range": 0.05}
ABOUT = {
    "distilbert": {
        **SIZES,
        **{"dim": 32, "hidden_dim": 48, "n_heads": 2, "n_layers": 1, "dropout": 0.2},
        **{"activation": "relu", "attention_dropout": 0.3, "sinusoidal_pos_embds": True},
    },
    "electra": {
        **SIZES,
        **{"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2},
        **{"num_hidden_layers": 1, "embedding_size": 24, "type_vocab_size": 2},
    },
}
ABOUT["roberta"] = {
    **{key: value for key, value in ABOUT["electra"].items() if key != "embedding_size"},
    **{"type_vocab_size": 1, "pad_token_id": 3},
}
CONFIGS = {
    "distilbert": EncoderConfig(
        *(22, 32, 1, 2, 48),
        hidden_act="relu",
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3,
        max_position_embeddings=18,
        type_vocab_size=0,
        initializer_range=0.05,
        pooler_act="relu",
    ),
    "electra": EncoderConfig(
        *(22, 32, 1, 2, 48),
        max_position_embeddings=18,
        initializer_range=0.05,
        embedding_size=24,
        pooler_act="gelu",
    ),
    "roberta": EncoderConfig(
        *(22, 32, 1, 2, 48),
        max_position_embeddings=18,
        type_vocab_size=1,
        initializer_range=0.05,
        position_offset=4,
    ),
}


def theirs(folder):
    """Returns a batch and the outputs that `transformers` gave for it."""
    found = dict(np.load(folder / "expected.npz"))
    ids, mask = found["input_ids"], found["attention_mask"]
    arrays = (ids, mask, found.get("token_type_ids", 0 * ids))
    features = [tf.constant(array.astype(np.int32)) for array in arrays]
    return dict(zip(INPUT_NAMES, features, strict=True)), found


@pytest.mark.parametrize("name", FOLDERS)
def test_outputs_and_ids_are_those_of_transformers(shared, name):
    folder = shared / "data" / "families" / name
    source, (batch, expected) = read_source(folder), theirs(folder)
    model = source.model()
    assert source.has_head and model.config.num_labels == expected["out_logits"].shape[1]
    hidden = model.encoder(batch, training=False)["sequence_output"].numpy()
    real = expected["attention_mask"] != 0
    np.testing.assert_allclose(hidden[real], expected["out_hidden_last"][real], atol=1e-5)
    logits = model(batch, training=False)
    np.testing.assert_allclose(logits, expected["out_logits"], atol=1e-5)
    texts = json.loads((folder / "texts.json").read_text())
    tokenizer = source.tokenizer()
    for pairs, ids in ((None, "single_ids"), (texts["pairs"], "pair_ids")):
        assert tokenizer.encode(texts["texts"], pairs, 512).ids.to_list() == texts[ids]


# XLM-R is RoBERTa with another tokenizer.
@pytest.mark.parametrize("name", NEW[:-1])
def test_the_chain(shared, name, options, sst_dir, export, tmp_path):
    folder = shared / "data" / "families" / name
    batch, _ = theirs(folder)
    factorized, compact, exported = (str(tmp_path / part) for part in "fce")
    dense = read_source(folder).model()
    fits = dense.config.num_labels == 2
    settings = {"finetuned": fits, "data_dir": sst_dir, "task_name": "sst-2"}
    stages.factorize(FactorizeOptions(str(folder), factorized, **settings))
    found = bert_tf.load(factorized)
    hidden = [model.encoder(batch)["sequence_output"] for model in (found, dense)]
    np.testing.assert_allclose(*hidden, atol=1e-5)
    if fits:
        np.testing.assert_allclose(found(batch), dense(batch), atol=1e-5)
    gated = options(init_checkpoint=factorized, target_sparsity=0.4, num_train_epochs=1)
    finetuning.finetune(gated)
    assert stages.remove_mask(RemoveOptions(gated.output_dir, compact)) < 1e-5
    model = bert_tf.load(compact)
    assert model.config != model.config.dense
    for field in ("pooler_act", "position_offset", "embedding_size", "type_vocab_size"):
        assert getattr(model.config, field) == getattr(dense.config, field)
    names = ["saved_model", "onnx", "onnx_int8"]
    tables = tuple(
        latency_tables.write(str(tmp_path), engine, hidden_size=48, head_size=12)
        for engine in ("tensorflow", "onnxruntime", "onnxruntime_int8")
    )
    target = {"format_names": names, "optimize_for": (8, 16), "table_files": tables}
    export(compact, exported, **target)
    served = tf.saved_model.load(f"{exported}/1").signatures["serving_default"](**batch)
    np.testing.assert_allclose(served["logits"], model(batch), atol=1e-5)
    report = json.loads((tmp_path / "e/1/assets.extra/export.json").read_text())
    assert {row["format"] for row in report["engines"] if "left_out" not in row} >= set(names[:2])


def write(folder, family, head, architecture):
    """Writes a random model with a head of ours as `transformers` names it; returns it."""
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(CONFIGS[family], head=head, num_labels=1 if head == "mlm" else 2)
    model = BertModel(config)
    for variable in model.weights:
        variable.assign_add(tf.fill(variable.shape, 0.02))
    names = FAMILIES[family].names["hugging_face"]
    rows, arrays = per_block(names.table, 1), {}
    for path, array in surgery.named_weights(model).items():
        inside = rows[path].name.startswith(("embeddings", "encoder", "transformer"))
        name = (names.prefix if inside else "") + rows[path].name
        arrays[name] = np.ascontiguousarray(rows[path].transform(array))
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    about = {"model_type": family, "architectures": [architecture], **ABOUT[family]}
    (folder / "config.json").write_text(json.dumps(about))
    return model


@pytest.mark.parametrize(
    ("family", "head", "architecture"),
    [
        ("distilbert", "classifier", "DistilBertForSequenceClassification"),
        ("distilbert", "span", "DistilBertForQuestionAnswering"),
        ("distilbert", "tokens", "DistilBertForTokenClassification"),
        ("electra", "classifier", "ElectraForSequenceClassification"),
        ("electra", "span", "ElectraForQuestionAnswering"),
        ("electra", "tokens", "ElectraForTokenClassification"),
        ("roberta", "classifier", "RobertaForSequenceClassification"),
        ("roberta", "span", "RobertaForQuestionAnswering"),
        ("roberta", "tokens", "RobertaForTokenClassification"),
    ],
)
def test_heads_and_keys_of_configs(family, head, architecture, tmp_path):
    model = write(tmp_path, family, head, architecture)
    assert FAMILIES[family].architecture(family, head) == architecture
    source = read_source(tmp_path)
    assert source.has_head and source.config == model.config
    found = source.model()
    weights = surgery.named_weights(model)
    for path, array in surgery.named_weights(found).items():
        np.testing.assert_array_equal(array, weights[path], err_msg=path)


@pytest.mark.parametrize(
    ("family", "architecture"),
    [("distilbert", "DistilBertForMaskedLM"), ("roberta", "RobertaForMaskedLM")],
)
def test_the_head_of_masked_words_is_read_where_it_is_wanted(family, architecture, tmp_path):
    model = write(tmp_path, family, "mlm", architecture)
    source = read_source(tmp_path, pretraining_head=True)
    found = dataclasses.replace(source, config=model.config).model()
    weights = surgery.named_weights(model)
    for path in ("mlm.dense.kernel", "mlm.layer_norm.gamma", "mlm.output_bias"):
        np.testing.assert_array_equal(surgery.named_weights(found)[path], weights[path])
    assert not read_source(tmp_path).has_head


def test_a_pretrained_electra_has_no_head_of_ours(tmp_path):
    model = write(tmp_path, "electra", "classifier", "ElectraForPreTraining")
    arrays = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    arrays = {name: array for name, array in arrays.items() if not name.startswith("classifier")}
    for name, shape in (("dense.weight", [32, 32]), ("dense_prediction.bias", [1])):
        arrays[f"discriminator_predictions.{name}"] = np.ones(shape, np.float32)
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
    source = read_source(tmp_path)
    assert not source.has_head and not source.missing_head
    words = "encoder.embeddings.word_embeddings"
    np.testing.assert_array_equal(source.weights[words], surgery.named_weights(model)[words])


@pytest.mark.parametrize(
    ("family", "changes", "sentence"),
    [
        ("distilbert", {"hidden_size": 32}, "has the key 'hidden_size' .* not known"),
        ("distilbert", {"n_heads": 3}, "cannot be used: .*num_attention_heads"),
        ("electra", {"position_embedding_type": "relative_key"}, "position_embedding_type 'absol"),
        ("electra", {"embedding_size": 0}, "cannot be used: .*embedding_width"),
        ("roberta", {"pad_token_id": 40}, "cannot be used: .*position_offset"),
        ("roberta", {"pad_token_id": None}, "'pad_token_id' must be a whole number .* None"),
    ],
)
def test_configs_that_are_refused(family, changes, sentence, tmp_path):
    write(tmp_path, family, "classifier", "None")
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**about, **changes}))
    with pytest.raises(ValueError, match=sentence):
        read_source(tmp_path)
