"""Tests of bert_tf.tasks.own_files: the task "tsv"."""

import numpy as np
import pytest

from bert_tf.tasks import registry

HEADER = "text\tlabel\n"
COLUMNS = {"text_columns": "text", "label_column": "label"}


def read(folder, content=None, split="train", file="train.tsv", **arguments):
    """Returns the labels of the task, and the texts and labels of a split."""
    if content is not None:
        (folder / file).write_text(content, "utf-8", newline="")
    task = registry.get("tsv", data_dir=folder, **{**COLUMNS, **arguments})
    examples = registry.get(**task.to_dict()).read(folder, split)
    return task.labels, examples.texts_a, examples.labels.tolist()


def test_quotes(shared):
    folder = shared / "faults" / "tsv_quotes"
    texts = ["good film", 'He said "no" and left', "also, fine"]
    for split in ("train", "dev", "test"):
        assert read(folder, split=split) == (("negative", "positive"), texts, [1, 0, 1])
    texts[1] = '"He said ""no"" and left"'
    assert read(folder, quoting="none")[1] == texts


def test_a_tab_in_a_field(shared):
    found = read(shared / "faults" / "tsv_tab_in_quotes")
    assert found == (("negative", "positive"), ["good film", "tab\there", "bad"], [1, 1, 0])
    with pytest.raises(
        ValueError, match=r"received 3 in line 3; no field may hold '\\t' or a line"
    ):
        read(shared / "faults" / "tsv_tab_in_quotes", quoting="none")
    with pytest.raises(
        ValueError,
        match=r"tsv' must have 2 fields in each row, as in its header, received 3 in line 3; a "
        r"field that holds '\\t' or a line break must stand in quotes\.$",
    ):
        read(shared / "faults" / "tsv_label_first_tab")


def test_a_csv_file(tmp_path):
    content = 'id,label,text\n7,pos,"good, ""fine""\nfilm"\n8,neg,bad\n'
    found = read(tmp_path, content, file="train.csv")
    assert found == (("neg", "pos"), ['good, "fine"\nfilm', "bad"], [1, 0])
    with pytest.raises(
        ValueError, match="must have 3 fields .*, received 2 in line 4; .* holds ',' or"
    ):
        read(tmp_path, content.replace("8,neg", "neg"), file="train.csv")
    (tmp_path / "train.tsv").write_text(HEADER)
    with pytest.raises(ValueError, match="one of train.tsv and train.csv, received both; remove"):
        read(tmp_path)


def test_the_index_of_pandas_and_columns_without_names(tmp_path):
    content = "\ttext\tlabel\t\t\n0\ta\tpos\t\t\n1\tb\tneg\t\t\n"
    assert read(tmp_path, content) == (("neg", "pos"), ["a", "b"], [1, 0])


@pytest.mark.parametrize(
    "content, message",
    [
        (HEADER + "a\tx\n\nb\n", "must have 2 fields in each row, .* received 1 in line 4;"),
        (HEADER + '"a\nb"\tx\nc\td\ty\n', "received 3 in line 4;"),
        (
            "text\ttext\tlabel\na\tb\tx\nc\td\ty\n",
            r"must have the columns \['text'\] once, .* \['text', 'te",
        ),
        ("text\tlabel\tlabel\na\tx\ty\n", r"must have the columns \['label'\] once"),
        ("text\tscore\na\tx\n", r"needs the columns \['label'\], its first line has \['text', 'sc"),
        (
            "text;label\na;x\n",
            r"needs the columns \['label'\], its first line has \['text;label'\]",
        ),
        (HEADER, "has no examples for this task"),
        ("\n\n", "is empty"),
        (HEADER + "a\tx\nb\t\n", "a label in each line, received none in line 3"),
        (HEADER + 'a\tx\nb\t"y\nz"\n', r"received 'y\\nz' with a tab or a line break in line 3"),
    ],
)
def test_what_does_not_fit(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content)


def test_a_label_that_was_not_trained_on(tmp_path):
    (tmp_path / "dev.tsv").write_text(HEADER + '"a\nb"\tx\nc\tX\n')
    with pytest.raises(ValueError, match=r"needs one of \['x', 'y'\] .*, received 'X' in line 4"):
        read(tmp_path, HEADER + "a\tx\nb\ty\n", split="dev")
    with pytest.raises(ValueError, match=r"one of \['0', .*'19'\] and 5 others as a label"):
        read(tmp_path, HEADER + "".join(f"a\t{i}\n" for i in range(25)), split="dev")


@pytest.mark.parametrize(
    "score", ["", "nan", "inf", "1e999", "1e300", "1,5", "1,000.5", "1_000", "\u0663", "0x1", "1 2"]
)
def test_what_is_no_number(tmp_path, score):
    message = f"needs a finite number such as 1.5 as a label, received '{score}' in line 3"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, HEADER + f"a\t1\nb\t{score}\n", label_type="number")


