"""Engines of a few lines in processes of their own: answers, turns, and how they end."""

import ast
import os
import pathlib
import time

import numpy as np
import pytest

from bert_tf.serving import engines
from bert_tf.serving.engines import ENGINES, Engine, Process, engine, process, worker

REQUEST = ("serving_default", {"x": np.arange(3)})
FOLDER = pathlib.Path(engine.__file__).parent


def load(path, threads, wrong=False):
    if wrong:
        raise KeyError("first line\nsecond line")

    def answer(signature, inputs):
        if signature == "end":
            os._exit(7)
        if signature == "fail":
            raise RuntimeError
        return {"y": 2 * inputs["x"], "about": np.array([path, str(threads), signature])}

    return answer


def counting(path, threads):
    """Answers how often the file was loaded."""
    pathlib.Path(path).write_text(pathlib.Path(path).read_text() + "+")
    text = pathlib.Path(path).read_text()
    return lambda signature, inputs: {"count": np.array(text.count("+"))}


def sleepy(path, threads):
    return lambda signature, inputs: time.sleep(0.02)


TOY = Engine("Toy", (), load)


def test_answers_and_threads():
    with Process(TOY, "here", threads=3) as toy:
        first, second = toy.answers([REQUEST, ("text", {"x": np.ones(2)})])
        assert first["y"].tolist() == [0, 2, 4] and second["y"].tolist() == [2, 2]
        assert first["about"].tolist() == ["here", "3", "serving_default"]
        assert toy.memory() > 10e6
    with Process(TOY, "here") as toy:
        (answer,) = toy.answers([REQUEST])
        assert answer["about"][1] == str(process.num_threads())


def test_an_error_is_one_sentence_and_the_next_request_is_answered():
    with pytest.raises(ValueError, match=r"^Toy cannot load 'here': 'first line\\nsecond line'.$"):
        Process(TOY, "here", wrong=True)
    with Process(TOY, "here") as toy:
        with pytest.raises(ValueError, match="^Toy cannot run 'here': RuntimeError.$"):
            toy.answers([("fail", {})])
        assert toy.answers([REQUEST])[0]["y"].tolist() == [0, 2, 4]


def test_files_stay_loaded_unless_one_is_loaded_alone(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text("")
    with Process(Engine("Counting", (), counting), paths[0]) as toy:
        counts = []
        for index, alone in ((1, False), (0, False), (0, True), (0, False), (1, False)):
            toy.load(paths[index], alone)
            counts.append(int(toy.answers([REQUEST])[0]["count"]))
    assert counts == [1, 1, 2, 2, 2]


def test_a_process_that_ends_is_an_error():
    with Process(TOY, "here") as toy:
        for _ in range(2):
            with pytest.raises(ValueError, match="^Toy cannot run 'here': .* ended with code 7.$"):
                toy.answers([("end", {})])


def test_it_ends_when_it_is_closed():
    with Process(TOY, "here") as toy:
        number = toy._process.pid
    assert not pathlib.Path(f"/proc/{number}").exists()


def test_turns():
    """A turn has one call at least; of many the first one does not count."""
    with Process(Engine("Sleepy", (), sleepy), "here") as one:
        assert len(one.turn(REQUEST, seconds=0)) == 1
        seconds = one.turn(REQUEST, seconds=0.09)
        assert 1 <= len(seconds) <= 4 and min(seconds) >= 0.02


def state(process):
    """Returns the letter of a process's state by Linux."""
    line = pathlib.Path(f"/proc/{process._process.pid}/stat").read_text()
    return line.rpartition(")")[2].split()[0]


def test_a_process_is_stopped_after_its_turn():
    """It answers all the same."""
    with Process(TOY, "here") as toy:
        toy.turn(REQUEST)
        end = time.time() + 30
        while state(toy) != "T" and time.time() < end:  # A busy machine delivers signals late.
            time.sleep(0.01)
        assert state(toy) == "T"
        assert toy.answers([REQUEST])[0]["y"].tolist() == [0, 2, 4]
        toy.turn(REQUEST)
        assert toy.memory() > 10e6


def test_by_turns_each_round_starts_with_another_one():
    order = []

    class Recorded:
        def __init__(self, name):
            self.name = name

        def turn(self, request):
            order.append(self.name)
            return [float(len(order))]

    found = engines.by_turns([Recorded(name) for name in "abc"], REQUEST, 2, warmup_rounds=1)
    assert "".join(order) == "abcbcacab"
    assert [[turn.tolist() for turn in turns] for turns in found] == [
        [[6.0], [8.0]],
        [[4.0], [9.0]],
        [[5.0], [7.0]],
    ]


def test_a_package_that_is_missing_names_the_extra():
    lacking = Engine("Lacking", ("onnx",), load, ("no_such_package",), extra="fast")
    sentence = (
        r"^Lacking needs the package 'no_such_package', which is not installed; run pip install "
        r"'flop-tf\[fast\]'.$"
    )
    assert not lacking.is_installed
    with pytest.raises(ValueError, match=sentence):
        Process(lacking, "here")


def test_the_engine_of_a_format():
    lacking = Engine("Lacking", ("toy",), load, ("no_such_package",))
    with ENGINES.temporary(lacking=lacking):
        with pytest.raises(ValueError, match="^Lacking needs the package"):
            engines.of_format("toy")
        ENGINES.register("toy")(Engine("Toy", ("other", "toy"), load))
        assert engines.of_format("toy") == "toy"
        with pytest.raises(
            ValueError, match="'none' must be read by an engine, but none of .*'toy"
        ):
            engines.of_format("none")


@pytest.mark.parametrize(
    "path", [worker.__file__, *FOLDER.glob("*_engine.py")], ids=os.path.basename
)
def test_what_runs_in_the_process_imports_nothing_of_the_project(path):
    """But to register it, where the file is a part of the package."""
    from syntax import (
        imports,
    )  # Here, as the toy's process runs this file without the tests' folder.

    tree = ast.parse(pathlib.Path(path).read_text())
    tree.body = [node for node in tree.body if ast.unparse(node)[:14] != "if __package__"]
    names = {name.partition(".")[0] for name in imports(tree)}
    assert not names & {"bert_tf", "flop_tf", "flop_tools"}
    if "tensorflow" in str(path):
        assert names == {"numpy", "tensorflow", "tensorflow_text"}
