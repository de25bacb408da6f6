"""Processes of three generations: a child of one that is killed ends."""

import pathlib
import subprocess
import sys

import pytest

from flop_tf import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends children so.")

CHILD = "import os, sys, time\nprint(os.getpid(), *sys.argv[1:], flush=True)\ntime.sleep(600)\n"


@pytest.mark.parametrize("named", ["file", "module"])
def test_a_child_does_not_outlive_a_killed_parent(named, tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{pathlib.Path(__file__).parents[2]}")
    program = [str(tmp_path / "child.py")] if named == "file" else ["-m", "child"]
    parent = (
        "import subprocess; from flop_tf import processes; "
        f"subprocess.run(processes.command(*{program!r}, 'a', '--b'))"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    number, *arguments = process.stdout.readline().split()
    assert arguments == ["a", "--b"]
    assert pathlib.Path(f"/proc/{number}").exists()
    process.kill()
    assert process.stdout.read() == ""  # Ends when nobody has it open any more.


def test_a_child_whose_parent_is_gone_does_not_start():
    command = [sys.executable, "-P", processes.__file__, "1", "-c"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The process that started this one has ended.\n"


def test_nothing_is_imported_before_the_parent_is_known():
    code = f"import runpy, sys; runpy.run_path({processes.__file__!r}); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "tensorflow", "flop_tf"} & set(modules)


def test_the_folder_of_the_caller_is_no_place_to_import_from(tmp_path):
    (tmp_path / "evil.py").write_text("print('ran')")
    done = subprocess.run(
        processes.command("-m", "evil"), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stdout == "" and "No module named evil" in done.stderr
