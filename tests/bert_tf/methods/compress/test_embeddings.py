"""A family of models with fewer WordPieces and a word embedding of a rank."""

import dataclasses
import os

import numpy as np
import pytest
import tokenizers

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.data import batching
from bert_tf.methods.compress import embeddings, stages, unit_costs
from bert_tf.methods.compress.compress_options import CompressOptions
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.runs.run_inputs import RunInputs
from bert_tf.serving import formats
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras

ALL = ["saved_model", "onnx", "onnx_int8", "litert_float32", "litert_int8"]
#: After the words of the toy task: two that only a general text has, one that nothing has, and two
#: that always stay.
OTHERS = ["sun", "rain", "unused", "x", "##x"]


@pytest.fixture(scope="module")
def dense_dir(bert_dir, sst_dir, tmp_path_factory):
    """The toy model with other words next to those of the task, fine-tuned for a moment."""
    folder = tmp_path_factory.mktemp("dense")
    source = read_source(bert_dir)
    words = [*source.tokenizer().vocab, *OTHERS]
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in words))
    config = dataclasses.replace(source.config, vocab_size=len(words))
    keras.utils.set_random_seed(3)
    model_dir.save(str(folder / "start"), BertModel(config), Tokenizer(str(folder / "words.txt")))
    options = FinetuneOptions(
        task_name="sst-2",
        data_dir=sst_dir,
        init_checkpoint=str(folder / "start"),
        output_dir=str(folder / "dense"),
        max_seq_length=11,
        train_batch_size=16,
        learning_rate=3e-3,
        num_train_epochs=3.0,
        length_buckets="11",
    )
    finetuning.finetune(options)
    return str(folder / "dense")


@pytest.fixture
def options(dense_dir, sst_dir, table_file, tmp_path):
    """Returns a function that makes `CompressOptions` from what differs."""

    def make(**changes):
        settings = {
            "task_name": "sst-2",
            "data_dir": sst_dir,
            "init_checkpoint": dense_dir,
            "output_dir": str(tmp_path / "out"),
            "max_seq_length": 11,
            "train_batch_size": 16,
            "length_buckets": "11",
            "calibration_examples": 128,
            "engine": "tensorflow",
            "dense_engines": "same",
            "optimize_for": "8x16",
            "latency_table": table_file(),
            "recovery_learning_rate": 1e-3,
        }
        return CompressOptions(**{**settings, **changes})

    return make


def inputs_of(options, folder, output):
    return RunInputs(stages._training(options, folder, output, do_eval=True))


def test_a_smaller_vocabulary_answers_training_texts_equally(options, dense_dir, tmp_path):
    (tmp_path / "general.txt").write_text("The SUN\nthe sun the sun\nrain\n")
    chosen = options(
        cut_vocabulary=True, general_text=str(tmp_path / "general.txt"), general_share=0.9
    )
    inputs = inputs_of(chosen, dense_dir, "out")
    folder = embeddings.with_fewer_words(chosen, dense_dir, inputs)
    whole, small = inputs.tokenizer, model_dir.load_tokenizer(folder)
    # Of the general text `[CLS]`, `[SEP]`, "the" and "sun" are nine tenths.
    assert small.vocab == [piece for piece in whole.vocab if piece not in ("rain", "unused")]
    assert small.rules == whole.rules
    smaller = inputs_of(chosen, folder, "out")
    models = [model_dir.load(one) for one in (dense_dir, folder)]
    assert models[1].config.vocab_size == len(small.vocab)
    batches = [batching.evaluation_dataset(one.data.train, 32) for one in (inputs, smaller)]
    for (one, *_), (other, *_) in zip(*batches, strict=True):
        np.testing.assert_array_equal(models[0](one), models[1](other))
    # What it made it does not make again.
    written = os.stat(os.path.join(folder, "model.safetensors")).st_mtime_ns
    assert embeddings.with_fewer_words(chosen, dense_dir, inputs) == folder
    assert os.stat(os.path.join(folder, "model.safetensors")).st_mtime_ns == written


