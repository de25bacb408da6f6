"""Tasks by their names, on small files in the published layouts."""

import numpy as np
import pytest
from official.nlp.data import classifier_data_lib

from bert_tf.tasks import registry

MNLI_COLUMNS = (
    "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse "
    "sentence1_parse sentence2_parse sentence1 sentence2"
).split()
XNLI_COLUMNS = (
    "language gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse "
    "sentence2_parse sentence1 sentence2 promptID pairID genre label1 label2 label3 label4 label5 "
    "sentence1_tokenized sentence2_tokenized match"
).split()
MRPC_TRAIN = [
    ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
    ["1", "10", "11", 'He said "yes.', "He agreed."],
    ["0", "20", "21", "A cat.", "A dog."],
    ["1", "30", "31", "One.", "1."],
]
MRPC_TEST = [MRPC_TRAIN[0], ["0", "40", "41", "Two.", "Three."]]


def write(path, rows, prefix=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = prefix + "".join("\t".join(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="")


def xnli_row(language, label, a, b):
    fields = dict.fromkeys(XNLI_COLUMNS, "x")
    return list(
        {
            **fields, "language": language, "gold_label": label, "sentence1": a, "sentence2": b
        }.values()
    )  # fmt: skip


def mnli_row(index, a, b, *labels):
    return [str(index), "1", "1n", "fiction", *["( x )"] * 4, a, b, *labels]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("sst2", "SST-2"),
        ("SST-2", "SST-2"),
        ("cola", "CoLA"),
        ("sts_b", "STS-B"),
        ("mnli", "MNLI"),
        ("xnli", "XNLI"),
        ("WNLI", "WNLI"),
    ],
)
def test_names(name, expected):
    assert registry.get(name).name == expected


@pytest.mark.parametrize("name, nearest", [("sst", "SST-2"), ("qnly", "QNLI"), ("stsbb", "STS-B")])
def test_unknown_name(name, nearest):
    with pytest.raises(ValueError, match=f"Unknown task '{name}', did you mean '{nearest}'"):
        registry.get(name)


def test_outputs_and_metrics():
    assert (registry.get("mnli").num_outputs, registry.get("mnli").dev_splits) == (
        3,
        ("dev_matched", "dev_mismatched"),
    )
    sts = registry.get("sts-b")
    assert (sts.labels, sts.is_regression, sts.num_outputs) == (None, True, 1)
    primary = {
        name: registry.get(name).primary_metric
        for name in ("cola", "mrpc", "qqp", "sts-b", "rte", "mnli")
    }
    assert primary == {
        "cola": "matthews_corrcoef",
        "mrpc": "f1_score",
        "qqp": "f1_score",
        "sts-b": "pearson",
        "rte": "eval_accuracy",
        "mnli": "eval_accuracy",
    }
    for task in map(registry.get, primary):
        assert task.primary_metric in task.metrics


@pytest.mark.parametrize(
    "folder, split, size",
    [
        ("SST-2", "train", 67349),
        ("SST-2", "dev", 872),
        ("SST-2", "test", 1821),
        ("STS-B", "train", 5749),
        ("STS-B", "dev", 1500),
        ("STS-B", "test", 1379),
        ("RTE", "train", 2490),
        ("RTE", "dev", 277),
        ("RTE", "test", 3000),
        ("WNLI", "train", 635),
        ("WNLI", "dev", 71),
        ("WNLI", "test", 146),
    ],
)
def test_real_files(shared, folder, split, size):
    examples = registry.get(folder).read(shared / "data" / "glue" / folder, split)
    assert len(examples) == len(examples.ids) == size
    assert (examples.labels is None) == (split == "test")
    assert (examples.texts_b is None) == (folder == "SST-2")


def test_real_scores_and_quotes(shared):
    examples = registry.get("sts-b").read(shared / "data" / "glue" / "STS-B", "dev")
    assert examples.labels.dtype == np.float32
    assert examples.labels[:2].tolist() == [5.0, 4.75]
    assert examples.texts_a[0] == "A man with a hard hat is dancing."
    assert any('"' in text for text in examples.texts_a)


