"""What programs do not replace: their inputs, and what no run of this project has written."""

import os
import shutil

from flop_tools import (
    attention_patterns,
    benchmark,
    compare_masks,
    compress,
    evaluate,
    export,
    factorize,
    find_tickets,
    finetune,
    make_demo_task,
    make_mask,
    remove_mask,
)

import pytest

PROGRAMS = {
    attention_patterns: ("model_dir", "output_dir"),
    benchmark: ("model_dirs", "output_dir"),
    compress: ("baselines", "output_dir"),
    evaluate: ("model_dir", "output_dir"),
    factorize: ("checkpoint", "output_dir"),
    find_tickets: ("model_dir", "output_dir"),
    finetune: ("init_checkpoint", "output_dir"),
    remove_mask: ("checkpoint", "output_folder_dir"),
}
MORE = {
    attention_patterns: ["--attention"],
    compress: ["--init_checkpoint=nowhere"],
    finetune: ["--task_name=sst-2", "--data_dir=nowhere"],
}


@pytest.fixture
def model(bert_dir, tmp_path):
    folder = tmp_path / "models" / "bert"
    shutil.copytree(bert_dir, folder)
    (folder / "run.flags").write_text("--of=another run\n")
    (folder.parent / "run.flags").write_text("--of=another run\n")
    return folder


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("place", ["", "..", "link"])
@pytest.mark.parametrize("tool", PROGRAMS, ids=lambda tool: tool.__name__.split(".")[-1])
def test_an_input_is_never_replaced(call, model, tmp_path, tool, place):
    (tmp_path / "link").symlink_to(model)
    out = tmp_path / "link" if place == "link" else os.path.normpath(model / place)
    read, written = PROGRAMS[tool]
    before = files_in(tmp_path)
    args = [f"--{read}={model}", f"--{written}={out}", "--overwrite", *MORE.get(tool, ())]
    assert f"'{out}' is or holds the input `--{read}={model}`; choose" in call(tool, *args)
    assert files_in(tmp_path) == before


def test_a_version_that_is_the_model(call, model, tmp_path):
    shutil.move(model, tmp_path / "1")
    args = [f"--model_dir={tmp_path / '1'}", f"--output_dir={tmp_path}", "--overwrite"]
    assert "is or holds the input `--model_dir=" in call(export, *args)
    assert "model.safetensors" in os.listdir(tmp_path / "1")


def test_an_output_below_an_input(call, model, capsys):
    assert call(factorize, f"--checkpoint={model}", f"--output_dir={model / 'factorized'}") is None
    assert "model.safetensors" in os.listdir(model / "factorized")


def test_the_demo_task(call, tmp_path, caplog):
    out = tmp_path / "task"
    args = [f"--output_dir={out}", "--num_train=20", "--num_dev=10", "--num_test=5"]
    assert call(make_demo_task, *args) is None
    assert sorted(os.listdir(out)) == ["dev.tsv", "run.flags", "test.tsv", "train.tsv"]
    assert call(make_demo_task, *args) is None and "was already in" in caplog.text
    assert "holds the files of another run" in call(make_demo_task, *args, "--seed=1")
    assert call(make_demo_task, *args, "--seed=1", "--overwrite") is None


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_what_the_demo_task_does_not_replace(call, tmp_path, monkeypatch, overwrite):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for out, text in (
        ("", "An output folder is needed, received none; name one by its flag."),
        ("file", "The output folder 'file' is a file; choose another one."),
        (".", "holds files that no run of this project has written: it lacks run.flags; choose"),
        ("mine", "holds files that no run of this project has written: it lacks run.flags; choo"),
    ):
        assert text in call(make_demo_task, f"--output_dir={out}", "--num_train=9", *overwrite)
    assert files_in(tmp_path) == ["file", "mine", "mine/thesis.txt"]


@pytest.mark.parametrize("flags", ["--model_dir=BERT\n--percents=50\n", "--nonsense\n"])
def test_a_run_of_another_program_is_not_replaced(call, tmp_path, flags):
    out = tmp_path / "tickets"
    out.mkdir()
    (out / "run.flags").write_text(flags)
    (out / "tickets.json").write_text("{}")
    message = call(make_demo_task, f"--output_dir={out}", "--num_train=9", "--overwrite")
    assert "holds a run of another program, which has the flag `--" in message
    assert files_in(out) == ["run.flags", "tickets.json"]


def test_an_input_in_a_folder_with_an_equals_sign(call, bert_dir, tmp_path):
    out = tmp_path / "a=b"
    args = [f"--checkpoint={bert_dir}", "--sparsity=.5"]
    for name in ("one", "other"):
        assert call(make_mask, *args, f"--output={out / name}") is None
    (out / "run.flags").write_text("--overwrite\n")
    args = [f"--masks=a={out / 'one'},b={out / 'other'}", f"--output_dir={out}", "--overwrite"]
    assert "for inputs are never replaced" in call(compare_masks, *args)


def test_a_link_to_a_run_is_followed(call, tmp_path):
    out, link = tmp_path / "disk" / "task", tmp_path / "task"
    args = [f"--output_dir={link}", "--num_train=20", "--num_dev=10", "--num_test=5"]
    out.mkdir(parents=True)
    link.symlink_to(out)
    for more in ([], ["--seed=1", "--overwrite"], ["--seed=2", "--overwrite"]):
        assert call(make_demo_task, *args, *more) is None
        assert files_in(out) == ["dev.tsv", "run.flags", "test.tsv", "train.tsv"]
    assert link.is_symlink() and sorted(os.listdir(tmp_path)) == ["disk", "task"]
    assert os.listdir(out.parent) == ["task"]
