import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from bert_tf.checkpoints import read_source
from bert_tf.checkpoints.foreign_config import read_config
from bert_tf.checkpoints.formats import FORMATS
from bert_tf.checkpoints.translation import translate
from bert_tf.checkpoints.variables import Variables, open_checkpoint
from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.families.bert import Bert
from bert_tf.models.weight_paths import expected_shapes, in_encoder
from flop_tf.layers.projection import ProjectionSpec

GOOGLE = Bert.names["google_tf1"]
CONFIG = EncoderConfig(
    vocab_size=11,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=7,
    num_labels=3,
)


def random_weights(config=CONFIG, seed=0):
    rng = np.random.default_rng(seed)
    shapes = expected_shapes(config)
    return {path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}


def assert_same(weights, expected):
    assert sorted(weights) == sorted(expected)
    for path, array in expected.items():
        np.testing.assert_array_equal(weights[path], array, err_msg=path)


def encoder_of(weights):
    return {path: array for path, array in weights.items() if in_encoder(path)}


# The names that transformers writes for BertForSequenceClassification, spelled out.
def hugging_face_tensors(weights, num_layers=2):
    tensors = {
        "bert.embeddings.word_embeddings.weight": weights["encoder.embeddings.word_embeddings"],
        "bert.embeddings.position_embeddings.weight": weights[
            "encoder.embeddings.position_embeddings"
        ],
        "bert.embeddings.token_type_embeddings.weight": weights[
            "encoder.embeddings.token_type_embeddings"
        ],
        "bert.embeddings.LayerNorm.weight": weights["encoder.embeddings.layer_norm.gamma"],
        "bert.embeddings.LayerNorm.bias": weights["encoder.embeddings.layer_norm.beta"],
        "bert.pooler.dense.weight": weights["encoder.pooler.kernel"].T,
        "bert.pooler.dense.bias": weights["encoder.pooler.bias"],
        "classifier.weight": weights["classifier.kernel"].T,
        "classifier.bias": weights["classifier.bias"],
    }
    linear = {
        "attention.self.query": "query",
        "attention.self.key": "key",
        "attention.self.value": "value",
        "attention.output.dense": "attention_output",
        "intermediate.dense": "ffn_in",
        "output.dense": "ffn_out",
    }
    norms = {"attention.output.LayerNorm": "attention_norm", "output.LayerNorm": "ffn_norm"}
    for i in range(num_layers):
        theirs, ours = f"bert.encoder.layer.{i}", f"encoder.blocks.{i}"
        for name, path in linear.items():
            tensors[f"{theirs}.{name}.weight"] = weights[f"{ours}.{path}.kernel"].T
            tensors[f"{theirs}.{name}.bias"] = weights[f"{ours}.{path}.bias"]
        for name, path in norms.items():
            tensors[f"{theirs}.{name}.weight"] = weights[f"{ours}.{path}.gamma"]
            tensors[f"{theirs}.{name}.bias"] = weights[f"{ours}.{path}.beta"]
    return {name: np.ascontiguousarray(array) for name, array in tensors.items()}


def write_config(folder, name="config.json", **changes):
    data = CONFIG.to_dict()
    del data["num_labels"]
    (folder / name).write_text(json.dumps({**data, **changes}), "utf-8")


@pytest.fixture
def hugging_face_dir(tmp_path):
    save_file(hugging_face_tensors(random_weights()), tmp_path / "model.safetensors")
    write_config(tmp_path, model_type="bert", architectures=["BertForSequenceClassification"])
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nmot\u2028leys\n", "utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}', "utf-8")
    return tmp_path


def edit_tensors(folder, change):
    tensors = hugging_face_tensors(random_weights())
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


# Google's TF1 checkpoints