@pytest.mark.parametrize(("cell", "label_type"), [("-1", "class"), ("", "class"), ("", "number")])
def test_a_test_file_of_placeholders_has_no_labels(tmp_path, cell, label_type):
    (tmp_path / "train.tsv").write_text(HEADER + "a\t0\nb\t1\n")
    (tmp_path / "test.tsv").write_text(HEADER + f"a\t{cell}\nb\t{cell}\n")
    task = registry.get("tsv", data_dir=tmp_path, **COLUMNS, label_type=label_type)
    assert task.read(tmp_path, "test").labels is None
    (tmp_path / "test.tsv").write_text(HEADER + "a\t1\nb\tx\n")
    with pytest.raises(ValueError, match="as a label, received 'x' in line 3"):
        task.read(tmp_path, "test")


def test_small_numbers_are_written(tmp_path):
    (tmp_path / "train.tsv").write_text(HEADER + "a\t0\n")
    task = registry.get("tsv", data_dir=tmp_path, **COLUMNS, label_type="number")
    assert task.texts_of(np.array([[0.00012345678], [1234.5]])) == ["0.000123457", "1234.5"]


def test_numbers(tmp_path):
    content = HEADER + "a\t1\nb\t -2.5\nc\t1e-3\nd\t+.5\n"
    labels, _, scores = read(tmp_path, content, label_type="number")
    assert labels is None and scores == pytest.approx([1, -2.5, 1e-3, 0.5])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"text_columns": "text,text"},
            r"other columns for each text and the label, .*'text', 'te",
        ),
        ({"text_columns": "text,label"}, "the `label_column` 'label'"),
        ({"quoting": "all"}, "`quoting` must be 'minimal' or 'none', received 'all'"),
        ({"quoting": ""}, "`quoting` must be .* received ''"),
    ],
)
def test_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, HEADER, **arguments)


def test_neither_file(tmp_path):
    with pytest.raises(ValueError, match="'train' from train.tsv or train.csv or train.jsonl, but"):
        read(tmp_path)


def test_json_lines(tmp_path):
    lines = '\ufeff{"text": "a\\nb", "n": 1.5, "label": 1}\r\n\n'
    lines += '{"label": 0, "text": null, "n": null}\r\n'
    found = read(tmp_path, lines, file="train.jsonl")
    assert found == (("0", "1"), ["a\nb", ""], [1, 0])
    scores = '{"text": "a", "label": 1.50}\n{"text": "b", "label": -2}\n'
    found = read(tmp_path, scores, file="train.jsonl", label_type="number")
    assert found == (None, ["a", "b"], [1.5, -2.0])
    for content, sentence in (
        (lines + "[1]\n", "Line 4 of the data file .* of another kind"),
        (lines + '{"text": [1], "n": 1, "label": 1}\n', "column 'text', received a list in line 4"),
        (lines + '{"text": {}, "n": 1, "label": 1}\n', "'text', received an object in line 4"),
        (
            lines + '{"text": ["a"], "n": 1, "label": 1}\n',
            "column 'text', received a list in line 4",
        ),
        (
            lines + '{"text": "a", "n": 1, "n": 2, "label": 1}\n',
            "Line 4 .* must be JSON: the key 'n' occurs twice in an object",
        ),
        (lines + '{"text": \n', "Line 4 of the data file .* must be JSON"),
        (lines + "[" * 100_000, "Line 4 of the data file .* nested too deeply"),
        (lines + '{"text": "c", "n": 1}\n', "a text in the column 'label', received nothing in"),
        (lines.split("\n")[0][:0] + "\n\n", "is empty"),
        ("{}\n" + lines[1:], "Line 1 .* must have the keys of all others, received none"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read(tmp_path, content, file="train.jsonl")
    (tmp_path / "train.csv").write_text(HEADER)
    with pytest.raises(ValueError, match="one of train.csv and train.jsonl, received both"):
        read(tmp_path)


def test_columns_by_number(tmp_path):
    numbers = {"text_columns": "3,1", "label_column": "2"}
    content = "b\tneg\ta\nd\tpos\tc\n"
    assert read(tmp_path, content, **numbers) == (("neg", "pos"), ["a", "c"], [0, 1])
    # A first row may hold any numbers.
    content = "5\t2\t1\n1\t0\t2\n2\t2\t3\n"
    found = read(tmp_path, content, text_columns="1", label_column="2")
    assert found == (("0", "2"), ["5", "1", "2"], [1, 0, 1])
    with pytest.raises(ValueError, match=r"columns \['4'\], counted from 1, but .* has 3\."):
        read(tmp_path, content, **{**numbers, "label_column": "4"})
    with pytest.raises(ValueError, match="as in its first row, received 1 in line 4"):
        read(tmp_path, content + "x\n", **numbers)
    with pytest.raises(ValueError, match="counts columns without names from 1, received .* '0'"):
        read(tmp_path, content, text_columns="1", label_column="0")
    (tmp_path / "train.tsv").rename(tmp_path / "train.jsonl")
    with pytest.raises(ValueError, match="from train.tsv or train.csv, but"):
        read(tmp_path, **numbers)