def test_factors_are_repaired(options, dense_dir, tmp_path):
    """The outputs are nearer to the dense model's than without the repair."""
    inputs, folders = inputs_of(options(), dense_dir, "out"), [dense_dir]
    for repair in (True, False):
        chosen = options(embedding_rank=8, repair=repair, output_dir=str(tmp_path / f"{repair}"))
        folders.append(embeddings.with_factors(chosen, dense_dir, inputs))
    dense, repaired, plain = map(model_dir.read, folders)
    assert repaired.config.word_embedding_rank == plain.config.word_embedding_rank == 8
    assert len(repaired.info["repair"]) == 6 and repaired.info["task"] == dense.info["task"]
    first, *others = (one.model() for one in (dense, repaired, plain))
    distances = [0.0, 0.0]
    for features, *_ in batching.evaluation_dataset(inputs.data.splits["dev"], 64):
        for number, model in enumerate(others):
            distances[number] += float(np.square(first(features) - model(features)).sum())
    assert 0 < distances[0] < 0.8 * distances[1]


def test_counts_are_of_whole_texts(dense_dir):
    tokenizer = model_dir.load_tokenizer(dense_dir)
    counts = embeddings.token_counts(tokenizer, ["sun " * 600, "film"], ["x", "sun"])
    named = {tokenizer.vocab[i]: int(counts[i]) for i in np.flatnonzero(counts)}
    assert named == {"[CLS]": 2, "[SEP]": 4, "sun": 601, "film": 1, "x": 1}


def test_a_family_in_all_formats(options, dense_dir, export, tmp_path):
    """From the same text a program with the exported tokenizer makes the ids of the model."""
    chosen = options(
        cut_vocabulary=True, embedding_rank=12, cost="bytes", targets=".6", train="0.5"
    )
    dense, row = stages.compress(chosen)["models"]
    assert dense["vocab_size"] - row["vocab_size"] == len(["sun", "rain", "unused"])
    assert (dense["word_embedding_rank"], row["word_embedding_rank"]) == (None, 12)
    source = model_dir.read(row["folder"])
    assert row["parameters"] == sum(array.size for array in source.weights.values())
    cost = unit_costs.Bytes(formats.get("saved_model"))
    dense_config = model_dir.read(dense_dir).config
    assert cost.of_model(source.config) == 4 * model_info.num_parameters(source.config)
    assert cost.of_model(source.config) <= 0.6 * cost.of_model(dense_config)
    report = export(
        row["folder"],
        str(tmp_path / "served"),
        format_names=ALL,
        data_dir=chosen.data_dir,
        optimize_for=(8, 16),
    )
    rows = report["formats"]
    assert not any("left_out" in rows[name] for name in ALL), rows
    for name in ("saved_model", "onnx", "litert_float32"):
        assert rows[name]["largest_difference"] < 1e-4
    assets = tmp_path / "served/1/assets"
    assert (assets / "vocab.txt").read_text().split() == source.tokenizer().vocab
    library = tokenizers.Tokenizer.from_file(str(assets / "tokenizer.json"))
    texts = ["The film was lovely", "sun x xx, rain"]
    expected = source.tokenizer().encode(texts).ids.to_list()
    assert [library.encode(text).ids for text in texts] == expected


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"general_text": "x.txt"}, "`general_text` must be left out without a `cut_vocabulary`"),
        (
            {"cut_vocabulary": True, "general_share": 0.5},
            "`general_share` must be left out without a `general_text`",
        ),
        ({"general_share": 0.0}, r"`general_share` must be in \(0, 1\], received 0"),
        ({"embedding_rank": 0}, "`embedding_rank` must be at least 1, received 0"),
        ({"cost": "megabytes"}, "`cost` must be one of latency, bytes, parameters, mult"),
    ],
)
def test_errors_of_options(options, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        options(**changes)


def test_errors_of_files_and_ranks(options, dense_dir, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    for changes, sentence in [
        ({"general_text": str(tmp_path / "none.txt")}, "none.txt"),
        ({"general_text": str(tmp_path / "empty.txt")}, "empty.txt' is empty"),
        ({"embedding_rank": 32}, "must be at least 1 and below 32, the width of the word embed"),
    ]:
        chosen = options(cut_vocabulary=True, **changes)
        with pytest.raises(ValueError, match=sentence):
            stages.compress(chosen)
        assert not os.path.exists(os.path.join(chosen.output_dir, "word_factors"))
