import json
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import FactorizeOptions
from bert_tf.runs import distribution, finetuning, run_data
from bert_tf.tasks import registry
from flop_tf import surgery
from flop_tf.backend import keras


@pytest.fixture
def workers():
    return {"distribution_strategy": "multi_worker_mirrored", "worker_timeout": 1}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_ten_gated_steps_on_two_devices_are_those_of_one(
    options, bert_dir, sst_dir, tmp_path, two_devices
):
    """203 sentences are four batches of 48 and one of 11."""
    factors = str(tmp_path / "factors")
    stages.factorize(FactorizeOptions(bert_dir, factors, task_name="sst-2", data_dir=sst_dir))
    teacher = str(tmp_path / "teacher")
    keras.utils.set_random_seed(1)
    config, tokenizer = bert_tf.load(bert_dir).config, bert_tf.load_tokenizer(bert_dir)
    model_dir.save(teacher, bert_tf.BertModel(config), tokenizer)

    def train(name, strategy, **changes):
        settings = {
            "init_checkpoint": factors,
            "output_dir": str(tmp_path / name),
            "train_batch_size": 48,
            "num_train_epochs": 2.0,
            "learning_rate": 3e-4,  # Adam makes steps of noise where a gradient is almost zero.
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "target_sparsity": 0.3,
            "alpha_learning_rate": 0.01,
            "lambda_learning_rate": 1.0,
            "gate_freeze_fraction": 1.0,
            "teacher": teacher,
            "holdout_examples": 0,
        }
        scores = finetuning.finetune(options(**{**settings, **changes}), strategy)
        info = bert_tf.load_info(settings["output_dir"])
        return scores, info, surgery.named_weights(bert_tf.load(settings["output_dir"]))

    one = train("one", tf.distribute.OneDeviceStrategy("CPU:0"))
    for other in (
        train("two", two_devices),
        train("parts", tf.distribute.get_strategy(), gradient_accumulation_steps=5),
    ):
        assert other[0]["dev"] == pytest.approx(one[0]["dev"], abs=1e-5)
        assert other[1]["step"] == one[1]["step"]
        assert other[1]["loss"] == pytest.approx(one[1]["loss"], rel=1e-5)
        for path, weight in one[2].items():
            np.testing.assert_allclose(other[2][path], weight, atol=1e-5, err_msg=path)


def test_more_gpus_than_there_are(options):
    with pytest.raises(ValueError, match="`num_gpus` must be at most 0, the GPUs of this machine"):
        distribution.make_strategy(options(num_gpus=1))


def test_without_a_gpu_it_is_the_cpu(options):
    strategy = distribution.make_strategy(options(distribution_strategy="mirrored"))
    assert strategy.num_replicas_in_sync == 1
    assert strategy.extended.worker_devices[0].endswith("CPU:0")


def test_one_device_is_that_of_tensorflow(options):
    """Its own strategy has iterators that take long to end, where it is not asked for another."""
    assert distribution.make_strategy(options()) is tf.distribute.get_strategy()


def test_a_tpu_that_is_not_there(options):
    with pytest.raises(ConnectionError, match="The TPU 'nowhere' does not answer: "):
        distribution.make_strategy(options(distribution_strategy="tpu", tpu="nowhere"))


def test_a_tpu_is_told_all_shapes_beforehand(options, bert_dir):
    asked = options(distribution_strategy="tpu", length_buckets="")
    data = run_data.RunData(asked, registry.get("sst-2"), bert_tf.load_tokenizer(bert_dir))
    specs = tf.nest.flatten(data.train_batches(0).element_spec)
    assert all(spec.shape.is_fully_defined() for spec in specs)
    assert {spec.shape[1] for spec in specs if spec.shape.rank == 2} == {asked.max_seq_length}


@pytest.mark.parametrize(
    ("changes", "config", "sentence"),
    [
        ({}, None, "needs TF_CONFIG, or `worker_hosts` and a `task_index` below their number"),
        ({"worker_hosts": "a:1", "task_index": 1}, None, "received 'a:1' and 1"),
        ({}, "{", "TF_CONFIG must be JSON with `cluster` and a `task` of it, received '{'"),
        ({}, '{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG must be JSON with `cluster` and a"),
        (
            {},
            '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
            "TF_CONFIG must be JSON with `cluster` and a `task` of it",
        ),
        ({}, "[" * 10**6, r"TF_CONFIG must be JSON .* received '\[{200}'\.$"),
        (
            {},
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "TF_CONFIG must be JSON with `cluster` and a `task` of it",
        ),
    ],
)
def test_workers_must_be_named(options, workers, monkeypatch, changes, config, sentence):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=sentence):
        distribution.is_chief(options(**workers, **changes))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "`distribution_strategy=parameter_server` needs TF_CONFIG, which names a chief"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
            "TF_CONFIG must be JSON with `cluster`, in it chief, worker and ps, and a `task`",
        ),
    ],
)
def test_parameter_servers_must_be_named(options, monkeypatch, config, sentence):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    asked = options(distribution_strategy="parameter_server", worker_hosts="a:1,b:1", task_index=0)
    with pytest.raises(ValueError, match=sentence):
        distribution.serve(asked)


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "expected"),
    [
        ({"worker": ["a:1", "b:1"]}, "worker", 0, True),
        ({"worker": ["a:1", "b:1"]}, "worker", 1, False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, "chief", 0, True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, "worker", 0, False),
    ],
)
def test_one_worker_writes(options, workers, monkeypatch, cluster, kind, index, expected):
    config = {"cluster": cluster, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert distribution.is_chief(options(**workers)) is expected
    assert distribution.is_chief(options())


def test_a_worker_that_nobody_answers(options, workers, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    hosts = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    monkeypatch.setenv("TF_CONFIG", "")  # So that what is set inside goes away afterwards.
    monkeypatch.delenv("TF_CONFIG")
    with socket.create_server(("127.0.0.1", int(hosts[1].split(":")[1]))):
        sentence = f"The workers {hosts[2]} did not answer {hosts[0]} within 1 seconds; start all"
        with pytest.raises(ConnectionError, match=sentence):
            distribution.make_strategy(
                options(**workers, worker_hosts=",".join(hosts), task_index=0)
            )


def test_a_worker_without_a_port(options, workers, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv(
        "TF_CONFIG", '{"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 0}}'
    )
    with pytest.raises(ValueError, match="must name workers as host:port, received 'a'"):
        distribution.make_strategy(options(**workers))


def test_workers_wait_for_each_other():
    hosts = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    threads = [
        threading.Thread(
            target=distribution._wait_for_workers,
            args=(({"worker": hosts}, "worker", index), 10),
        )
        for index in (0, 1)
    ]
    threads[0].start()
    threads[0].join(0.5)
    assert threads[0].is_alive()
    threads[1].start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_port_that_is_none(options, workers, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="must name workers as host:port, received 'a:65536'"):
        distribution.make_strategy(options(**workers, worker_hosts="a:65536,b:1", task_index=0))
