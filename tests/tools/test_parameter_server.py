"""A chief, two workers and a parameter server over loopback."""

import json
import socket

from programs import Program

import bert_tf
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions


def test_the_chief_trains_through_the_others(bert_dir, demo_dir, tmp_path):
    factors, folder = str(tmp_path / "factors"), tmp_path / "out"
    stages.factorize(FactorizeOptions(bert_dir, factors, task_name="sst-2", data_dir=demo_dir))
    roles = [("ps", 0), ("worker", 0), ("worker", 1), ("chief", 0)]
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in roles]
    cluster = {}
    for (kind, _), server in zip(roles, servers, strict=True):
        cluster.setdefault(kind, []).append(f"127.0.0.1:{server.getsockname()[1]}")
        server.close()
    processes = []
    for kind, index in roles:
        config = {"cluster": cluster, "task": {"type": kind, "index": index}}
        processes.append(
            Program(
                "flop_tools.finetune",
                "--task_name=sst-2",
                f"--data_dir={demo_dir}",
                f"--init_checkpoint={factors}",
                f"--output_dir={folder}",
                "--distribution_strategy=parameter_server",
                "--target_sparsity=0.3",
                "--gate_order_examples=16",
                "--max_seq_length=16",
                "--train_batch_size=4",
                "--num_train_epochs=3",
                "--save_checkpoints_steps=30",
                TF_CONFIG=json.dumps(config),
            )
        )
    *others, chief = processes
    try:
        code, text = chief.wait()
        assert all(process.poll() is None for process in others)  # They serve until they are ended.
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert code == 0, text
    info = bert_tf.load_info(folder)
    # Steps of workers that come late may close gates together that no calibration tells apart.
    assert 0.3 <= info["stored_sparsity"] < 0.5
