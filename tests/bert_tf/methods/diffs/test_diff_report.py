import json

import pytest

from bert_tf.methods.diffs import diff_report
from bert_tf.methods.diffs.diff_store import save


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
    # The same density before it is trained, and what was learned before that, of two densities.
    add("f", "sst-2", 0, 0.05, score=0.1, diff_stage="project", **structured)
    add("g", "sst-2", 0, 0.8, score=0.3, diff_stage="learn", **structured)
    add("h", "sst-2", 0, 0.6, score=0.4, diff_stage="learn", **structured)
    return folder


def test_tables_and_figures(runs, tmp_path):
    rows = diff_report.gather(str(runs))
    assert [row["method"] for row in rows] == [
        "structured",
        "structured",
        "structured",
        "non_adaptive",
        "unstructured",
        *["structured"] * 3,
    ]
    text = diff_report.write(rows, str(tmp_path / "report"))
    density = f"{100 * rows[0]['density']:.3g} %"
    learned = f"{50 * (rows[-1]['density'] + rows[-2]['density']):.3g} %"
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        f"| structured | finetune | {density} | 85.0 ± 7.1 (2) | 50.0 (1) | 67.5 |",
        f"| structured | project | {density} | 10.0 (1) | - | - |",
        f"| structured | learn | {learned} | 35.0 ± 7.1 (2) | - | - |",
        f"| non_adaptive | finetune | {density} | 70.0 (1) | - | - |",
        *(
            f"| {rows[0]['name']} | {seed} | {len(rows[0]['zero_groups'])} | {rows[0]['groups']} |"
            for seed in (0, 1)
        ),
        f"| {rows[3]['name']} | - | {len(rows[3]['zero_groups'])} | {rows[3]['groups']} |",
    ):
        assert line in lines
    folder = tmp_path / "report"
    assert (folder / "diffs.md").read_text() == text
    assert json.loads((folder / "diffs.json").read_text()) == rows
    assert len(list((folder / "figures").glob("score-against-density-*.png"))) == 2
    assert (folder / "diffs.html").read_text().count("<img") == 2


def test_mnli_has_a_column_for_each_dev_set(make_diff, tmp_path):
    splits = {"holdout": 0.9, "dev_matched": 0.6, "dev_mismatched": 0.4}
    scores = {split: {"eval_accuracy": score} for split, score in splits.items()}
    save(str(tmp_path / "x"), make_diff("mnli", 0, 0.05, scores=scores), "float32")
    text = diff_report.write(diff_report.gather(str(tmp_path)), str(tmp_path / "report"))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "| method | stage | density | MNLI matched | MNLI mismatched | mean |" in lines
    assert any(line.endswith("| 60.0 (1) | 40.0 (1) | 50.0 |") for line in lines)


def test_a_row_is_of_the_density_that_was_asked_for(make_diff, tmp_path):
    for target, score in ((0.5, 0.9), (1.0, 0.7)):  # Of both the gates left the same.
        scores = {"dev": {"eval_accuracy": score}}
        diff = make_diff("sst-2", 0, 0.05, seed=0, target_density=target, scores=scores)
        save(str(tmp_path / str(target)), diff, "float32")
    text = diff_report.write(diff_report.gather(str(tmp_path)), str(tmp_path / "report"))
    assert text.count("90.0 (1)") == 1 == text.count("70.0 (1)")


def test_two_settings_are_not_two_seeds(make_diff, tmp_path):
    for place, seed in (("a", 0), ("b", 1), ("c", 0)):
        diff = make_diff("sst-2", 0, 0.05, seed=seed, scores={"dev": {"eval_accuracy": 0.5}})
        save(str(tmp_path / place), diff, "float32")
        if place == "b":
            assert len(diff_report.gather(str(tmp_path))) == 2
    with pytest.raises(ValueError, match="one difference of each task, .*/a' and '.*/c' are both"):
        diff_report.gather(str(tmp_path))


def test_a_difference_without_a_task(make_diff, tmp_path):
    diff = make_diff()
    del diff.info["task"]
    save(str(tmp_path / "x"), diff, "float32")
    with pytest.raises(ValueError, match="in '.*/x' must say its task, received one without;"):
        diff_report.gather(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": {"name": "RTA"}}, "Unknown task 'RTA', did you mean 'RTE'?"),
        ({"task": [1]}, "expected 'object', received 'array' at '.task'"),
        ({"scores": {"dev": 0.5}}, "expected 'object', received 'float'"),
        ({"scores": {"dev": {"eval_accuracy": "high"}}}, "expected 'float', received 'str'"),
        ({"method": ["diff"]}, "expected 'str', received 'array'"),
        ({"seed": {}}, "received 'object' at '.seed'"),
        ({"target_density": 2.0}, "expected 'float' <= 1"),
        (b"no tensors", "diff.safetensors'"),
    ],
)
def test_a_damaged_difference_is_listed(make_diff, tmp_path, changes, reason):
    scores = {"dev": {"eval_accuracy": 0.5}}
    save(str(tmp_path / "a"), make_diff("sst-2", 0, 0.05, scores=scores), "float32")
    diff = make_diff("sst-2", 1, 0.05, scores=scores)
    if isinstance(changes, dict):
        diff.info.update(changes)
    save(str(tmp_path / "b"), diff, "float32")
    if isinstance(changes, bytes):
        (tmp_path / "b" / "diff.safetensors").write_bytes(changes)
    rows = diff_report.gather(str(tmp_path))
    assert reason in rows[1]["reason"]
    text = diff_report.write(rows, str(tmp_path / "report"))
    assert "## Damaged" in text and "50.0 (1)" in text
    assert json.loads((tmp_path / "report" / "diffs.json").read_text()) == rows


def test_only_stages_that_are_finished(make_diff, tmp_path):
    save(str(tmp_path / "x"), make_diff("sst-2", 0, 0.05), "float32")
    (tmp_path / "x" / "run.flags").write_text("--seed=0\n")
    sentence = "must have differences in it, found no diff.safetensors of a stage that is finished."
    with pytest.raises(ValueError, match=sentence):
        diff_report.gather(str(tmp_path))
    (tmp_path / "x" / "eval_results.txt").write_text("")
    assert len(diff_report.gather(str(tmp_path))) == 1
