"""Models that another process writes, or this one where it must."""

import dataclasses
import pickle
import sys

import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.serving import formats, latency_probes, model_writer
from bert_tf.serving.engines import ENGINES, Process
from bert_tf.serving.execution_plan import Plan
from bert_tf.serving.formats.format import Format
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.latency_measurement import request
from bert_tf.serving.model_writer import Writing

CONFIG = EncoderConfig(
    vocab_size=20,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=16,
)


class Small(Format):
    """A format that no other program knows, of models with few neurons."""

    file = "small.txt"
    limits = Limits()

    def write(self, served, folder):
        if len(served.weights) > 20 * CONFIG.num_hidden_layers + 10:
            raise ValueError("Too many weights.")
        with open(self.path(folder), "w") as file:
            file.write("small")


def tasks_of(form, folder, blocks=(1, 1, 3)):
    plans = [
        Plan(dataclasses.replace(CONFIG, num_hidden_layers=number, layers=())) for number in blocks
    ]
    return [(plan, form, str(folder / str(number))) for number, plan in enumerate(plans)]


def test_another_process_writes_what_engines_load(tmp_path, monkeypatch):
    monkeypatch.delattr(model_writer, "write")  # This process does not.
    form = formats.get("saved_model")
    tasks = tasks_of(form, tmp_path)
    with Writing(tasks) as writing:
        assert not (tmp_path / "0").exists()  # It has still to start.
        assert writing.results() == [None] * 3
    with Process(ENGINES["tensorflow"], form.path(tasks[2][2])) as process:
        (answer,) = process.answers([request(CONFIG, (2, 8))])
    assert answer["logits"].shape == (2, 2)


@pytest.mark.parametrize("blocks", [(1, 1, 3), (1, 3)])
@pytest.mark.parametrize("has_a_pickle", [True, False])
def test_what_another_process_does_not_know_is_written_here(tmp_path, blocks, has_a_pickle):
    form = Small()
    form.of_the_program = None if has_a_pickle else lambda: None
    with Writing(tasks_of(form, tmp_path, blocks)) as writing:
        *written, error = writing.results()
    assert written == [None] * (len(blocks) - 1) and str(error) == "Too many weights."
    assert (tmp_path / "0/small.txt").read_text() == "small"


def test_other_errors_are_raised(tmp_path):
    (tmp_path / "1").write_text("")
    with Writing(tasks_of(Small(), tmp_path)) as writing, pytest.raises(FileExistsError):
        writing.results()


def test_reasons_come_back(tmp_path):
    given, answer = tmp_path / "in", tmp_path / "out"
    given.write_bytes(pickle.dumps(tasks_of(Small(), tmp_path)))
    model_writer.main(given, answer)
    *written, error = pickle.loads(answer.read_bytes())
    assert written == [None, None] and str(error) == "Too many weights."


def test_it_ends_with_the_block_also_while_one_waits(tmp_path, monkeypatch):
    with (
        pytest.raises(SystemExit),
        Writing(tasks_of(formats.get("saved_model"), tmp_path)) as writing,
    ):
        process, wait = writing._process, writing._process.wait
        ended = iter([lambda: sys.exit("ended by a signal")])
        monkeypatch.setattr(process, "wait", lambda: next(ended, wait)())
        writing.results()
    assert process.poll() is not None and not (tmp_path / "2").exists()


def test_one_model_is_made_for_the_formats_of_a_plan(tmp_path, monkeypatch):
    made, served = [], latency_probes.served
    monkeypatch.setattr(latency_probes, "served", lambda plan: made.append(plan) or served(plan))
    (first, form, folder), second, _ = tasks_of(Small(), tmp_path, (1, 2, 3))
    *written, error = model_writer.write([(first, form, folder)] * 2 + [second])
    assert written == [None, None] and str(error) == "Too many weights."
    assert made == [first, second[0]]
