"""Several workers over loopback: they train one model, and go on after one is killed."""

import socket
import time

import numpy as np
import pytest
from programs import Program
from safetensors.numpy import load_file

from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions


def free_ports(number):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


@pytest.fixture(scope="module")
def flags(bert_dir, demo_dir, tmp_path_factory):
    factors = str(tmp_path_factory.mktemp("factors"))
    stages.factorize(FactorizeOptions(bert_dir, factors, task_name="sst-2", data_dir=demo_dir))
    return [
        "--task_name=sst-2",
        f"--data_dir={demo_dir}",
        f"--init_checkpoint={factors}",
        "--target_sparsity=0.3",
        "--alpha_learning_rate=0.01",
        "--gate_order_examples=16",
        "--gate_freeze_fraction=1",
        "--hidden_dropout_prob=0",
        "--attention_probs_dropout_prob=0",
        "--max_seq_length=16",
        "--length_buckets=16",
        "--train_batch_size=8",
        "--num_train_epochs=6",
        "--save_checkpoints_steps=5",
    ]


def start(flags, folder, *more):
    return Program("flop_tools.finetune", *flags, f"--output_dir={folder}", *more, TF_CONFIG=None)


def start_workers(flags, folder, hosts):
    cluster = ["--distribution_strategy=multi_worker_mirrored", f"--worker_hosts={hosts}"]
    return [start(flags, folder, *cluster, f"--task_index={index}") for index in (0, 1)]


def test_a_worker_is_killed_and_all_go_on(flags, tmp_path):
    folder = tmp_path / "two"
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    chief, worker = start_workers(flags, folder, hosts)
    while not list((folder / "checkpoints").glob("*.index")):
        assert chief.poll() is None and worker.poll() is None, (chief.text(), worker.text())
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    time.sleep(1)
    chief.kill()  # Where it did not notice yet.
    chief.wait()

    chief, worker = start_workers(flags, folder, hosts)
    ends = [process.wait() for process in (chief, worker)]
    assert [code for code, _ in ends] == [0, 0], ends
    assert "Going on from step" in ends[0][1]

    code, text = start(flags, tmp_path / "one").wait()
    assert code == 0, text
    ours, theirs = (load_file(tmp_path / n / "model.safetensors") for n in ("two", "one"))
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=1e-5, err_msg=name)