@pytest.mark.parametrize(
    "name",
    ["", "bert_model.ckpt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"],
)
def test_toy_checkpoint_is_read_from_folder_prefix_and_files(shared, name):
    folder = shared / "data" / "bert_toy_tf1"
    source = read_source(folder / name)
    assert source.format == "google_tf1"
    assert source.config == EncoderConfig.from_json_file(folder / "bert_config.json")
    assert source.vocab_file == str(folder / "vocab.txt")
    assert source.do_lower_case is None
    reader = tf.train.load_checkpoint(str(folder / "bert_model.ckpt"))
    expected = encoder_of(expected_shapes(source.config))
    assert {path: array.shape for path, array in source.weights.items()} == expected
    assert all(array.dtype == np.float32 for array in source.weights.values())
    head = {"classifier.kernel": np.zeros([4, 2]), "classifier.bias": np.zeros(2)}
    arrays = google_arrays({**source.weights, **head})
    assert len(arrays) == len(expected) + 2
    for name in set(arrays) - {"output_weights", "output_bias"}:
        np.testing.assert_array_equal(arrays[name], reader.get_tensor(name))


def test_table_covers_the_names_and_shapes_of_a_published_checkpoint(shared):
    folder = shared / "data" / "bert_mini_index"
    index = open_checkpoint(str(folder / "bert_model.ckpt"))
    zeros = Variables(index.origin, index.shapes, lambda name: np.zeros(index.shapes[name]))
    _, weights = FORMATS["google_tf1"]().weights(zeros, read_config(folder / "bert_config.json"))
    config = EncoderConfig.from_json_file(folder / "bert_config.json")
    assert {k: v.shape for k, v in weights.items()} == encoder_of(expected_shapes(config))
    known = sum(not name.startswith("cls/") for name in index.shapes)
    assert len(weights) == known == 71


def write_tf1_checkpoint(prefix, arrays):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, array in arrays.items():
            tf.compat.v1.get_variable(name, initializer=array)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(prefix), write_meta_graph=False)


# From the spelled names of Hugging Face, so that the table does not test itself.
def google_arrays(weights):
    arrays = {}
    for name, array in hugging_face_tensors(weights).items():
        name = re.sub(r"layer/(\d)", r"layer_\1", name.replace(".", "/"))
        name = name.replace("LayerNorm/weight", "LayerNorm/gamma")
        name = name.replace("LayerNorm/bias", "LayerNorm/beta")
        name = name.replace("_embeddings/weight", "_embeddings").replace("classifier/", "output_")
        arrays[name.replace("/weight", "/kernel")] = array.T if "/weight" in name else array
    arrays["output_weights"] = arrays.pop("output_weight")
    return arrays


def test_fine_tuned_checkpoint_brings_its_head_and_number_of_labels(tmp_path):
    weights = random_weights()
    arrays = google_arrays(weights)
    assert arrays["output_weights"].shape == (3, 8)
    arrays["output_weights/adam_m"] = arrays["output_weights"]
    arrays["global_step"] = np.int64(7)
    write_tf1_checkpoint(tmp_path / "model.ckpt-7", arrays)
    write_config(tmp_path, "bert_config.json")
    source = read_source(tmp_path)
    assert source.config == CONFIG
    assert source.vocab_file is None
    assert_same(source.weights, weights)
    assert_same(read_source(tmp_path / "checkpoint").weights, weights)


def test_config_of_a_factorized_model_does_not_fit_a_dense_checkpoint(shared):
    folder = shared / "data" / "bert_toy_tf1"
    config = EncoderConfig.from_json_file(folder / "bert_config.json")
    config = config.with_projections({(0, "query"): ProjectionSpec(2)})
    variables = open_checkpoint(str(folder / "bert_model.ckpt"))
    with pytest.raises(ValueError, match=r"layer_0/attention/self/query/kernel gives \[4, 4\]"):
        translate(variables, GOOGLE.of_task_heads(), config, GOOGLE.ignored)


# Hugging Face folders


