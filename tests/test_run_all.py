import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run_all(*args, cwd=None):
    return subprocess.run([ROOT / "run_all.sh", *args], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--taskname=RTE"], "unknown argument '--taskname=RTE', expected --task_name="),
        (["--epochs="], "unknown argument '--epochs=', expected"),
        (["--task_name=RTE"], "--task_name, --data_dir and --bert_dir belong together"),
        (["--sparsity=1"], "--sparsity must be in [0, 1), received 1."),
        (["--sparsity=60%"], "--sparsity must be in [0, 1), received 60%."),
        (["--epochs=many"], "--epochs must be a number, received many."),
        (["--task_name=RTE", "--data_dir=none", "--bert_dir=."], "the folder --data_dir=none"),
        (
            ["--task_name=RTE", "--data_dir=.", "--bert_dir=none"],
            "the folder or checkpoint --bert_dir=none",
        ),
        (["--task_name=RET", "--data_dir=.", "--bert_dir=."], "--task_name=RET has no configs/"),
    ],
)
def test_a_bad_argument_is_one_sentence(tmp_path, args, sentence):
    done = run_all(*args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("run_all.sh: error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())
