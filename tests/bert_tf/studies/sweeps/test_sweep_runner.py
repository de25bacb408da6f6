"""A sweep of small scripts in place of the programs, which start within milliseconds."""

import json
import os
import shutil
import signal
import sys

import pytest

import bert_tf
from bert_tf.studies.sweeps import sweep, sweep_runner, sweep_state

#: Writes what a program writes, by the rule of output folders; what it learns is what it read.
#: `--fail` ends it with an error, `--kill` like a lack of memory, KILL=NAME after a checkpoint.
SCRIPT = """
import os, pathlib, signal, sys, types
for name in ("bert_tf", "flop_tf"):  # Without their __init__, which import TensorFlow.
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [os.path.join(os.environ["ROOT"], name)]
from bert_tf.runs import run_folder
flags = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
out = pathlib.Path(flags["output_dir"])
with open(out.parent / "started", "a") as file:
    file.write(f"{out.name} {'overwrite' in flags} {os.environ.get('MARK')}\\n")
if "silent" in flags:
    os._exit(3)
print("It works.")
if "kill" in flags:
    os.kill(os.getpid(), signal.SIGKILL)
if "fail" in flags:
    sys.exit("finetune: error: a bad value.")
command = "\\n".join(word for word in sys.argv[1:] if word != "--overwrite")
with run_folder.opened(out, command, "eval_results.txt", "overwrite" in flags) as to_do:
    if not to_do:
        sys.exit()
    checkpoint = out / "checkpoints" / "checkpoint"
    if not checkpoint.exists():
        source = pathlib.Path(flags.get("source", "nothing"))
        read = (source / "weights").read_text() if source.is_dir() else source.name
        checkpoint.parent.mkdir()
        checkpoint.write_text(read)
    if os.environ.get("KILL") == out.name:
        os.kill(os.getpid(), signal.SIGKILL)
    (out / "weights").write_text(checkpoint.read_text())
    if "nothing" not in flags:
        (out / "eval_results.txt").write_text("")
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Returns a function that carries out runs, given as `name: (flags, needs)`."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setenv("ROOT", os.path.dirname(os.path.dirname(bert_tf.__file__)))

    def start(runs, **settings):
        plan = [
            sweep.Run("RTE", name, "dense", "finetune", (*flags, f"--output_dir={path}"), needs)
            for name, (flags, needs) in runs.items()
            for path in [tmp_path / "out" / name]
        ]
        runner = sweep_runner.SweepRunner(
            plan, str(tmp_path / "out"), lambda run: [sys.executable, str(script)], **settings
        )
        return runner.start()

    return start


def started(tmp_path):
    """Names of the runs that were started since the last call."""
    path = tmp_path / "out" / "started"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_finished_runs_are_not_started_again(start, tmp_path, capsys):
    runs = {"a": ((), ()), "b": ((), ("a",))}
    assert start(runs, environment={"MARK": "7"}) == {}
    assert started(tmp_path) == ["a False 7", "b False 7"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        [number, name, state]
        for number, name in (("[1/2]", "a"), ("[2/2]", "b"))
        for state in ("running", "done")
    ]
    assert lines[3].endswith("0:00:00 left")
    log = (tmp_path / "out" / "a.log").read_text().splitlines()
    assert log[0].startswith("$ ") and log[0].endswith("/out/a") and log[1] == "It works."

    assert start(runs) == {}
    assert started(tmp_path) == []
    assert [line.split()[2:4] for line in capsys.readouterr().out.splitlines()] == [
        ["was", "done"]
    ] * 2
    (tmp_path / "out" / "b" / "eval_results.txt").unlink()
    assert start(runs) == {}
    assert started(tmp_path) == ["b False None"]


def test_a_changed_run_starts_those_that_need_it_again(start, tmp_path):
    start({"a": ((), ()), "b": ((), ("a",)), "c": ((), ())})
    started(tmp_path)
    runs = {"a": (("--seed=1",), ()), "b": ((), ("a",)), "c": ((), ())}
    assert start(runs, overwrite=True) == {}
    assert started(tmp_path) == ["a True None", "b True None"]


@pytest.fixture
def start_from(start, tmp_path):
    """Returns a function that trains b from a, and a from what it is given."""

    def start_from(source, **settings):
        first = (f"--source={source}",)
        return start({"a": (first, ()), "b": ((f"--source={tmp_path}/out/a",), ("a",))}, **settings)

    return start_from


def weights(tmp_path):
    return [(tmp_path / "out" / name / "weights").read_text() for name in "ab"]


def test_an_unfinished_run_does_not_go_on_from_another_model(start_from, tmp_path):
    killed = {"environment": {"KILL": "b"}}
    assert start_from("one", **killed) == {"b": "killed by signal 9"}
    with_checkpoints = [(tmp_path / "out" / name / "checkpoints").exists() for name in "ab"]
    assert with_checkpoints == [False, True], "only an unfinished run needs them"
    assert start_from("two", overwrite=True) == {}
    assert weights(tmp_path) == ["two", "two"]


def test_an_unfinished_run_goes_on_from_the_same_model(start_from, tmp_path):
    start_from("one", environment={"KILL": "b"})
    (tmp_path / "out/b/checkpoints/checkpoint").write_text("half of it")
    assert start_from("one", overwrite=True) == {}
    assert weights(tmp_path) == ["one", "half of it"]


def test_a_finished_run_of_another_model_needs_overwrite(start_from, tmp_path):
    start_from("one")
    shutil.rmtree(tmp_path / "out/a")
    failed = start_from("two")
    assert "b' holds the files of another run, made without --made_from=" in failed["b"]
    assert weights(tmp_path) == ["two", "one"]
    assert start_from("two", overwrite=True) == {} and weights(tmp_path) == ["two", "two"]


def test_a_run_that_ended_unseen(start_from, tmp_path, monkeypatch):
    """The sweep is killed when b has ended under new flags: the old state is not of its files."""
    start_from("one")
    write = sweep_state.write

    def die(folder, state):
        if weights(tmp_path) == ["two", "two"]:
            raise KeyboardInterrupt
        write(folder, state)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sweep_state, "write", die)
        start_from("two", overwrite=True)
    assert start_from("one", overwrite=True) == {} and weights(tmp_path) == ["one", "one"]


def test_a_failed_run_stops_only_those_that_need_it(start, tmp_path, capsys):
    runs = {
        "a": (("--fail",), ()),
        "b": ((), ("a",)),
        "c": ((), ("b",)),
        "d": (("--kill",), ()),
        "e": (("--silent",), ()),
        "f": (("--nothing",), ()),
        "g": ((), ()),
    }
    reasons = {
        "a": "finetune: error: a bad value.",
        "b": "needs a",
        "c": "needs b",
        "d": "killed by signal 9",
        "e": "ended with exit code 3",
        "f": "ended without f/eval_results.txt",
    }
    assert start(runs) == reasons
    assert [line.split()[0] for line in started(tmp_path)] == ["a", "d", "e", "f", "g"]
    lines = [line for line in capsys.readouterr().out.splitlines() if " running" not in line]
    assert "a failed    finetune: error: a bad value.  in 0:00:" in lines[0]
    assert "b skipped   needs a" in lines[1] and "g done" in lines[6]
    state = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert state["environment"]["versions"]["tensorflow"]
    assert state["runs"]["a"]["error"] == "finetune: error: a bad value."
    assert state["runs"]["g"]["state"] == "done" and "b" not in state["runs"]

    assert start({**runs, "a": ((), ())}).keys() == set("def")
    assert [line.split()[0] for line in started(tmp_path)] == ["a", "b", "c", "d", "e", "f"]


def test_output_on_the_console(start, tmp_path, capfd):
    runs = {"a": ((), ()), "b": (("--fail",), ()), "c": ((), ("b",))}
    failed = start(runs, shows_output=True)
    assert failed == {"b": "ended with exit code 1", "c": "needs b"}
    title = "fine-tune the dense model"
    assert capfd.readouterr().out.split("\n\n") == [
        f"\n== 1 of 3: {title}\nIt works.",
        f"== 2 of 3: {title}\nIt works.",
        f"== 2 of 3: {title}: failed: ended with exit code 1",
        f"== 3 of 3: {title}: skipped: needs b\n",
    ]
    assert not (tmp_path / "out" / "a.log").exists()
    start(runs, shows_output=True)
    assert f"== 1 of 3: {title}: was done\n" in capfd.readouterr().out


def test_a_run_that_repeats(tmp_path):
    runs = [sweep.Run("RTE", "a", "benchmark", "benchmark", (), repeats=True)]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "benchmark.json").write_text("{}")
    for _ in range(2):
        runner = sweep_runner.SweepRunner(runs, str(tmp_path), lambda run: ["true"])
        assert runner.start() == {}
    assert (tmp_path / "a.log").read_text() == "$ true\n" * 2


def test_time_left(tmp_path):
    """As long as runs of the same task and stage, else of the stage, else as any run."""
    kinds = [("RTE", "dense"), ("RTE", "dense"), ("RTE", "gated"), ("QQP", "gated"), ("QQP", "x")]
    runs = [
        sweep.Run(task, f"{i}", stage, "finetune", ()) for i, (task, stage) in enumerate(kinds * 2)
    ]
    keys = sweep_state.keys(runs)
    known = {"0": 10.0, "1": 20.0, "2": 60.0}
    entries = {
        name: {"key": keys[name], "state": "done", "seconds": seconds}
        for name, seconds in known.items()
    }
    sweep_state.write(tmp_path, {"environment": None, "runs": entries})
    runner = sweep_runner.SweepRunner(runs, str(tmp_path), None)
    # QQP's gated as RTE's, x as the mean of all three, then the five of the second half.
    assert runner._seconds_left(3) == pytest.approx(60 + 30 + 15 + 15 + 60 + 60 + 30)
    assert runner._seconds_left(len(runs)) == 0
    assert sweep_runner.SweepRunner(runs, str(tmp_path / "x"), None)._seconds_left(0) is None


def state_of(name="a", **changes):
    entry = {"key": "0", "state": "done", "seconds": 1.0, **changes}
    return json.dumps({"environment": None, "runs": {name: entry}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"runs": 3', "must be JSON: "),
        ("[" * 100_000, "must be JSON, received one nested too deeply"),
        ("[]", "is damaged or of another kind: expected 'object', received 'array'"),
        ('{"runs": {}}', "expected the key 'environment'"),
        ('{"environment": 3, "runs": {}}', "received 'int' at '.environment'"),
        (state_of(state="new"), "invalid enum value 'new' at "),
        (state_of(key=["a"]), "expected 'str', received 'array' at "),
        (state_of(seconds="1"), "expected 'float', received 'str' at "),
        (state_of(seconds=-1), "expected 'float' >= 0"),
        (state_of(seconds=10**400), "number out of range"),
        (state_of(seconds=float("nan")), "NaN is no number"),
        (state_of(name="../b"), "must name what lies in the folder '.*', received '../b'"),
        (state_of(name="/b"), "must name what lies in the folder '.*', received '/b'"),
    ],
)
def test_a_damaged_state(tmp_path, text, reason):
    """Nothing is started or deleted, and the sentence says what to do."""
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(ValueError, match="The state of a sweep '.*sweep.json' .*" + reason):
        sweep_runner.SweepRunner([], str(tmp_path), None)
    assert (tmp_path / "sweep.json").read_text() == text


def test_a_state_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "sweep.json")
    with pytest.raises(ValueError, match="must be a regular file, received a FIFO"):
        sweep_state.read(tmp_path)


def test_a_state_with_a_byte_order_mark(tmp_path):
    (tmp_path / "sweep.json").write_text(state_of(), encoding="utf-8-sig")
    assert sweep_state.read(tmp_path) == json.loads(state_of())


def test_a_line_is_printed_when_a_run_starts(start, monkeypatch):
    """Into a file or a pipe; what stands there is seen at once."""
    printed = []
    monkeypatch.setattr("builtins.print", lambda text, **how: printed.append((text.split(), how)))
    start({"a": ((), ())})
    (first, how), (last, _) = printed
    assert first == ["[1/1]", "a", "running"] and how == {"end": "\n", "flush": True}
    assert last[2] == "done"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    start({"b": ((), ())})
    assert printed[2][1]["end"] == "\r" and printed[3][0][0].startswith("\x1b[2K")


@pytest.fixture
def told_to_end(tmp_path):
    """Returns a function that carries out a script which tells its sweep to end.

    By SIGUSR1, which raises as Ctrl-C does.
    """

    def interrupt(*_):
        raise KeyboardInterrupt

    def told_to_end(script):
        script = f"import os, signal, sys, time\n{script}"
        command = ["env", "-C", str(tmp_path), sys.executable, "-c", script]
        runs = [sweep.Run("RTE", "a", "dense", "finetune", ())]
        runner = sweep_runner.SweepRunner(runs, str(tmp_path), lambda run: command)
        with pytest.raises(KeyboardInterrupt):
            runner.start()
        assert runner.state["runs"] == {}

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield told_to_end
    signal.signal(signal.SIGUSR1, before)


def test_told_to_end_it_tells_the_program(told_to_end, tmp_path, capsys):
    """By Ctrl-C or any other signal that raises: the program gets SIGTERM, on which it saves."""
    told_to_end(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(open('saved', 'w').close()))\n"
        "os.kill(os.getppid(), signal.SIGUSR1)\n"
        "time.sleep(60)\n"
    )
    assert os.path.exists(tmp_path / "saved")
    sentence = "Told to end; waiting for a to save, a second signal ends it at once.\n"
    assert capsys.readouterr().err == sentence


def test_a_second_signal_ends_the_program_at_once(told_to_end, tmp_path):
    """A program that would save for a minute."""
    told_to_end(
        "def save(*_):\n"
        "    os.kill(os.getppid(), signal.SIGUSR1)\n"
        "    time.sleep(60)\n"
        "    open('saved', 'w').close()\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print(os.getpid(), flush=True)\n"
        "os.kill(os.getppid(), signal.SIGUSR1)\n"
        "time.sleep(60)\n"
    )
    assert not os.path.exists(tmp_path / "saved")
    number = (tmp_path / "a.log").read_text().splitlines()[-1]
    assert not os.path.exists(f"/proc/{number}")
