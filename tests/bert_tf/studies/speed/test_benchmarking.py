import dataclasses
import json
import shutil

import pytest

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.studies.speed import benchmark_table, benchmarking
from bert_tf.tokenizers import tokenization
from flop_tf import ProjectionSpec

CONFIG = EncoderConfig(
    vocab_size=6,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
)
RANK_2 = CONFIG.with_projections(
    {(index, name): ProjectionSpec(2) for index, name, *_ in CONFIG.projections()}
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with two models; not to be changed."""
    folder = tmp_path_factory.mktemp("models")
    vocab = folder / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n")
    tokenizer = tokenization.Tokenizer(str(vocab), True)
    info = {
        "task": {"name": "sst-2", "labels": ["0", "1"]},
        "scores": {"dev": {"eval_loss": 0.5, "eval_accuracy": 0.875}},
    }
    for name, config in (("dense", CONFIG), ("pruned", RANK_2)):
        model_dir.save(folder / name, BertModel(config), tokenizer, **info)
    return folder


@pytest.fixture
def folders(saved, tmp_path):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    return [str(tmp_path / "dense"), str(tmp_path / "pruned")]


def test_random_batch_suits_all_models():
    other = dataclasses.replace(CONFIG, vocab_size=3, max_position_embeddings=20)
    features, labels = benchmarking.random_batch([CONFIG, other], 4, 9)
    assert {array.shape for array in features.values()} == {(4, 9)}
    assert features["input_word_ids"].max() < 3
    assert labels.shape == (4,)


@pytest.mark.parametrize(
    ("batch_size", "length", "sentence"),
    [
        (0, 4, "`batch_size` must be at least 1, received 0"),
        (1, 0, r"`length` must be in \[1, 9\], the positions of the model, received 0"),
        (1, 10, r"`length` must be in \[1, 9\], the positions of the model, received 10"),
    ],
)
def test_batches_out_of_range(batch_size, length, sentence):
    with pytest.raises(ValueError, match=sentence):
        benchmarking.random_batch([CONFIG], batch_size, length)


def test_a_model_that_does_not_fit_into_the_memory():
    large = dataclasses.replace(CONFIG, hidden_size=10**6)
    with pytest.raises(ValueError, match=r"fits into .* GB of memory, received one of \d,\d{3},"):
        benchmarking.random_batch([CONFIG, large], 1, 4)


def test_inference(folders):
    report = benchmarking.inference(folders, [1, 2], [3], rounds=2, warmup_rounds=1)
    report = json.loads(json.dumps(report))
    dense, pruned = report["models"]
    assert (dense["model"], dense["stage"]) == ("dense", "dense")
    assert pruned["parameters"] == model_info.num_parameters(RANK_2) < dense["parameters"]
    assert pruned["file_bytes"] < dense["file_bytes"]
    shapes = [(row["batch_size"], row["length"], row["model"]) for row in report["timings"]]
    assert shapes == [(1, 3, "dense"), (1, 3, "pruned"), (2, 3, "dense"), (2, 3, "pruned")]
    assert report["timings"][0]["ratios"] == {"dense": 1.0}
    assert all(0 < row["p50_ms"] <= row["p90_ms"] for row in report["timings"])

    table = benchmark_table.markdown(report)
    timings, models = table.split("\n\n")
    assert len(timings.splitlines()) == 2 + 4 and len(models.splitlines()) == 2 + 2
    assert len({len(line) for line in models.splitlines()}) == 1
    header = models.splitlines()[0]
    for column in ("stage", "parameters", "MB", "score", "p50 ms 2x3", "/ dense"):
        assert f" {column} " in header
    assert "dev 0.8750" in models and f"{dense['parameters']:,}" in models


def test_a_model_without_task_and_scores(folders):
    info = json.loads(open(f"{folders[0]}/info.json", encoding="utf-8").read())
    with open(f"{folders[0]}/info.json", "w", encoding="utf-8") as file:
        json.dump({k: v for k, v in info.items() if k not in ("task", "scores")}, file)
    report = benchmarking.inference(folders[:1], [1], [2], rounds=1)
    assert report["models"][0]["scores"] == {}
    assert "| -  " in benchmark_table.markdown(report)


def test_folders_with_the_same_last_name(folders, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "pruned").rename(tmp_path / "other" / "dense")
    paths = [folders[0], str(tmp_path / "other" / "dense")]
    report = benchmarking.inference(paths, [1], [2], rounds=1)
    assert [model["model"] for model in report["models"]] == paths
    with pytest.raises(ValueError, match="`paths` names a path twice"):
        benchmarking.inference([paths[0], paths[0]], [1], [2], rounds=1)


def test_no_model_directory(tmp_path):
    with pytest.raises(ValueError, match="is no model directory"):
        benchmarking.inference([tmp_path], [1], [2], rounds=1)


def test_training():
    variants = ["tf_models", "dense", "gated"]
    report = benchmarking.training(CONFIG, variants, [2], [3], rounds=2, warmup_rounds=1)
    assert [model["stage"] for model in report["models"]] == ["dense", "dense", "gated"]
    assert [list(row["ratios"]) for row in report["timings"]] == [["tf_models", "dense"]] * 3
    assert "/ tf_models | / dense |" in benchmark_table.markdown(report)
