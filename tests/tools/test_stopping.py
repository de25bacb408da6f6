"""Runs that are killed, and the same command again."""

import os
import signal
import time

import numpy as np
import pytest
from programs import Program
from safetensors.numpy import load_file

from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions


@pytest.fixture(scope="module")
def command(bert_dir, demo_dir, tmp_path_factory):
    """Returns a function that starts a gated run of 60 steps in a folder."""
    factors = str(tmp_path_factory.mktemp("factors"))
    stages.factorize(FactorizeOptions(bert_dir, factors, task_name="sst-2", data_dir=demo_dir))

    def start(folder):
        return Program(
            "flop_tools.finetune",
            "--task_name=sst-2",
            f"--data_dir={demo_dir}",
            f"--init_checkpoint={factors}",
            f"--output_dir={folder}",
            "--target_sparsity=0.4",
            "--gate_order_examples=16",
            "--max_seq_length=16",
            "--length_buckets=16",
            "--train_batch_size=2",
            "--num_train_epochs=3",
            "--learning_rate=1e-3",
            "--save_checkpoints_steps=7",
        )

    return start


@pytest.fixture(scope="module")
def unbroken(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "out"
    code, text = command(folder).wait()
    assert code == 0, text
    return folder


def assert_same_end(folder, unbroken):
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, unbroken))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    assert results(folder) == results(unbroken)
    assert (folder / "info.json").read_bytes() == (unbroken / "info.json").read_bytes()


def results(folder):
    """The lines of the results but for how long it took."""
    lines = (folder / "eval_results.txt").read_text().splitlines()
    return [line for line in lines if "_time = " not in line]


def wait_for(condition, process):
    """Returns whether the condition holds before the process ends."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


def checkpoints(folder):
    return {name.partition(".")[0] for name in listdir(folder / "checkpoints") if ".data" in name}


def listdir(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def test_killed_at_several_moments(command, unbroken, tmp_path):
    folder = tmp_path / "out"

    def saving():
        # TensorFlow's name of the shards of a checkpoint that is not complete.
        return any("temp" in name for name in listdir(folder / "checkpoints"))

    moments = [
        lambda: (folder / "tensorboard").exists(),  # Before the first checkpoint.
        saving,
        lambda: len(checkpoints(folder)) >= 2,
        lambda: max((int(n.split("-")[1]) for n in checkpoints(folder)), default=0) >= 40,
        lambda: any(".partial-" in name for name in listdir(folder)),
    ]
    killed = 0
    for moment in moments:
        process = command(folder)
        if wait_for(moment, process):
            process.kill()
            killed += 1
        process.wait()
    assert killed >= 3
    code, text = command(folder).wait()
    assert code == 0, text
    assert_same_end(folder, unbroken)
    assert not any("temp" in name for name in listdir(folder / "checkpoints"))


def test_told_to_stop_it_saves_and_exits(command, unbroken, tmp_path):
    """By one signal and then, gone on, by the other."""
    folder, step = tmp_path / "out", None
    for number in (signal.SIGTERM, signal.SIGINT):
        before = checkpoints(folder)
        process = command(folder)
        assert wait_for(lambda before=before: checkpoints(folder) - before, process)
        os.kill(process.pid, number)
        code, text = process.wait()
        assert code == 128 + number, text
        assert step is None or f"Going on from step {step}." in text
        line = text.splitlines()[-1]
        assert line.startswith(f"Stopped by {number.name} at step ")
        step = int(line.split("step ")[1].split(";")[0])
        assert f"ckpt-{step}" in checkpoints(folder)
    code, text = command(folder).wait()
    assert code == 0 and f"Going on from step {step}." in text
    assert_same_end(folder, unbroken)


def test_two_runs_in_one_folder(command, tmp_path):
    folder = tmp_path / "out"
    first = command(folder)
    assert wait_for(lambda: (folder / "run.flags").exists(), first)
    code, text = command(folder).wait()
    first.kill()
    first.wait()
    assert code == 1
    assert text.splitlines()[-1].startswith(
        f"finetune: error: The output folder '{folder}' is in use by process {first.pid} on "
    )
