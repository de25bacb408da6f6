"""Embeddings from a folder of sentence-transformers to smaller models that are served."""

import json
import pathlib
import random

import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.compress import stages
from bert_tf.methods.compress.compress_options import CompressOptions
from bert_tf.methods.flop import stages as flop
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.serving import formats, hugging_face_export, services, versions
from bert_tf.serving.engines import ENGINES, Process
from bert_tf.serving.servable import ServedTask
from bert_tf.tasks import registry

pytest.importorskip("tensorflow_serving", reason="The extra `export` is not installed.")
pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")

WORDS = "the a film plot was and very so end cast good bad warm cold".split()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Sentences to learn from, and pairs whose score is the share of common words."""
    folder, rng = tmp_path_factory.mktemp("sentences"), random.Random(0)
    sentences = [" ".join(rng.choices(WORDS, k=rng.randint(1, 7))) for _ in range(90)]
    (folder / "train.txt").write_text("\n".join(sentences) + "\n")
    rows = ["sentence1\tsentence2\tscore"]
    for one, two in zip(sentences[:33], sentences[1:34], strict=True):
        common = len({*one.split()} & {*two.split()}) / len({*one.split()} | {*two.split()})
        rows.append(f"{one}\t{two}\t{5 * common:.3f}")
    (folder / "dev.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def dense(bert_dir, data_dir, tmp_path_factory):
    """The model directory of a BERT whose tokens' mean is the embedding."""
    folder = tmp_path_factory.mktemp("models") / "dense"
    options = FinetuneOptions(
        task_name="embedding",
        pooling="mean",
        l2_normalize=True,
        data_dir=str(data_dir),
        init_checkpoint=bert_dir,
        output_dir=str(folder),
        max_seq_length=9,
        do_train=False,
    )
    assert 0 < finetuning.finetune(options)["dev"]["spearmanr"] < 1
    return str(folder)


@pytest.fixture(scope="module")
def theirs(dense, tmp_path_factory):
    """The same as a folder of sentence-transformers."""
    folder = tmp_path_factory.mktemp("theirs")
    version = versions.Version(str(folder), 1, command_flags="")
    report = hugging_face_export.export(dense, version, ServedTask())
    assert report["largest_difference"] <= 1e-5
    return version.path


def embeddings(folder, texts):
    model = model_dir.load(folder)
    features = features_of(folder, texts)
    return model(features, training=False).numpy()


def features_of(folder, texts):
    tokenizer = model_dir.load_tokenizer(folder)
    return services.get(registry.get("embedding"), tokenizer, 9).features({"text": texts})


def test_a_folder_of_sentence_transformers(dense, theirs):
    source = read_source(theirs)
    own = model_dir.read(dense)
    assert source.config == own.config and source.info["max_seq_length"] == 9
    for path in own.weights:
        np.testing.assert_allclose(source.weights[path], own.weights[path], atol=1e-6)


def test_exports(dense, export, tmp_path):
    names = ("saved_model", "onnx_int8", "litert_float32")
    report = export(dense, str(tmp_path), format_names=names)
    assert report["compared_on"] == "dev" and report["num_examples"] == 66
    assert tuple(report["formats"]) == names
    scores = flop.evaluate(EvaluateOptions(dense))["dev"]
    for name, row in report["formats"].items():
        assert "left_out" not in row, row
        assert row["flips"] is None and 0 <= row["largest_angle"] <= 0.1
        if row["largest_difference"] <= 1e-5:
            assert row["largest_angle"] <= 1e-6
            assert row["scores"] == pytest.approx(scores, abs=1e-4), name
    texts = ["good film", "", "a very cold plot and so was the cast the end"]
    expected = embeddings(dense, texts)
    with Process(ENGINES["tensorflow"], str(tmp_path / "1")) as process:
        (answer,) = process.answers([("text", {"text": np.array(texts)})])
    assert list(answer) == ["embedding"]
    np.testing.assert_allclose(answer["embedding"], expected, atol=1e-5)
    ids = {name: tensor.numpy() for name, tensor in features_of(dense, texts).items()}
    path = formats.get("litert_float32").path(str(tmp_path / "1"))
    with Process(ENGINES["litert"], path) as process:
        (answer,) = process.answers([("serving_default", ids)])
    np.testing.assert_allclose(answer["embedding"], expected, atol=1e-5)


def test_a_family(theirs, data_dir, table_file, tmp_path):
    options = CompressOptions(
        task_name="embedding",
        init_checkpoint=theirs,
        data_dir=str(data_dir),
        output_dir=str(tmp_path),
        train="2",
        targets=".8",
        cost="multiplications",
        optimize_for="8x16",
        engine="onnxruntime_int8",
        dense_engines="same",
        latency_table=table_file("onnxruntime_int8"),
        calibration_examples=64,
        train_batch_size=16,
        length_buckets="9",
        cut_vocabulary=True,
        embedding_rank=8,
        recovery_learning_rate=1e-3,
        distill_alpha=0.5,
        distill_layers=0.5,
    )
    report = stages.compress(options)
    dense, row = report["models"]
    assert report["metric"] == "spearmanr" and dense["folder"] == str(tmp_path / "dense")
    assert row["score"] > 0.8 * dense["score"] and row["exported_score"] > 0.8 * dense["score"]
    assert row["parameters"] < dense["parameters"] and row["largest_angle"] <= 0.1
    info = json.loads((pathlib.Path(row["folder"]) / "info.json").read_text())
    assert info["task"]["name"] == "embedding" and info["max_seq_length"] == 9
    assert "spearmanr" in (tmp_path / "compress.html").read_text()
    assert row["vocab_size"] < dense["vocab_size"] and row["word_embedding_rank"] == 8
    assert stages.compress(options) == report


def test_the_chain(dense, data_dir, tmp_path):
    factorized, gated, compact = (str(tmp_path / name) for name in ("factors", "gated", "compact"))
    flop.factorize(
        FactorizeOptions(
            dense,
            factorized,
            finetuned=True,
            init="fisher",
            data_dir=str(data_dir),
            task_name="embedding",
            calibration_batches=2,
        )
    )
    options = FinetuneOptions(
        task_name="embedding",
        data_dir=str(data_dir),
        init_checkpoint=factorized,
        output_dir=gated,
        teacher=dense,
        max_seq_length=9,
        train_batch_size=16,
        learning_rate=1e-3,
        num_train_epochs=2.0,
        length_buckets="9",
        gate="hard_concrete",
        target_sparsity=0.4,
        gate_order_examples=16,
        distill_layers=0.1,
        do_eval=True,
    )
    scores = finetuning.finetune(options)["dev"]
    difference = flop.remove_mask(RemoveOptions(gated, output_folder_dir=compact))
    assert difference <= 1e-5
    assert bert_tf.load(compact).config.head == "embedding"
    found = flop.evaluate(EvaluateOptions(compact, output_dir=str(tmp_path / "out")))["dev"]
    assert found == pytest.approx(scores, abs=1e-4)
    assert len((tmp_path / "out" / "embedding.dev.tsv").read_text().splitlines()) == 34
