"""Several labels an example: reading, thresholds, scores, predictions."""

import types

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from bert_tf.tasks import registry
from bert_tf.tasks.labels_task import best_threshold, split

NAMES = ("a", "b", "c")
TASK = {"name": "tsv", "text_columns": ["text"], "label_column": "tags", "label_type": "labels"}
ROWS = "text\ttags\none\tb, a\ntwo\t\nthree\tc\n"
LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
SHARES = np.array([[0.9, 0.2, 0.4], [0.3, 0.1, 0.2], [0.6, 0.3, 0.3], [0.4, 0.25, 0.1]])
ENCODED = types.SimpleNamespace(labels=LABELS)


def task(**changes):
    return registry.get(**{**TASK, "labels": list(NAMES), **changes})


def read(folder, content, split="train", file="train.tsv", **arguments):
    (folder / file).write_text(content, "utf-8", newline="")
    known = {key: value for key, value in TASK.items() if key != "name"}
    found = registry.get("tsv", data_dir=folder, **{**known, **arguments})
    examples = registry.get(**found.to_dict()).read(folder, split)
    return found.labels, examples.labels.tolist()


def test_one_column(tmp_path, caplog):
    with caplog.at_level("INFO", "absl"):
        found = read(tmp_path, ROWS)
    assert found == (NAMES, [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert "has 3 examples: 1 of 'a', 1 of 'b', 1 of 'c'." in caplog.text
    assert "has 1 examples without a label." in caplog.text
    swapped = ROWS.replace("b, a", "b|a")
    assert read(tmp_path, swapped, label_separator="|") == found
    assert read(tmp_path, swapped)[0] == ("b|a", "c")


def test_a_column_for_each_label(tmp_path, caplog):
    content = "b,text,a\n1,one,0\ntrue,two,1\n0,three, 1 \n"
    found = read(tmp_path, content, file="train.csv", label_column="a,b")
    assert found == (("a", "b"), [[0, 1], [1, 1], [1, 0]])
    lines = '{"text": "one", "a": true, "b": 0}\n{"text": "two", "a": 1, "b": false}\n'
    (tmp_path / "train.csv").unlink()
    found = read(tmp_path, lines, file="train.jsonl", label_column="a,b")
    assert found == (("a", "b"), [[1, 0], [1, 0]])
    assert "has no example of the labels 'b'" in caplog.text
    (tmp_path / "train.jsonl").unlink()
    found = read(tmp_path, "one\t0\t1\n", label_column="2,3", text_columns="1")
    assert found == (("2", "3"), [[0, 1]])


def test_lists_of_json_lines(tmp_path):
    lines = '{"text": "one", "tags": ["b, too", "a"]}\n{"text": "two", "tags": []}\n'
    found = read(tmp_path, lines, file="train.jsonl", label_separator="|")
    assert found == (("a", "b, too"), [[1, 1], [0, 0]])
    with pytest.raises(ValueError, match="labels without the separator ',', received 'b, too' in"):
        read(tmp_path, lines, file="train.jsonl")
    with pytest.raises(ValueError, match="must have a text in the column 'tags', .* in line 1"):
        read(tmp_path, lines, file="train.jsonl", label_type="class")


def test_a_test_file_may_lack_the_labels(tmp_path):
    (tmp_path / "test.tsv").write_text("text\none\n")
    (tmp_path / "train.tsv").write_text("text\ta\tb\none\t0\t1\n")
    columns = {"text_columns": "text", "label_column": "a,b", "label_type": "labels"}
    found = registry.get("tsv", data_dir=tmp_path, **columns)
    assert found.read(tmp_path, "test").labels is None
    (tmp_path / "test.tsv").write_text("text\ta\none\t1\n")
    with pytest.raises(ValueError, match=r"needs the columns \['b'\]"):
        found.read(tmp_path, "test")


def test_values_as_pandas_writes_them(tmp_path):
    rows = "text\ta\tb\none\t0.0\tTrue\ntwo\t1.0\tFALSE\n"
    found = read(tmp_path, rows, label_column="a,b")
    assert found == (("a", "b"), [[0, 1], [1, 0]])


def test_a_test_file_may_have_empty_cells(tmp_path):
    (tmp_path / "test.tsv").write_text("text\ttags\none\t\ntwo\t \n")
    (tmp_path / "train.tsv").write_text(ROWS)
    columns = {"text_columns": "text", "label_column": "tags", "label_type": "labels"}
    assert registry.get("tsv", data_dir=tmp_path, **columns).read(tmp_path, "test").labels is None


def test_a_dev_file_without_any_label_is_said(tmp_path, caplog):
    (tmp_path / "dev.tsv").write_text("text\ttags\none\t\n")
    (tmp_path / "train.tsv").write_text(ROWS)
    columns = {"text_columns": "text", "label_column": "tags", "label_type": "labels"}
    assert not registry.get("tsv", data_dir=tmp_path, **columns).read(tmp_path, "dev").labels.any()
    assert "dev.tsv: no example has a label" in caplog.text


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (ROWS + "four\ta,a\n", {}, "each once with ',' between them, .* received 'a,a' in line 5"),
        (ROWS + "four\ta,,b\n", {}, "labels with one ',' between two, received 'a,,b' in line 5"),
        (ROWS + "four\ta,\n", {}, "labels with one ',' between two, received 'a,' in line 5"),
        (ROWS + "four\t['a']\n", {}, r"between them, received the list \"\['a'\]\" in line 5"),
        ("text\ttags\none\t1\ntwo\t0\n", {}, "the names of labels, .* columns of 0 and 1 name"),
        ("text\ttags\none\ta\ntwo\t\n", {}, r"at least two labels, received \['a'\]"),
        ('text\ttags\none\t"a\tb,c"\n', {}, "with a tab or a line break in line 2"),
        (
            "text\ta\tb\none\t1\t2\n",
            {"label_column": "a,b"},
            r"needs 0 or 1 in each of the columns \['a', 'b'\] as a label, received '2' in line 2",
        ),
        (ROWS, {"label_separator": ""}, "`label_separator` must have a character"),
        (ROWS, {"label_type": "class", "label_thresholds": "0.5"}, "need the `label_type` 'lab"),
        (ROWS, {"label_thresholds": "0.5,0.2"}, "one for each of the 3 labels, received '0.5,0.2'"),
        (ROWS, {"label_thresholds": "2"}, "must have one number from 0 to 1, .* received '2'"),
        (ROWS, {"label_column": ["tags", "x"], "label_type": "class"}, "needs one `label_column`"),
    ],
)
def test_what_does_not_fit(tmp_path, content, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path, content, **arguments)


