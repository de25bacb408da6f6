import io
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.models.bert import BertModel
from bert_tf.runs import callbacks
from bert_tf.runs.run_checkpoints import RunCheckpoints
from flop_tf.backend import keras
from flop_tf.layers.projection import ProjectionSpec

GATE = {"name": "hard_concrete", "config": {"axis": 0}}


@pytest.fixture
def model():
    """A model of Keras whose optimizer stands at step 4."""
    made = keras.Sequential([keras.layers.Dense(1)])
    made.compile("sgd")
    made.optimizer.build([])
    made.optimizer.iterations.assign(4)
    return made


def steps(callback, model, number, **logs):
    callback.set_model(model)
    callback.on_train_begin()
    for _ in range(number):
        model.optimizer.iterations.assign_add(1)
        callback.on_train_batch_end(0, {"loss": 0.5, **logs})
    callback.on_train_end()


def read(folder):
    found = {}
    for file in folder.glob("events*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found[value.tag, event.step] = tf.make_ndarray(value.tensor)
    return found


def test_at_steps(model):
    called = []
    callback = callbacks.EverySteps(lambda step, logs: called.append((step, logs["loss"])), 3, 11)
    steps(callback, model, 7)
    assert called == [(6, 0.5), (9, 0.5), (11, 0.5)]


def test_summaries(model, tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    steps(callbacks.Summaries(writer, every=5), model, 7, lambda_1=2.0, other=1.0)
    writer.close()
    found = read(tmp_path)
    assert found["loss", 5] == 0.5 and found["lambda_1", 10] == 2.0
    assert {tag for tag, _ in found} == {"loss", "lambda_1", "steps_per_second"}
    assert found["steps_per_second", 10] > 0


@pytest.mark.parametrize(("share", "of_factors"), [(None, None), (0.5, "of_factors=0.700")])
def test_progress_line(model, capsys, share, of_factors):
    scores = {"score": 0.25}
    logs = {"expected_sparsity": 0.4, "target_sparsity": 0.6}
    steps(callbacks.ProgressLine(9, scores, share), model, 5, **logs)
    line = capsys.readouterr().err
    assert "9/9" in line and "loss=0.500" in line and "score=0.250" in line
    assert "expected=0.400" in line and "target=0.600" in line
    assert (of_factors or "step") in line and ("of_factors" in line) == (share is not None)


def test_survivors(tmp_path):
    layers = (
        LayerConfig(2, 12, {"query": ProjectionSpec(8, GATE), "ffn_out": ProjectionSpec(3)}),
        LayerConfig(0, 12),
    )
    config = EncoderConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=7,
        layers=layers,
    )
    model = BertModel(config)
    model.encoder.blocks[0].query.gate.log_alpha.assign([5, -3, 1, 2, -9, 0, 0, -2.5])
    writer = tf.summary.create_file_writer(str(tmp_path))
    callbacks.write_survivors(writer, 7, model)
    writer.close()
    found = read(tmp_path)
    assert found.pop(("survivors/blocks.0.query", 7)) == 5
    assert found.pop(("survivors/blocks.0.ffn_out", 7)) == 3
    assert found.pop(("survivors/blocks.1.attention_output", 7)) == 0
    ((tag, _), (width, height, png)) = found.popitem()
    assert tag == "survivors" and not found
    image = tf.io.decode_png(png).numpy()
    assert image.shape[:2] == (int(height), int(width)) and len(np.unique(image)) > 20
    assert io.BytesIO(png).read(4) == b"\x89PNG"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_last_step_waits_for_the_checkpoint(model, tmp_path, caplog, number):
    caplog.set_level("INFO", logger="absl")
    before = signal.getsignal(number)
    checkpoints = RunCheckpoints(str(tmp_path), keep=2)
    checkpoints.track(model.optimizer.iterations, optimizer=model.optimizer)
    line = callbacks.ProgressLine(7, {}, disable=True)
    stopping = callbacks.StopOnSignal(checkpoints, line)
    steps(stopping, model, 3)
    checkpoints.save()
    os.kill(os.getpid(), number)
    checkpoints.finish()
    stopping.give_back()
    assert signal.getsignal(number) is before
    assert checkpoints.found
    with pytest.raises(SystemExit) as end:
        stopping.stop_if_received()
    assert end.value.code == 128 + number
    assert f"Stopped by {number.name} at step 7; the same command" in caplog.text
