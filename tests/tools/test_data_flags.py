import pathlib

from flop_tools import evaluate, factorize, finetune, remove_mask

import pytest

import bert_tf


@pytest.fixture(params=[factorize, evaluate, remove_mask, finetune])
def program(request, call, bert_dir, tmp_path):
    """Returns a function that runs a program on a model with some flags and returns its error."""
    tool = request.param
    model = {evaluate: "model_dir", finetune: "init_checkpoint"}.get(tool, "checkpoint")
    output = "output_folder_dir" if tool is remove_mask else "output_dir"

    def run(*args):
        end = call(tool, f"--{model}={bert_dir}", f"--{output}={tmp_path / 'out'}", *args)
        assert not (tmp_path / "out").exists()
        return end.split(": error: ")[1]

    return run


def test_flags_that_exclude_each_other(program, demo_dir, tmp_path):
    found = program("--tfds=glue/sst2", f"--data_dir={demo_dir}")
    assert found.startswith("Flags `--data_dir` and `--tfds` exclude each other; the folder of TFD")
    found = program(f"--data_dir={demo_dir}", f"--tfds_data_dir={tmp_path}")
    assert found == "Flag `--tfds_data_dir` needs `--tfds`, the name of a data set."
    found = program(f"--data_dir={demo_dir}", "--tfds_download")
    assert found == "Flag `--tfds_download` needs `--tfds`, the name of a data set."


def test_a_name_that_does_not_exist(program):
    found = program("--tfds=glue/sst", "--tfds_download")
    assert found.startswith("Unknown data set 'glue/sst', did you mean 'glue/sst2'? Expected one")


def test_not_prepared(call, bert_dir, tmp_path):
    args = [f"--model_dir={bert_dir}", "--tfds=glue/sst2", f"--tfds_data_dir={tmp_path}"]
    found = call(evaluate, *args)
    assert found.startswith("evaluate: error: The data set 'glue/sst2' is not prepared in '")
    found = call(evaluate, *args, "--task_name=rte")
    assert "The data set 'glue/sst2' is of the task 'SST-2', received the task 'RTE'" in found


def test_downloaded_and_trained_on(call, publish, bert_dir, demo_dir, tmp_path, caplog):
    publish("sst2", sorted(pathlib.Path(demo_dir).iterdir()))
    data = ["--tfds=glue/sst2", f"--tfds_data_dir={tmp_path / 'tfds'}"]
    sizes = ["--max_seq_length=15", "--length_buckets=15", "--num_train_epochs=.5"]
    args = [f"--init_checkpoint={bert_dir}", f"--output_dir={tmp_path / 'out'}", *data, *sizes]
    assert call(finetune, *args, "--tfds_download") is None
    task = bert_tf.load_info(tmp_path / "out")["task"]
    assert task == {"name": "SST-2", "labels": ["0", "1"], "tfds": "glue/sst2"}
    assert call(finetune, *args) is None
    assert "is already done" in caplog.text