def test_a_label_that_was_not_trained_on(tmp_path):
    (tmp_path / "dev.tsv").write_text("text\ttags\none\ta\ntwo\ta,z\n")
    with pytest.raises(ValueError, match=r"some of \['a', 'b', 'c'\], .* 'a,z' in line 3"):
        read(tmp_path, ROWS, split="dev")


def test_cells():
    assert split(" a ,b c", ",") == ["a", "b c"] and split("  ", ",") == []


@pytest.mark.parametrize(
    ("shares", "labels", "expected"),
    [
        ([0.9, 0.3, 0.6, 0.4], [1, 0, 1, 0], 0.5),  # As good as any other.
        ([0.2, 0.1, 0.3, 0.25], [0, 0, 1, 1], 0.225),  # Halfway down to the next one.
        ([0.9, 0.8, 0.7], [1, 0, 0], 0.85),
        ([0.9, 0.2], [0, 0], 0.5),  # It never holds.
        ([0.2, 0.1], [1, 1], 0.05),  # It always holds.
        ([0.3, 0.3], [1, 0], 0.15),
    ],
)
def test_thresholds(shares, labels, expected):
    assert best_threshold(np.array(shares), np.array(labels)) == pytest.approx(expected)


def test_a_tuned_task_keeps_its_thresholds():
    logits = special.logit(SHARES)
    tuned = task().tuned(logits, ENCODED)
    assert tuned.thresholds == pytest.approx((0.5, 0.225, 0.35))
    assert registry.from_dict(tuned.to_dict()) == tuned and tuned.tuned(-logits, ENCODED) == tuned
    other = task(labels=["c", "a", "d"]).tuned_as({"task": tuned.to_dict()})
    assert other.thresholds == pytest.approx((0.35, 0.5, 0.5))
    assert task().tuned_as({}).thresholds is None
    assert task(label_thresholds="0.25").thresholds == (0.25,) * 3
    assert tuned.score(logits, ENCODED)["subset_accuracy"] == 1.0