@pytest.mark.parametrize("file", ["", "model.safetensors"])
def test_hugging_face_folder(hugging_face_dir, file):
    source = read_source(hugging_face_dir / file)
    assert source.format == "hugging_face"
    assert source.config == CONFIG
    assert source.vocab_file == str(hugging_face_dir / "vocab.txt")
    assert source.do_lower_case is False
    assert_same(source.weights, random_weights())


def test_old_names_no_prefix_and_other_types_of_numbers(hugging_face_dir):
    tensors = hugging_face_tensors(random_weights())
    renamed = {
        name.removeprefix("bert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): array.astype(np.float16)
        for name, array in tensors.items()
        if not name.startswith("classifier")
    }
    renamed["embeddings.position_ids"] = np.arange(7)[None]
    renamed["cls.predictions.bias"] = np.zeros(11, np.float32)
    save_file(renamed, hugging_face_dir / "model.safetensors")
    source = read_source(hugging_face_dir)
    expected = {
        path: array.astype(np.float16).astype(np.float32)
        for path, array in encoder_of(random_weights()).items()
    }
    assert_same(source.weights, expected)
    assert all(array.dtype == np.float32 for array in source.weights.values())
    assert source.config.num_labels == 2


def test_bfloat16(hugging_face_dir):
    bfloat16 = tf.bfloat16.as_numpy_dtype
    tensors = hugging_face_tensors(random_weights())
    save_file(
        {name: array.astype(bfloat16) for name, array in tensors.items()},
        hugging_face_dir / "model.safetensors",
    )
    bias = read_source(hugging_face_dir).weights["encoder.pooler.bias"]
    np.testing.assert_array_equal(
        bias, tensors["bert.pooler.dense.bias"].astype(bfloat16).astype(np.float32)
    )


def shard(folder):
    tensors = hugging_face_tensors(random_weights())
    names = sorted(tensors)
    files = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({n: tensors[n] for n in names if files[n] == file}, folder / file)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}), "utf-8")
    return index


def test_shards(hugging_face_dir):
    index = shard(hugging_face_dir)
    assert_same(read_source(hugging_face_dir).weights, random_weights())
    assert_same(read_source(index).weights, random_weights())


def test_missing_shard_is_named(hugging_face_dir):
    shard(hugging_face_dir)
    (hugging_face_dir / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model-00002-of-00002.safetensors' does not exist"):
        read_source(hugging_face_dir)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be JSON"),
        ("[]", "expected 'object', received 'array'"),
        ("{}", "expected the key 'weight_map'"),
        ('{"weight_map": [1]}', "expected 'object', received 'array' at '.weight_map'"),
        ('{"weight_map": {"a": 1}}', "expected 'str', received 'int' at '.weight_map"),
        ('{"weight_map": {"a": "../b"}}', "must name files of its own folder, received '../b'"),
        ('{"weight_map": {"a": "/b"}}', "must name files of its own folder, received '/b'"),
    ],
)
def test_list_of_shards_must_be_one(hugging_face_dir, text, sentence):
    shard(hugging_face_dir).write_text(text, "utf-8")
    with pytest.raises(ValueError, match=f"The list of shards .* {re.escape(sentence)}"):
        read_source(hugging_face_dir)


def test_minilm(minilm_dir):
    source = read_source(minilm_dir)
    assert source.format == "hugging_face"
    assert source.do_lower_case is True
    assert sum(array.size for array in source.weights.values()) == 22_713_216
    assert source.config.num_labels == 2


@pytest.mark.parametrize("model_type", ["gpt2", "deberta"])
def test_other_models_of_hugging_face_are_refused(hugging_face_dir, model_type):
    write_config(hugging_face_dir, model_type=model_type)
    with pytest.raises(
        ValueError, match=f"model_type 'bert' or 'distilbert' or .*, received '{model_type}'"
    ):
        read_source(hugging_face_dir)


