import json
import os
import pathlib

from flop_tools import evaluate


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