def test_scores():
    logits = special.logit(SHARES)
    found = task().score(logits, ENCODED)
    # Of 5 labels the two of "a" are found, and nothing else.
    assert found["precision_micro"] == 1.0 and found["recall_micro"] == pytest.approx(2 / 5)
    assert found["f1_micro"] == pytest.approx(4 / 7) and found["f1_macro"] == pytest.approx(1 / 3)
    assert found["subset_accuracy"] == 0.25
    entropy = -np.log(np.where(LABELS, SHARES, 1 - SHARES)).mean()
    assert found["eval_loss"] == pytest.approx(entropy)
    assert set(found) == {"eval_loss", *task().metrics}
    first, second, _ = task().by_label(logits, types.SimpleNamespace(labels=LABELS))
    assert first == {
        "label": "a", "examples": 2, "precision": 1.0, "recall": 1.0, "f1_score": 1.0
    }  # fmt: skip
    assert (second["examples"], second["f1_score"]) == (2, 0.0)
    for bad, sentence in ((logits[:, :2], "must have the shape"), (logits * np.nan, "finite")):
        with pytest.raises(ValueError, match=sentence):
            task().score(bad, ENCODED)


def test_predictions_read_as_labels_again(tmp_path):
    tuned = task(label_thresholds="0.25")
    examples = types.SimpleNamespace(ids=list("0123"))
    tuned.write_predictions("test", examples, None, special.logit(SHARES), tmp_path)
    text = (tmp_path / "predictions.tsv").read_text()
    assert text == "index\tprediction\n0\ta,c\n1\ta\n2\ta,b,c\n3\ta,b\n"
    assert read(tmp_path, text.replace("prediction", "tags").replace("index", "text"))[0] == NAMES


def test_answers_of_a_server():
    outputs = task().head_class.outputs(tf.constant(special.logit(SHARES), tf.float32))
    found = task(label_thresholds="0.25,0.5,0.35").answers(outputs, [])
    np.testing.assert_allclose(found["probabilities"], SHARES, atol=1e-6)
    assert [text.decode() for text in found["labels"].numpy()] == ["a, c", "a", "a", "a"]
    nothing = {name: tensor[:0] for name, tensor in outputs.items()}
    assert task().answers(nothing, [])["labels"].shape == [0]


def test_another_order_of_labels():
    names = ("c", "a", "b")
    assert task().outputs_of(names, "x") == [1, 2, 0]
    with pytest.raises(ValueError, match="both must have the same"):
        task().outputs_of(("a", "b", "z"), "x")


def test_not_with_other_tasks():
    with pytest.raises(ValueError, match="with one label an example, received 'tsv'; train it"):
        registry.get(name="multitask", tasks=[task().to_dict(), {"name": "RTE"}])


def test_several_numbers(tmp_path):
    content = "text\tx\ty\none\t1\t-2.5\ntwo\t0\t1e-3\nthree\t3\t4\n"
    columns = {"label_column": "x,y", "label_type": "number"}
    labels, numbers = read(tmp_path, content, **columns)
    assert labels == ("x", "y")
    np.testing.assert_allclose(numbers, [[1, -2.5], [0, 1e-3], [3, 4]], rtol=1e-6)
    found = registry.get(**{**TASK, **columns})
    assert found.head == {"head": "numbers", "num_labels": 2}
    encoded = types.SimpleNamespace(labels=np.array(numbers, np.float32))
    logits = np.array([[1.0, -1.0], [0.0, 1.0], [3.0, 2.0]])
    scores = found.score(logits, encoded)
    assert scores["x/pearson"] == scores["y/spearmanr"] == pytest.approx(1.0)
    y_alone = np.corrcoef([-1, 1, 2], [-2.5, 0, 4])[0, 1]
    assert scores["pearson"] == pytest.approx((1 + y_alone) / 2, abs=1e-3)
    assert scores["mse"] == scores["eval_loss"] == pytest.approx((1.5**2 + 1 + 4) / 6, abs=1e-3)
    assert set(scores) == {"eval_loss", *found.metrics} and found.decided(logits) is None
    assert found.texts_of(logits) == ["1,-1", "0,1", "3,2"]
    sentence = r"needs a finite number such as 1.5 in each of \['x', 'y'\] .* 'nan' in line 4"
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path, content.replace("\t4", "\tnan"), **columns)