def test_pickled_weights_are_refused(hugging_face_dir):
    (hugging_face_dir / "model.safetensors").rename(hugging_face_dir / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"PyTorch's pickle format; convert pytorch_model\.bin"):
        read_source(hugging_face_dir)


# Our own model directories


@pytest.mark.parametrize("stage", ["dense", "gated", "compact"])
def test_model_directory_of_any_stage(tmp_path, stage):
    gate = {"name": "hard_concrete", "config": {"axis": 0}}
    layers = {
        "dense": (),
        "gated": (LayerConfig(2, 12, {"query": ProjectionSpec(8, gate)}),) * 2,
        "compact": (LayerConfig(0, 5), LayerConfig(1, 0, {"value": ProjectionSpec(0)})),
    }
    config = dataclasses.replace(CONFIG, layers=layers[stage])
    weights = random_weights(config)
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "bert_config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    source = read_source(tmp_path)
    assert source.format == "model_dir"
    assert source.config == config
    assert_same(source.weights, weights)


# What does not fit


def test_missing_variables_are_listed(hugging_face_dir):
    edit_tensors(hugging_face_dir, lambda t: t.pop("bert.pooler.dense.bias"))
    with pytest.raises(ValueError, match=r"lacks 1 variables .*: pooler\.dense\.bias; check"):
        read_source(hugging_face_dir)


def test_half_a_head_is_missing_the_other_half(hugging_face_dir):
    edit_tensors(hugging_face_dir, lambda t: t.pop("classifier.bias"))
    with pytest.raises(ValueError, match=r"lacks 1 variables .*: classifier\.bias; check"):
        read_source(hugging_face_dir)


def test_a_config_of_more_layers_lists_the_missing_and_says_how_many(hugging_face_dir):
    write_config(hugging_face_dir, num_hidden_layers=4)
    with pytest.raises(ValueError, match=r"lacks 32 variables .*layer\.2\..* and 8 more; check"):
        read_source(hugging_face_dir)


def test_unused_variables_are_listed(hugging_face_dir):
    extra = {"bert.encoder.layer.0.gate": np.zeros(2, np.float32)}
    edit_tensors(hugging_face_dir, lambda t: t.update(extra))
    with pytest.raises(ValueError, match=r"no use for: encoder\.layer\.0\.gate; check"):
        read_source(hugging_face_dir)


def test_misshaped_variables_are_listed(hugging_face_dir):
    wrong = {"bert.pooler.dense.weight": np.zeros((8, 6), np.float32)}
    edit_tensors(hugging_face_dir, lambda t: t.update(wrong))
    with pytest.raises(ValueError, match=r"pooler\.dense\.weight gives \[6, 8\] instead of \[8"):
        read_source(hugging_face_dir)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.int8])
def test_weights_that_are_no_floats_are_named(hugging_face_dir, dtype):
    wrong = {"bert.pooler.dense.weight": np.ones((8, 8), dtype)}
    edit_tensors(hugging_face_dir, lambda t: t.update(wrong))
    with pytest.raises(ValueError, match=r"floating point numbers in 'pooler\.dense\.weight', rec"):
        read_source(hugging_face_dir)


def test_wrong_vocabulary_size_of_the_config(hugging_face_dir):
    write_config(hugging_face_dir, vocab_size=12)
    with pytest.raises(ValueError, match="word embedding of 11 rows .* has vocab_size 12"):
        read_source(hugging_face_dir)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(hugging_face_dir, value):
    def spoil(tensors):
        tensors["bert.encoder.layer.1.output.dense.bias"][3] = value

    edit_tensors(hugging_face_dir, spoil)
    with pytest.raises(ValueError, match=r"NaN or infinite .*: encoder\.layer\.1\.output\.den"):
        read_source(hugging_face_dir)


