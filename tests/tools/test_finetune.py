import dataclasses
import os
import pathlib
import subprocess
import sys

from flop_tools import finetune

import pytest
from absl import flags
from programs import Program

import bert_tf
from bert_tf.runs.options import FinetuneOptions


@pytest.fixture
def task(demo_dir, bert_dir, tmp_path):
    return {
        "task_name": "sst-2",
        "data_dir": demo_dir,
        "init_checkpoint": bert_dir,
        "output_dir": str(tmp_path / "out"),
        "max_seq_length": 15,
        "length_buckets": 15,
        "num_train_epochs": 0.9,
        "nodo_eval": None,
    }


def arguments(settings):
    return [f"--{k}" if v is None else f"--{k}={v}" for k, v in settings.items()]


def test_every_option_is_a_flag(call):
    assert call(finetune, "--helpshort") == 1
    for field in dataclasses.fields(FinetuneOptions):
        assert flags.FLAGS[field.name].default == field.default
        assert flags.FLAGS[field.name].help.startswith(field.metadata["help"])


def test_one_rule_for_the_output_folder(call, task, tmp_path, caplog):
    args = arguments(task)
    assert call(finetune, *args) is None
    folder = tmp_path / "out"
    assert bert_tf.load_info(folder)["step"] == 2  # .9 of an epoch of 32 and 8 examples.
    written = (folder / "run.flags").read_text()
    assert "--task_name=sst-2\n" in written and "--nodo_eval\n" in written
    assert "overwrite" not in written and "teacher" not in written.replace("--teacher=\n", "")
    stamp = (folder / "model.safetensors").stat().st_mtime_ns

    assert call(finetune, *args) is None
    assert "out is already done; pass --overwrite to run it again." in caplog.text
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp

    refused = call(finetune, *args, "--seed=1")
    assert "holds the files of another run, made without --seed=1; " in refused
    assert refused.startswith("finetune: error: ")

    failed = call(finetune, *args, "--seed=1", "--overwrite", "--init_checkpoint=nowhere")
    assert failed.startswith("finetune: error: The checkpoint 'nowhere' does not exist")
    assert (folder / "run.flags").read_text() == written
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp

    assert call(finetune, *args, "--seed=1", "--overwrite") is None
    assert "--seed=1\n" in (folder / "run.flags").read_text()
    assert os.listdir(tmp_path) == ["out"]


def test_the_flags_of_a_run_make_it_again(call, task, tmp_path):
    """The first run is in a folder named by the time."""
    args = arguments({**task, "num_train_epochs": 0.1})
    assert call(finetune, *args, "--timestamp_dir") is None
    (name,) = os.listdir(tmp_path / "out")
    assert len(name) == len("20240131-235959") and name[8] == "-"
    assert (tmp_path / "out" / name / "eval_results.txt").is_file()
    again = tmp_path / "again.flags"
    again.write_text("# A comment.\n" + (tmp_path / "out" / name / "run.flags").read_text())
    assert call(finetune, f"--flagfile={again}", f"--output_dir={tmp_path / 'again'}") is None
    first, second = (
        pathlib.Path(tmp_path, n, "model.safetensors") for n in (f"out/{name}", "again")
    )
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task_name": "sst-3"}, "Unknown task 'sst-3', did you mean 'SST-2'? Expected one of"),
        ({"target_sparsity": 1}, "Argument `target_sparsity` must be in [0, 1), received 1.0."),
        ({"gate_schedule": "linear"}, "Argument `gate_schedule` must be one of constant, noam"),
        ({"output_dir": ""}, "Argument `output_dir` is needed, received nothing."),
        ({"max_seq_length": "long"}, "Argument `max_seq_length` must be an integer, received 'lo"),
        ({"target_sparsty": 0.5}, "Unknown command line flag 'target_sparsty'. Did you mean: tar"),
        ({"teacher": "nowhere"}, "The folder 'nowhere' is no model directory: expected"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_folder(call, task, tmp_path, changes, sentence):
    text = call(finetune, *arguments({**task, **changes}))
    assert text.startswith(f"finetune: error: {sentence}") and "\n" not in text
    assert not (tmp_path / "out").exists()


def test_in_a_process_of_its_own(task):
    command = [sys.executable, "-m", "flop_tools.finetune", *arguments(task), "--epochs=3"]
    end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 1 and end.stdout == ""
    assert end.stderr.startswith("finetune: error: Unknown command line flag 'epochs'")
    assert len(end.stderr.splitlines()) == 1


def test_a_full_disk(call, task, tmp_path):
    """Half of the weights' size stops them; twice it stops the checkpoint, which has moments."""
    args = arguments(task)
    assert call(finetune, *args) is None
    before = (tmp_path / "out/model.safetensors").read_bytes()
    for share, what in ((0.5, "The "), (2.0, "A checkpoint up to step ")):
        limit = int(share * len(before))
        code, text = Program(
            "flop_tools.finetune", *args, "--seed=1", "--overwrite", file_size=limit
        ).wait()
        assert code == 1 and "Traceback" not in text
        assert text.splitlines()[-1].startswith(f"finetune: error: {what}")
        assert "cannot be written to" in text.splitlines()[-1]
        assert (tmp_path / "out/model.safetensors").read_bytes() == before
        assert os.listdir(tmp_path) == ["out"]