def test_cola_has_no_header_and_keeps_quotes(tmp_path):
    rows = [["gj04", "1", "", 'They said "no.'], ["gj04", "0", "*", 'The "dog.']]
    write(tmp_path / "train.tsv", rows)
    write(tmp_path / "test.tsv", [["index", "sentence"], ["0", "Bill slept."]])
    train, test = (registry.get("cola").read(tmp_path, split) for split in ("train", "test"))
    assert train.texts_a == ['They said "no.', 'The "dog.']
    assert train.labels.tolist() == [1, 0]
    assert (test.texts_a, test.labels, test.ids) == (["Bill slept."], None, ["0"])


def test_mrpc_published_files(tmp_path):
    for split in ("train", "dev"):
        write(tmp_path / f"{split}.tsv", MRPC_TRAIN)
    write(tmp_path / "test.tsv", [["index", *MRPC_TRAIN[0][1:]], ["7", "1", "2", "A.", "B."]])
    task = registry.get("mrpc")
    assert task.read(tmp_path, "train").labels.tolist() == [1, 0, 1]
    assert task.read(tmp_path, "dev").texts_b == ["He agreed.", "A dog.", "1."]
    test = task.read(tmp_path, "test")
    assert (test.texts_a, test.texts_b, test.labels, test.ids) == (["A."], ["B."], None, ["7"])


def test_mrpc_raw_files(tmp_path):
    write(tmp_path / "msr_paraphrase_train.txt", MRPC_TRAIN, prefix="\ufeff")
    write(tmp_path / "msr_paraphrase_test.txt", MRPC_TEST, prefix="\ufeff")
    task = registry.get("mrpc")
    assert task.read(tmp_path, "train").texts_a == ['He said "yes.', "A cat.", "One."]
    assert task.read(tmp_path, "dev").texts_a == ["Two."]
    assert task.read(tmp_path, "test").labels.tolist() == [0]
    write(tmp_path / "dev_ids.tsv", [["20", "21"]])
    assert task.read(tmp_path, "train").texts_a == ['He said "yes.', "One."]
    assert task.read(tmp_path, "dev").texts_a == ["A cat."]


def test_qqp_leaves_out_broken_rows(tmp_path):
    rows = [
        ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
        ["5", "1", "2", "Who?", "What?", "0"],
        ["6", "1", "2", "A question with"],
        ["a line break?", "Where?", "1"],
        ["7", "3", "4", "Why?", "Why so?", "1"],
    ]
    write(tmp_path / "train.tsv", rows)
    write(tmp_path / "test.tsv", [["id", "question1", "question2"], ["9", "How?", "When?"]])
    train = registry.get("qqp").read(tmp_path, "train")
    assert (train.texts_a, train.texts_b) == (["Who?", "Why?"], ["What?", "Why so?"])
    assert train.labels.tolist() == [0, 1]
    assert registry.get("qqp").read(tmp_path, "test").ids == ["9"]


def test_mnli(tmp_path):
    write(
        tmp_path / "train.tsv",
        [
            [*MNLI_COLUMNS, "label1", "gold_label"],
            mnli_row(0, "P.", "H.", "neutral", "neutral"),
            mnli_row(1, "P.", "H.", "entailment", "contradiction"),
        ],
    )
    header = [*MNLI_COLUMNS, *[f"label{i}" for i in range(1, 6)], "gold_label"]
    for kind in ("matched", "mismatched"):
        labels = ["neutral"] * 5
        row = mnli_row(0, f"{kind} premise", "hypothesis", *labels, "entailment")
        write(tmp_path / f"dev_{kind}.tsv", [header, row])
        write(tmp_path / f"test_{kind}.tsv", [MNLI_COLUMNS, mnli_row(3, "P.", "H.")])
    task = registry.get("mnli")
    assert task.read(tmp_path, "train").labels.tolist() == [2, 0]
    for split in task.dev_splits:
        dev = task.read(tmp_path, split)
        assert dev.labels.tolist() == [1]
        assert (dev.texts_a, dev.texts_b) == ([f"{split[4:]} premise"], ["hypothesis"])
    assert task.test_splits == ("test_matched", "test_mismatched")
    assert task.read(tmp_path, "test_matched").ids == ["3"]