def test_a_vocabulary_shorter_than_the_embedding_is_worth_a_word(hugging_face_dir, caplog):
    rows = 3 + 128
    weights = load_file(hugging_face_dir / "model.safetensors")
    for name, array in weights.items():
        if "word_embeddings" in name:
            weights[name] = np.resize(array, [rows, array.shape[1]])
    save_file(weights, hugging_face_dir / "model.safetensors")
    write_config(hugging_face_dir, vocab_size=rows)
    caplog.clear()
    assert read_source(hugging_face_dir).config.vocab_size == rows
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "has 3 tokens for the 131 rows of the word embedding; check" in record.getMessage()


def test_vocabulary_with_more_lines_than_rows(hugging_face_dir):
    (hugging_face_dir / "vocab.txt").write_text("a\n" * 12, "utf-8")
    with pytest.raises(ValueError, match=r"vocab.txt' has 12 lines, more than the 11 rows"):
        read_source(hugging_face_dir)


def test_vocabulary_by_argument(hugging_face_dir, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "words.txt"
    other.write_text("a\nb", "utf-8")
    assert read_source(hugging_face_dir, vocab_file=str(other)).vocab_file == str(other)
    with pytest.raises(ValueError, match="The vocabulary 'nowhere.txt' does not exist"):
        read_source(hugging_face_dir, vocab_file="nowhere.txt")


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "must be JSON"), ("[]", "is damaged .* expected 'object'")]
)
def test_tokenizer_config_must_be_an_object(hugging_face_dir, text, sentence):
    (hugging_face_dir / "tokenizer_config.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=f"The tokenizer config .* {sentence}"):
        read_source(hugging_face_dir)


# What is missing or damaged


def test_config_is_needed_and_can_be_named(hugging_face_dir):
    (hugging_face_dir / "config.json").rename(hugging_face_dir / "elsewhere.json")
    with pytest.raises(ValueError, match=r"needs a BERT config: expected 'config\.json' in"):
        read_source(hugging_face_dir)
    config_file = str(hugging_face_dir / "elsewhere.json")
    assert read_source(hugging_face_dir, config_file=config_file).config == CONFIG


def test_missing_path_empty_folder_and_other_files(tmp_path):
    with pytest.raises(ValueError, match=r"bert_model\.ckpt' does not exist: expected a folder or"):
        read_source(tmp_path / "bert_model.ckpt")
    with pytest.raises(ValueError, match="holds no checkpoint: expected 'model.safetensors'"):
        read_source(tmp_path)
    (tmp_path / "notes.txt").write_text("x", "utf-8")
    with pytest.raises(ValueError, match=r"notes\.txt' is no checkpoint: expected"):
        read_source(tmp_path / "notes.txt")


def test_several_checkpoints_need_a_choice(shared, tmp_path):
    for path in (shared / "data" / "bert_toy_tf1").iterdir():
        for name in ("a", "b"):
            shutil.copy(path, tmp_path / path.name.replace("bert_model", name))
    with pytest.raises(ValueError, match=r"several checkpoints, a\.ckpt, b\.ckpt; pass the prefix"):
        read_source(tmp_path)
    assert read_source(tmp_path / "b.ckpt").format == "google_tf1"


def test_checkpoint_without_data(shared):
    with pytest.raises(ValueError, match=r"bert_mini_index.* cannot be read, because it is inc"):
        read_source(shared / "data" / "bert_mini_index")


@pytest.mark.parametrize("size", [0, 100, 5000])
@pytest.mark.parametrize("file", ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
def test_truncated_checkpoint(shared, tmp_path, file, size):
    for path in (shared / "data" / "bert_toy_tf1").iterdir():
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(
            data[: min(size, len(data) - 1)] if path.name == file else data
        )
    with pytest.raises(ValueError, match=r"cannot be read, because it is incomplete or damaged"):
        read_source(tmp_path)


@pytest.mark.parametrize("size", [0, 4, 100, 2000])
def test_truncated_safetensors(hugging_face_dir, size):
    path = hugging_face_dir / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"model\.safetensors' cannot be read, because it is inc"):
        read_source(hugging_face_dir)
