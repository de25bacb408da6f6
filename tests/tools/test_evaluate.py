import json
import os
import pathlib

from flop_tools import evaluate, factorize


def test_scores_and_predictions(call, bert_dir, demo_dir, tmp_path, capsys):
    args = [f"--model_dir={bert_dir}", "--task_name=sst-2", f"--data_dir={demo_dir}"]
    assert call(evaluate, *args, f"--output_dir={tmp_path}") is None
    scores = json.loads(capsys.readouterr().out)
    assert set(scores) == {"dev"} and 0 <= scores["dev"]["eval_accuracy"] <= 1
    assert json.loads(pathlib.Path(tmp_path, "scores.json").read_text()) == scores
    assert sorted(os.listdir(tmp_path)) == ["SST-2.dev.tsv", "run.flags", "scores.json"]


def test_a_split_without_labels(call, bert_dir, demo_dir, tmp_path, capsys):
    args = [f"--model_dir={bert_dir}", "--task_name=sst-2", f"--data_dir={demo_dir}"]
    assert call(evaluate, *args, "--split=test", f"--output_dir={tmp_path}") is None
    assert json.loads(capsys.readouterr().out) == {}
    assert len(pathlib.Path(tmp_path, "SST-2.tsv").read_text().splitlines()) == 6


def test_bad_input(call, bert_dir, tmp_path):
    text = call(evaluate, f"--model_dir={bert_dir}")
    assert text.startswith("evaluate: error: Argument `task_name` is needed: ")
    text = call(evaluate, f"--model_dir={tmp_path}")
    assert text.endswith("is no model directory: expected 'info.json' in it.")


def test_files_of_ones_own(call, bert_dir, tmp_path, caplog, capsys):
    rows = 'text,label\n"good, ""very"" good",pos\n"bad\nfilm",neg\n'
    (tmp_path / "train.csv").write_text(rows + "good,pos\nbad,neg\n")
    (tmp_path / "dev.csv").write_text(rows)
    (tmp_path / "test.csv").write_text('text\n"good\n\nfilm"\n""\nbad\n')
    data = [f"--data_dir={tmp_path}", "--task_name=tsv"]
    columns = ["--text_columns=text", "--label_column=label", "--density=.5"]
    model = tmp_path / "model"
    args = [f"--checkpoint={bert_dir}", f"--output_dir={model}", "--calibration_batches=1"]
    with caplog.at_level("INFO", "absl"):
        assert call(factorize, *args, *data, *columns) is None
    assert "train.csv has 4 examples: 2 of 'neg', 2 of 'pos'." in caplog.text
    assert "train.csv: line breaks inside of quotes in 1 rows" in caplog.text

    args = [f"--model_dir={model}", f"--data_dir={tmp_path}"]
    assert call(evaluate, *args, "--split=test", f"--output_dir={tmp_path / 'out'}") is None
    lines = (tmp_path / "out" / "predictions.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["index", "0", "1", "2"]

    (tmp_path / "dev.csv").write_text('text,label\n"good" film,pos\n')
    sentence = call(evaluate, *args)
    assert sentence.startswith("evaluate: error: The data file '") and "line 2; pass" in sentence
    capsys.readouterr()
    assert call(evaluate, *args, "--quoting=none") is None
    assert set(json.loads(capsys.readouterr().out)) == {"dev"}
