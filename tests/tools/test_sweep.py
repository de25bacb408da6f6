"""The sweep's flags, and its plan carried out by the real programs."""

import importlib
import json
import pathlib

from flop_tools import sweep

import pytest

from bert_tf.studies.sweeps import report, sweep_runner

SMALL = "--max_seq_length=15 --length_buckets=15 --gate_order_examples=8"


@pytest.fixture
def glue_dir(demo_dir):
    return pathlib.Path(demo_dir).parent


@pytest.fixture
def arguments(glue_dir, bert_dir, tmp_path):
    """Returns a function that makes the sweep's arguments; None leaves one out."""

    def make(**changes):
        settings = {
            "tasks": "SST-2",
            "glue_dir": glue_dir,
            "bert_dir": bert_dir,
            "output_dir": tmp_path / "out",
            "sparsities": ".3",
            "finetune_flags": SMALL,
            "epochs": ".5",
            "benchmark_flags": "--batch_sizes=2 --lengths=8 --rounds=1",
        }
        settings |= changes
        return [f"--{name}={value}" for name, value in settings.items() if value is not None]

    return make


def test_the_programs_understand_the_plan(call, arguments, tmp_path, monkeypatch, capsys):
    """Each run of the plan in this process, and the report that the sweep ends with."""
    plans = []

    class Runner:
        def __init__(self, runs, *args, **settings):
            plans.append(runs)

        def start(self):
            return {}

    # Only what starts processes is replaced; tests/bert_tf/test_sweep_runner.py has that.
    with monkeypatch.context() as patch:
        patch.setattr(sweep_runner, "SweepRunner", Runner)
        assert "does not exist" in call(sweep, *arguments())
    (runs,) = plans
    for run in runs:
        tool = importlib.import_module(f"flop_tools.{run.program}")
        assert call(tool, *run.flags, "--made_from=one") is None
        assert (tmp_path / "out" / run.done_file).is_file()
        if "--overwrite" not in run.flags:
            refused = call(tool, *run.flags, "--made_from=two")
            assert "the files of another run, made without --made_from=two;" in refused
    found = report.gather(tmp_path / "out")
    assert [row["state"] for row in found["runs"]] == ["finished"] * len(runs)
    place = "SST-2/lr5e-5-seed0"
    assert {row["run"]: (row["stage"], row["target"]) for row in found["results"]} == {
        f"{place}/dense": ("dense", 0.0),
        f"{place}/gated-0.3": ("gated", 0.3),
        f"{place}/final-0.3": ("compact", 0.3),
    }
    measured = {row["run"] for row in found["results"] if row["latency"]}
    assert measured == {f"{place}/dense", f"{place}/final-0.3"}
    assert found["environments"][0]["source"] == "SST-2/benchmark"
    lines = (tmp_path / "out" / place / "dense" / "eval_results.txt").read_text().splitlines()
    times = {name: float(value) for name, value in (line.split(" = ") for line in lines)}
    assert times["train_time"] > 0 and times["eval_time"] > 0


