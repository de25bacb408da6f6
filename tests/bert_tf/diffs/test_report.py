import json

import pytest

from bert_tf.diffs import report
from bert_tf.diffs.training import save


@pytest.fixture(scope="module")
def runs(make_diff, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def add(place, *args, score, metric="eval_accuracy", **info):
        scores = {"dev": {metric: score}} if score is not None else {}
        save(str(folder / place), make_diff(*args, scores=scores, **info), "float32")

    structured = {"method": "diff", "structured": True}
    add("a", "sst-2", 0, 0.05, score=0.9, seed=0, **structured)
    add("b", "sst-2", 0, 0.05, score=0.8, seed=1, **structured)
    add("c", "sts-b", 0, 0.05, score=0.5, metric="pearson", **structured)
    add("c/d", "sst-2", 0, 0.05, score=0.7, method="non_adaptive")
    add("e", "sst-2", 0, 0.2, score=None, method="diff", structured=False)
    return folder


def test_tables_and_figures(runs, tmp_path):
    rows = report.gather(str(runs))
    assert [row["method"] for row in rows] == [
        "structured",
        "structured",
        "structured",
        "non_adaptive",
        "unstructured",
    ]
    text = report.write(rows, str(tmp_path / "report"))
    density = f"{100 * report._rounded(rows[0]['density']):.3g} %"
    assert f"| structured   | {density}" in text and "| 85.0 (2) | 50.0 (1) | 67.5" in text
    assert "| 70.0 (1) | -        | -" in text
    folder = tmp_path / "report"
    assert (folder / "diffs.md").read_text() == text
    assert json.loads((folder / "diffs.json").read_text()) == rows
    assert len(list((folder / "figures").glob("score-against-density-*.png"))) == 2
    assert (folder / "diffs.html").read_text().count("<img") == 2


def test_no_differences(tmp_path):
    with pytest.raises(ValueError, match="must have differences in it, found no diff.safetensors."):
        report.gather(str(tmp_path))