@pytest.mark.parametrize(
    "name, columns", [("qnli", ("question", "sentence")), ("rte", ("sentence1", "sentence2"))]
)
def test_entailment_labels(tmp_path, name, columns):
    rows = [
        ["index", *columns, "label"],
        ["0", "A?", "B.", "not_entailment"],
        ["1", "C?", "D.", "entailment"],
    ]
    write(tmp_path / "dev.tsv", rows)
    examples = registry.get(name).read(tmp_path, "dev")
    assert examples.labels.tolist() == [1, 0]
    assert examples.texts_b == ["B.", "D."]


def test_xnli_by_language(tmp_path):
    train = [["premise", "hypo", "label"], ["P .", "H .", "contradictory"], ["Q", "I", "neutral"]]
    write(tmp_path / "multinli" / "multinli.train.en.tsv", train)
    rows = [
        XNLI_COLUMNS,
        xnli_row("de", "neutral", "Ja.", "Nein."),
        xnli_row("en", "entailment", "Yes.", "No."),
    ]
    write(tmp_path / "xnli.dev.tsv", rows)
    write(tmp_path / "xnli.test.tsv", rows)
    task = registry.get("xnli")
    assert task.read(tmp_path, "train").labels.tolist() == [0, 2]
    assert task.read(tmp_path, "dev").texts_a == ["Yes."]
    german = registry.get("xnli", language="de")
    assert german.read(tmp_path, "dev").labels.tolist() == [2]
    assert german.read(tmp_path, "test").texts_b == ["Nein."]
    assert registry.get(**german.to_dict()) == german

    processor = classifier_data_lib.XnliProcessor("en")
    theirs = processor.get_train_examples(str(tmp_path))
    ours = task.read(tmp_path, "train")
    assert [e.text_a for e in theirs] == ours.texts_a
    assert [e.text_b for e in theirs] == ours.texts_b
    assert [processor.get_labels().index(e.label) for e in theirs] == ours.labels.tolist()


def test_tsv_collects_labels_from_train(tmp_path):
    rows = [["review", "title", "stars"], ["Bad.", "No", "10"], ["Ok.", "So", "2"]]
    write(tmp_path / "train.tsv", rows)
    write(tmp_path / "dev.tsv", rows[:2])
    write(tmp_path / "test.tsv", [["review", "title"], ["Fine.", "T"]])
    task = registry.get("tsv", data_dir=tmp_path, text_columns="review", label_column="stars")
    assert task.labels == ("2", "10")
    train = task.read(tmp_path, "train")
    assert (train.texts_a, train.texts_b) == (["Bad.", "Ok."], None)
    assert train.labels.tolist() == [1, 0]
    assert task.read(tmp_path, "dev").ids == ["0"]
    assert task.read(tmp_path, "test").labels is None

    again = registry.get(**task.to_dict())
    assert again == task
    pair = registry.get(
        "tsv", text_columns=["title", "review"], label_column="stars", labels=["10", "2"]
    )
    assert pair.read(tmp_path, "train").labels.tolist() == [0, 1]
    assert pair.read(tmp_path, "train").texts_a == ["No", "So"]


def test_tsv_text_labels_and_numbers(tmp_path):
    rows = [["text", "label"], ["a", "pos"], ["b", "neg"], ["c", "pos"]]
    write(tmp_path / "train.tsv", rows)
    arguments = {"data_dir": tmp_path, "text_columns": "text", "label_column": "label"}
    assert registry.get("tsv", **arguments).labels == ("neg", "pos")
    write(tmp_path / "train.tsv", [["text", "label"], ["a", "-1.5"], ["b", "2e1"]])
    assert registry.get("tsv", **arguments).labels == ("-1.5", "2e1")
    task = registry.get("tsv", label_type="number", **arguments)
    assert (task.labels, task.num_outputs, task.primary_metric) == (None, 1, "pearson")
    assert task.read(tmp_path, "train").labels.tolist() == [-1.5, 20.0]