def test_a_failed_run(call, arguments, tmp_path, capsys):
    """In processes of their own: the sentence of the program, the runs left out, exit code 1."""
    end = call(sweep, *arguments(finetune_flags="--epoch=3"))
    dense = "SST-2/lr5e-5-seed0/dense"
    assert end.startswith(
        f"sweep: error: 6 of 6 runs failed: {dense} (finetune: error: Unknown command line flag "
        "'epoch'"
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"[1/6] {dense}") and lines[0].endswith(" running")
    assert lines[1].startswith(f"[1/6] {dense}") and "  failed    finetune: error: " in lines[1]
    assert f"skipped   needs {dense}" in lines[2]
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [(row["run"], row["state"]) for row in found["runs"]] == [(dense, "failed")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bert_dir": "nowhere"}, "The folder or checkpoint `--bert_dir=nowhere` does not exist."),
        ({"bert_dir": "/dev/null"}, "The checkpoint '/dev/null' must be a regular file, received"),
        ({"tasks": "RTE"}, "The folder '{glue}/RTE' of the task RTE does not exist."),
        ({"tasks": "SST-3"}, "The task 'SST-3' needs the flag file '"),
        ({"configs_dir": "."}, "The folder '.' holds no `tasks/TASK.flags` and `methods/flop.fl"),
        (
            {"finetune_flags": "--holdout_examples 9"},
            "Flag `--finetune_flags` must be of words `--name=value`, received '--holdout_exam",
        ),
        (
            {"benchmark_flags": "-rounds=9"},
            "Flag `--benchmark_flags` must be of words `--name=value`, received '-rounds=9'.",
        ),
        (
            {"finetune_flags": "--text_columns='a,b"},
            "Flag `--finetune_flags` must be of words `--name=value`, received \"--text_columns='",
        ),
        ({"sparsities": ".3,1"}, "Flag `--sparsities` must be in [0, 1), received 1.0."),
        (
            {"sparsities": "60%"},
            "Flag `--sparsities` must be numbers with commas between them, received",
        ),
        ({"learning_rates": "0"}, "Flag `--learning_rates` must be above 0, received 0.0."),
        (
            {"seeds": "one"},
            "Flag `--seeds` must be integers with commas between them, received 'on",
        ),
        ({"epochs": "many"}, "Flag `--epochs` must be a number, received 'many'."),
        ({"epochs": "inf"}, "Flag `--epochs` must be above 0, received inf."),
        ({"seeds": "1,1"}, "Flag `--seeds` must name each number once, received '1,1'."),
        ({"seeds": ""}, "Flag `--seeds` must name a number, received nothing."),
        ({"sparsities": ""}, "Flag `--sparsities` must name a number, received nothing."),
        ({"learning_rates": "1e-5,,"}, "Flag `--learning_rates` must be numbers with commas"),
        ({"tasks": ""}, "Flag `--tasks` must be texts with commas between them, received ''."),
        ({"tasks": "RTE,"}, "Flag `--tasks` must be texts with commas between them, received '"),
        ({"tasks": "RTE,RTE"}, "Flag `--tasks` must name each one once, received 'RTE,RTE'."),
        ({"glue_dir": None}, "One of `--glue_dir` and `--tfds_data_dir` is needed, received neit"),
        (
            {"tfds_data_dir": "."},
            "One of `--glue_dir` and `--tfds_data_dir` is needed, received ['",
        ),
        (
            {"sparsity": ".3"},
            "Flag `--sparsity` does not go with `--tasks`; see --help for both ways.",
        ),
        ({"task_name": "RTE"}, "Flag `--tasks` does not go with `--task_name`; see --help for bot"),
        (
            {"tasks": "XNLI", "tfds_data_dir": ".", "glue_dir": None},
            "The task 'XNLI' is not in TFDS, pass its files by another flag.",
        ),
    ],
)
def test_bad_input_starts_nothing(call, arguments, tmp_path, glue_dir, changes, sentence):
    end = call(sweep, *arguments(**changes))
    assert end.startswith(f"sweep: error: {sentence.format(glue=glue_dir)}")
    assert not (tmp_path / "out").exists()


def test_one_task_in_folders_of_its_own(call, arguments, demo_dir, tmp_path, monkeypatch, capsys):
    found = []

    def start(self):
        found.append(self)
        (tmp_path / "out" / "dense").mkdir()
        (tmp_path / "out" / "dense" / "run.flags").write_text("--init_checkpoint=/bert\n")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(sweep_runner.SweepRunner, "start", start)
    one = {"task_name": "demo", "data_dir": demo_dir, "sparsity": ".5"}
    left_out = dict.fromkeys(("tasks", "glue_dir", "sparsities"))
    assert call(sweep, *arguments(**one, **left_out)) is None
    (runner,) = found
    assert runner.shows_output and runner.folder == str(tmp_path / "out")
    assert [run.name for run in runner.runs] == [
        *("dense", "factorized", "gated", "compact", "final", "predictions"),
        *("dense_export", "export", "benchmark", "compressed"),
    ]
    assert f"--data_dir={demo_dir}" in runner.runs[0].flags
    assert "--task_name=SST-2" in runner.runs[0].flags  # As configs/tasks/demo.flags says.
    page = tmp_path / "out" / "report.html"
    assert page.is_file() and capsys.readouterr().out == f"\nReport: {page}\n"


def test_a_flag_file_among_the_flags_of_every_training(call, arguments, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(sweep_runner.SweepRunner, "start", lambda self: found.append(self))
    (tmp_path / "own.flags").write_text("# A comment.\n--holdout_examples=9\n")
    call(sweep, *arguments(finetune_flags=f"--weight_decay=.1 --flagfile={tmp_path}/own.flags"))
    dense, factorized = found[0].runs[:2]
    assert "--holdout_examples=9" in dense.flags and "--holdout_examples=9" in factorized.flags


def test_tasks_of_tfds(call, arguments, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(sweep_runner.SweepRunner, "start", lambda self: found.append(self))
    data = {"tasks": "RTE,mnli", "glue_dir": None, "tfds_data_dir": tmp_path}
    assert "does not exist" in call(sweep, *arguments(**data))
    flags = [run.flags for run in found[0].runs if run.stage == "dense"]
    assert {"--tfds=glue/rte", f"--tfds_data_dir={tmp_path}"} <= set(flags[0])
    assert {"--tfds=glue/mnli", "--task_name=MNLI"} <= set(flags[1])
