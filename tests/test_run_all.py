import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ALL = ", expected --name=value; ./run_all.sh --help shows all."


def run_all(*args, cwd=None):
    return subprocess.run([ROOT / "run_all.sh", *args], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--taskname=RTE"], f"unknown argument '--taskname=RTE'{ALL}"),
        (["--epochs="], f"unknown argument '--epochs='{ALL}"),
        (["RTE"], f"unknown argument 'RTE'{ALL}"),
        (["--bert_dir=."], "--data_dir and --bert_dir need --task_name next to them, or --tasks."),
    ],
)
def test_a_bad_argument_is_one_sentence(tmp_path, args, sentence):
    """Before the environment is made, which takes minutes; flop-sweep judges the values."""
    done = run_all(*args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"run_all.sh: error: {sentence}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "argument",
    [
        *("--overwrite", "--benchmark", "--nobenchmark"),
        *("--benchmark_flags=--rounds=3", "--configs_dir=own"),
        *("--noexport", "--export_flags=--allow_slower=true"),
        *("--nocompress", "--compress_flags=--targets=.5"),
    ],
)
def test_it_passes_on_what_says_how_to_run(tmp_path, argument):
    done = run_all(argument, "--bert_dir=.", cwd=tmp_path)
    assert done.stderr.startswith("run_all.sh: error: --data_dir and --bert_dir need --task_name")


def test_its_arguments_are_flags_of_the_sweep():
    sweep = "".join((ROOT / "tools" / name).read_text() for name in ("sweep.py", "plan_flags.py"))
    names = set(re.findall(r"--(\w+)=\?", (ROOT / "run_all.sh").read_text()))
    assert names >= {"task_name", "tasks", "sparsities"}
    assert not {name for name in names if f'"{name}"' not in sweep}


def test_help(tmp_path):
    done = run_all("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("From a pretrained BERT") and "--finetune_flags" in done.stdout
    assert "set -euo" not in done.stdout
