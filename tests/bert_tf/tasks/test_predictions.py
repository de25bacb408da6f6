"""Tests of bert_tf.tasks.predictions."""

import pathlib

import numpy as np
import pytest

from bert_tf.data import table_rows
from bert_tf.tasks import predictions, registry


@pytest.mark.parametrize(
    "name, split, file",
    [
        ("sst-2", "test", "SST-2.tsv"),
        ("mrpc", "test", "MRPC.tsv"),
        ("cola", "test", "CoLA.tsv"),
        ("qqp", "test", "QQP.tsv"),
        ("wnli", "test", "WNLI.tsv"),
        ("sst-2", "dev", "SST-2.dev.tsv"),
        ("mrpc", "holdout", "MRPC.holdout.tsv"),
    ],
)
def test_file_names(tmp_path, name, split, file):
    path = predictions.write(
        registry.get(name), split, ["0", "1"], np.array([[0, 1], [1, 0]]), tmp_path / "new"
    )
    assert path == str(tmp_path / "new" / file)
    assert pathlib.Path(path).read_text() == "index\tprediction\n0\t1\n1\t0\n"
    assert [p.name for p in (tmp_path / "new").iterdir()] == [file]


@pytest.mark.parametrize(
    "split, file", [("test_matched", "MNLI-m.tsv"), ("test_mismatched", "MNLI-mm.tsv")]
)
def test_labels_are_written_as_text(tmp_path, split, file):
    predictions.write(registry.get("mnli"), split, ["7", "8"], np.eye(3)[[2, 0]], tmp_path)
    text = (tmp_path / file).read_text()
    assert text == "index\tprediction\n7\tneutral\n8\tcontradiction\n"


@pytest.mark.parametrize("name", ["qnli", "rte"])
def test_entailment(tmp_path, name):
    path = predictions.write(registry.get(name), "test", ["0", "1"], np.eye(2), tmp_path)
    assert path.endswith(f"{name.upper()}.tsv")
    text = pathlib.Path(path).read_text()
    assert text.splitlines()[1:] == ["0\tentailment", "1\tnot_entailment"]


def test_scores_stay_in_range(tmp_path):
    logits = np.array([[-0.2], [3.14159], [5.5]])
    predictions.write(registry.get("sts-b"), "test", ["0", "1", "2"], logits, tmp_path)
    rows = (tmp_path / "STS-B.tsv").read_text().splitlines()
    assert rows == ["index\tprediction", "0\t0.000", "1\t3.142", "2\t5.000"]


def test_bad_shape(tmp_path):
    with pytest.raises(ValueError, match=r"must have the shape \(1, 2\), received \(2, 2\)"):
        predictions.write(registry.get("sst-2"), "test", ["0"], np.eye(2), tmp_path)
    assert not list(tmp_path.iterdir())


def test_labels_with_quotes_are_read_again(tmp_path):
    labels = ['"', 'say "yes"', "no, never", "a b"]
    task = registry.get("tsv", text_columns="a", label_column="b", labels=labels)
    path = predictions.write(task, "test", list("0123"), np.eye(4), tmp_path)
    assert path.endswith("predictions.tsv")
    rows = [fields for _, fields in table_rows.read(path, "minimal")]
    assert rows == [["index", "prediction"], *([str(i), label] for i, label in enumerate(labels))]
