"""flop-diff-prune and flop-diff: the chain on a tiny task, and how bad input ends."""

import dataclasses
import json
import os

from flop_tools import diff, diff_prune

import pytest
from absl import flags

import bert_tf
from bert_tf.methods.diffs.diff_options import DiffOptions

STAGES = ["finetune-0.1", "learn", "project-0.1"]


@pytest.fixture
def arguments(demo_dir, bert_dir, tmp_path):
    """Returns a function that makes the arguments of a short run from what differs."""

    def arguments(word="all", **changes):
        settings = {
            "task_name": "sst-2",
            "data_dir": demo_dir,
            "init_checkpoint": bert_dir,
            "output_dir": tmp_path / "out",
            "max_seq_length": 15,
            "length_buckets": 15,
            "num_train_epochs": 0.9,
            "finetune_epochs": 0.5,
            "target_density": 0.1,
        }
        return [word, *(f"--{name}={value}" for name, value in {**settings, **changes}.items())]

    return arguments


def test_every_option_is_a_flag(call):
    assert call(diff_prune, "--helpshort") == 1
    for field in dataclasses.fields(DiffOptions):
        assert flags.FLAGS[field.name].default == field.default


def test_the_chain(call, arguments, bert_dir, tmp_path, caplog, capsys):
    out = tmp_path / "out"
    assert call(diff_prune, *arguments("learn")) is None
    assert os.listdir(out) == ["learn"]
    # Left by a kill between the stage's results and its end.
    (out / "learn/checkpoints").mkdir()
    assert call(diff_prune, *arguments()) is None
    assert not (out / "learn/checkpoints").exists()
    assert "learn is already done" in caplog.text and sorted(os.listdir(out)) == STAGES
    # Another density is projected from what is learned already.
    assert call(diff_prune, *arguments("project", target_density=0.05)) is None
    assert sorted(os.listdir(out)) == sorted([*STAGES, "project-0.05"])

    path = f"--diff={out / 'finetune-0.1'}"
    assert call(diff, "inspect", path) is None
    known = json.loads(capsys.readouterr().out)
    assert known["density"] <= 0.1 and known["task"]["name"] == "SST-2"
    merged = f"--output_dir={tmp_path / 'merged'}"
    assert call(diff, "apply", path, f"--base={bert_dir}", merged) is None
    assert bert_tf.load_info(tmp_path / "merged")["scores"] == known["scores"]
    arguments = [path, f"--base={bert_dir}", f"--model_dir={tmp_path / 'merged'}"]
    back = f"--output_dir={tmp_path / 'back'}"
    assert call(diff, "remove", *arguments, back) is None
    refused = call(diff, "apply", path, f"--base={tmp_path / 'merged'}", merged)
    assert refused.startswith("diff: error: The output folder")
    other = f"--output_dir={tmp_path / 'other'}"
    refused = call(diff, "apply", path, f"--base={tmp_path / 'merged'}", other)
    assert "has a difference to another base model: expected the fingerprint" in refused
    assert not (tmp_path / "other").exists()
    report = f"--output_dir={tmp_path / 'report'}"
    assert call(diff, "report", f"--runs_dir={out}", report) is None
    assert "| structured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"target_density": 0},
            "Argument `target_density` must be in (0, 1], received",
        ),
        ({"target_density": 1.1}, "Argument `target_density` must be in (0, 1], rec"),
        ({"frozen": "block"}, "Argument `frozen` must name weights of the base, such as embed"),
        ({"gate": "hard_concrete"}, "Argument `gate` is not for differences, received"),
        ({"timestamp_dir": True}, "Flag `--timestamp_dir` is not for stages, which find each"),
        ({"word": "project"}, "The stage learn must be finished in "),
        (
            {"word": "finetune", "method": "last_layer"},
            "The method last_layer has the stage learn",
        ),
    ],
)
def test_bad_input_is_one_sentence(call, arguments, tmp_path, changes, sentence):
    text = call(diff_prune, *arguments(**changes))
    assert text.startswith(f"diff_prune: error: {sentence}") and "\n" not in text
    assert not os.path.exists(tmp_path / "out") or not any(os.scandir(tmp_path / "out"))


def test_bad_files(call, bert_dir, tmp_path):
    path = tmp_path / "diff.safetensors"
    path.write_bytes(b"x" * 100)
    for flag, sentence in (
        (f"--diff={path}", "must be a difference, received a damaged or another file: "),
        (f"--diff={bert_dir}/model.safetensors", "received a safetensors file with metadata []"),
        ("--diff=nowhere", "Expected the difference 'nowhere', found no such file."),
        ("--diff=", "Flag `--diff` is needed for inspect."),
    ):
        text = call(diff, "inspect", flag)
        assert text.startswith("diff: error: ") and sentence in text
    text = call(diff, "apply", f"--diff={path}", "--base=x", "--output_dir=y", "--model_dir=z")
    assert text == "diff: error: Flag `--model_dir` is not for apply; leave it out."
