import logging as stdlib_logging
import os
import signal
import subprocess
import sys

from flop_tools import program

import pytest
import tensorflow as tf
from absl import flags, logging

from flop_tf.backend import keras


def main(_):
    opinion = flags.FLAGS.opinion
    if opinion == "full":
        raise OSError(28, "No space left on device", "weights")
    if opinion == "full graph":
        text = "{{function_node __wrapped__Save_1}} events.1; No space left on device [Op:Save]"
        raise tf.errors.ResourceExhaustedError(None, None, text)
    if opinion == "stop":
        raise KeyboardInterrupt
    if opinion == "large":
        raise MemoryError("Unable to allocate 3 TiB")
    if opinion == "bug":
        raise RuntimeError("a bug")
    if opinion != "good":
        raise ValueError(f"Flag `--opinion` must be 'good',\n received {opinion!r}.")
    print("done")


def define_flags():
    flags.DEFINE_string("opinion", "good", "What main does.")


@pytest.fixture
def call(monkeypatch):
    """Runs the program above with arguments and returns its exit code."""
    monkeypatch.setattr(program, "_own_flags", set())
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def call(*args, **kwargs):
        if "opinion" in flags.FLAGS:
            del flags.FLAGS.opinion
        monkeypatch.setattr(sys, "argv", ["folder/tool.py", *args])
        with pytest.raises(SystemExit) as end:
            program.run(main, define_flags, **kwargs)
        return end.value.code

    yield call
    del flags.FLAGS.opinion


def test_success(call, capsys):
    assert call("--opinion=good") is None
    assert capsys.readouterr().out == "done\n"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("x", None),  # The program has ended before anything is written.
        (200_000 * "x", 128 + signal.SIGPIPE),
        (ValueError("Bad input."), "tool: error: Bad input."),
    ],
)
def test_output_that_nobody_reads_is_no_error(call, monkeypatch, printed, expected):
    def main(argv):
        print("x" if isinstance(printed, Exception) else printed)
        if isinstance(printed, Exception):
            raise printed

    monkeypatch.setitem(globals(), "main", main)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        assert call() == expected
        output.flush()  # Nothing is left for the end of Python to fail on.


def test_another_broken_pipe_is_an_error(call, monkeypatch):
    def main(argv):
        raise BrokenPipeError(32, "Broken pipe", "worker")

    monkeypatch.setitem(globals(), "main", main)
    assert call() == "tool: error: [Errno 32] Broken pipe: 'worker'"


def test_help_that_nobody_reads():
    reader, writer = os.pipe()
    os.close(reader)
    end = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "flop-report"), "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (end.returncode, end.stderr) == (128 + signal.SIGPIPE, "")


def test_what_keras_says_around_a_reason_is_left_out():
    class Inner(keras.layers.Layer):
        def call(self, inputs):
            raise ValueError("The reason, in\n two lines.")

    class Outer(keras.layers.Layer):
        def call(self, inputs):
            return Inner()(inputs)

    outer = Outer()
    for call in (outer, tf.function(outer), tf.function(Inner().call)):
        with pytest.raises(ValueError) as error:
            call(tf.ones([2]))
        assert program._reason(str(error.value)) == "The reason, in two lines."


def test_words_that_are_no_text(call):
    text = "tool: error: The command line must be UTF-8 text, received '--opinion=b\\udcff'; rename"
    assert call("--opinion=b\udcff").startswith(text)


def test_what_to_do_is_handed_on(call, capsys, monkeypatch):
    monkeypatch.setitem(globals(), "main", lambda argv: print(argv[1:]))
    assert call("run", "--opinion=good", subcommands=("walk", "run")) is None
    assert capsys.readouterr().out == "['run']\n"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--opinion=bad", "Flag `--opinion` must be 'good', received 'bad'."),
        ("--opinion=full", "[Errno 28] No space left on device: 'weights'"),
        ("--opinion=full graph", "events.1; No space left on device"),
        ("--opinion=large", "Unable to allocate 3 TiB"),
        ("--opinoin=good", "Unknown command line flag 'opinoin'. Did you mean: opinion ?"),
        ("good", "Everything is passed as a flag `--name=value`, received ['good']."),
    ],
)
def test_bad_input_is_one_sentence(call, argument, sentence):
    # A text as exit code is what Python prints to stderr, with 1 as the real code.
    assert call(argument) == f"tool: error: {sentence}"