def test_take_keeps_rows_together(tmp_path):
    write(tmp_path / "train.tsv", MRPC_TRAIN)
    taken = registry.get("mrpc").read(tmp_path, "train").take([2, 1])
    assert taken.texts_a == ["One.", "A cat."]
    assert taken.texts_b == ["1.", "A dog."]
    assert (taken.labels.tolist(), taken.ids) == ([1, 0], ["2", "1"])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("sst-2", b"", r"train.tsv' is empty\."),
        ("sst-2", b"sentence\tlabel\n", r"has no examples for this task\."),
        (
            "sst-2",
            b"text\tlabel\na\t1\n",
            r"needs the columns \['sentence'\], .* \['text', 'label'",
        ),
        ("sst-2", b"sentence\tlabel\na\t1\nb\t2\n", r"one of \['0', '1'\] .* '2' in line 3\."),
        ("sst-2", b"sentence\tlabel\na\t1\n\nb\n", r"at least 2 fields .* received 1 in line 4\."),
        ("sst-2", b"sentence\tlabel\na\t1\n\xe9\t0\n", r"UTF-8, received the byte 0xE9 in line 3"),
        ("cola", b"x\t1\tgood\n", r"at least 4 fields in each line, received 3 in line 1\."),
        ("rte", b"index\tsentence1\tsentence2\tlabel\n0\ta\tb\tyes\n", "received 'yes' in line 2"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / "train.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        registry.get(name).read(tmp_path, "train")


@pytest.mark.parametrize("score", ["high", "5.5", "-1", "nan", ""])
def test_bad_scores(tmp_path, score):
    write(tmp_path / "dev.tsv", [["sentence1", "sentence2", "score"], ["a", "b", score]])
    message = f"needs a number from 0.0 to 5.0 as a label, received '{score}' in line 2"
    with pytest.raises(ValueError, match=message):
        registry.get("sts-b").read(tmp_path, "dev")


def test_missing_files_and_splits(tmp_path):
    with pytest.raises(ValueError, match="needs `data_dir`"):
        registry.get("sst-2").read("", "train")
    with pytest.raises(ValueError, match="'train' from train.tsv, but the folder '.*' has no such"):
        registry.get("sst-2").read(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="train.tsv or msr_paraphrase_train.txt"):
        registry.get("mrpc").read(tmp_path, "train")
    with pytest.raises(ValueError, match=r"no split 'dev', expected one of \['train', 'dev_matche"):
        registry.get("mnli").read(tmp_path, "dev")
    with pytest.raises(ValueError, match="SST-2 has no split 'valid'"):
        registry.get("sst-2").expand("valid")


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("sst-2", {"text_columns": "a"}, "belong to the task 'tsv', received the task 'SST-2'"),
        ("rte", {"labels": ["0", "1"]}, r"the model was trained with \['0', '1'\]"),
        ("xnli", {"language": "xx"}, "`language` must be one of .* received 'xx'"),
        ("tsv", {}, "needs `text_columns`, one or two column names"),
        ("tsv", {"text_columns": "a,b,c", "label_column": "d"}, r"received \['a', 'b', 'c'\]"),
        ("tsv", {"text_columns": "a", "label_column": "d"}, "needs `data_dir` or `labels`"),
        (
            "tsv",
            {"text_columns": "a", "label_column": "d", "label_type": "int"},
            "`label_type` must be 'class', 'number' or 'labels', received 'int'",
        ),
    ],
)
def test_bad_arguments(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        registry.get(name, **arguments)


def test_tsv_with_one_label(tmp_path):
    write(tmp_path / "train.tsv", [["a", "b"], ["x", "1"], ["y", "1"]])
    with pytest.raises(ValueError, match=r"at least two labels, received \['1'\]"):
        registry.get("tsv", data_dir=tmp_path, text_columns="a", label_column="b")


def test_tsv_with_an_empty_label(tmp_path):
    write(tmp_path / "train.tsv", [["a", "b"], ["x", "1"], ["y", " "]])
    with pytest.raises(ValueError, match="a label in each line, received none in line 3"):
        registry.get("tsv", data_dir=tmp_path, text_columns="a", label_column="b")
