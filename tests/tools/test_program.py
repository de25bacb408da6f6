import subprocess
import sys

import pytest

PROGRAM = """
from absl import flags
from flop_tools import program

def main(_):
    text = flags.FLAGS.opinion
    if text == "full":
        raise OSError(28, "No space left on device", "weights")
    if text == "bug":
        raise RuntimeError("a bug")
    if text != "good":
        raise ValueError(f"Flag `--opinion` must be 'good',\\n received {text!r}.")
    print("done")

def define_flags():
    flags.DEFINE_string("opinion", "good", "What main does.")

program.run(main, define_flags)
"""


@pytest.fixture
def call(tmp_path):
    path = tmp_path / "tool.py"
    path.write_text(PROGRAM)

    def call(*args):
        return subprocess.run([sys.executable, path, *args], capture_output=True, text=True)

    return call


def test_success(call):
    done = call("--opinion=good")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--opinion=bad", "Flag `--opinion` must be 'good', received 'bad'."),
        ("--opinion=full", "[Errno 28] No space left on device: 'weights'"),
        ("--opinoin=good", "Unknown command line flag 'opinoin'. Did you mean: opinion ?"),
        ("good", "Everything is passed as a flag `--name=value`, received ['good']."),
    ],
)
def test_bad_input_is_one_sentence(call, argument, sentence):
    done = call(argument)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tool: error: {sentence}\n"


def test_a_bug_keeps_its_traceback(call):
    done = call("--opinion=bug")
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr and "Traceback" in done.stderr


def test_help(call):
    done = call("--help")
    assert "--opinion" in done.stdout