@pytest.mark.parametrize(
    ("arguments", "received"), [([], "nothing"), (["go"], "go"), (["walk", "run"], "walk run")]
)
def test_what_to_do_is_one_word(call, arguments, received):
    expected = f"follow the program's name, one of walk, run, received '{received}'."
    text = call("--opinion=good", *arguments, subcommands=("walk", "run"))
    assert text == f"tool: error: What to do must {expected}"


@pytest.fixture
def flag_file(tmp_path):
    """Returns a function that writes a flag file and returns the flag that names it."""

    def write(name, content):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return f"--flagfile={tmp_path / name}"

    return write


def test_flag_files(call, flag_file, capsys):
    inner = flag_file("inner", "\ufeff// Another comment.\n\n  --opinion=good\n")
    outer = flag_file("outer", f"# A comment.\n--opinion=bad\n{inner}\n")
    assert call(outer) is None
    assert call(*outer.split("=")) is None
    assert "'bad'" in call(inner, "--opinion=bad")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("--opinion=bad\n--flagfile={own}\n", "The flag file '{own}' names itself by `--flagfile`"),
        ("--flagfile={own}/../own", "The flag file '{own}/../own' names itself by"),
        ("--flagfile=", "Flag `--flagfile` must name a file, received nothing."),
        ("--flagfile", "Flag `--flagfile` must name a file, received nothing."),
        ("opinion", "Everything is passed as a flag `--name=value`, received ['opinion']."),
        (b"\xff\xfe-\0", "The flag file '{own}' must be UTF-8 text: "),
        (b"--opinion=\0", "The flag file '{own}' must be text, received a NUL in it."),
        (b"#" * 2**21, "The flag file '{own}' must have at most 1048576 bytes, received more."),
    ],
)
def test_bad_flag_files(call, flag_file, tmp_path, content, text):
    own = tmp_path / "own"
    content = content.replace("{own}", str(own)) if isinstance(content, str) else content
    assert call(flag_file("own", content)).startswith(f"tool: error: {text.format(own=own)}")


def test_flag_files_in_a_circle(call, flag_file, tmp_path):
    first = flag_file("a", f"--flagfile={tmp_path / 'b'}")
    flag_file("b", first)
    assert f"The flag file '{tmp_path / 'a'}' names itself by `--flagfile`" in call(first)
    twice = flag_file("c", "--opinion=good")
    assert call(twice, twice) is None


@pytest.mark.parametrize(("make", "what"), [(os.mkfifo, "a FIFO"), (os.mkdir, "a folder")])
def test_what_is_no_flag_file(call, tmp_path, make, what):
    make(tmp_path / "own")
    expected = f"The flag file '{tmp_path / 'own'}' must be a regular file, received {what}."
    assert call(f"--flagfile={tmp_path / 'own'}") == f"tool: error: {expected}"


def test_nothing_follows_the_sentence():
    """TensorFlow's thread of checkpoints tells of a full disk at the exit once more."""
    code = """
import atexit
from flop_tools import program
def fail(*_):
    raise OSError(28, "No space left on device")
atexit.register(fail)
program.run(fail, lambda: None)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.endswith("error: [Errno 28] No space left on device") and ended.stdout == ""


def test_ctrl_c(call, capsys):
    assert call("--opinion=stop") == 130
    assert capsys.readouterr().err == "tool: stopped; the same command goes on or starts again.\n"


def test_a_bug_keeps_its_traceback(call):
    with pytest.raises(RuntimeError, match="a bug"):
        call("--opinion=bug")


@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
def test_help(call, capsys, flag):
    assert call(flag) == 1
    assert "--opinion" in capsys.readouterr().out


def test_help_of_an_installed_command():
    """pip's wrapper is the main module then, which has no docstring and defines no flags."""
    wrapper = (
        "from flop_tools.evaluate import run; import sys; sys.argv[0] = 'flop-evaluate'; run()"
    )
    done = subprocess.run([sys.executable, "-c", wrapper, "--help"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.strip().startswith("Scores a model at any stage")
    assert "--model_dir: Model directory, any stage." in done.stdout


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/usr/lib/python3/site-packages/tensorflow/python/ops.py", False),
        ("/usr/lib/python3/dist-packages/tensorflow_datasets/core/load.py", False),
        ("/usr/lib/python3/site-packages/bert_tf/runs/finetuning.py", True),
        ("/home/me/tensorflow/flop/bert_tf/runs/finetuning.py", True),
    ],
)
def test_messages_of_libraries_are_left_out(call, path, shown):
    assert call("--opinion=good") is None
    record = stdlib_logging.LogRecord("absl", stdlib_logging.INFO, path, 1, "text", (), None)
    assert bool(logging.get_absl_handler().filter(record)) is shown
