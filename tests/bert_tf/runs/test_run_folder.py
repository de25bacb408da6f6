import os
import shutil
import signal

import pytest

from bert_tf.runs import run_folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


def run(folder, command="--a=1\n", overwrite=False, write=("result.txt",), fail=None):
    """Opens the folder as a program does and returns whether there was anything to do."""
    with run_folder.opened(folder, command, "result.txt", overwrite) as to_do:
        if to_do:
            for name in write:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(command)
        if fail:
            raise fail
    return to_do


def kill(folder, command, write=()):
    """Overwrites in a process that is killed at the end of the block."""
    number = os.fork()
    if not number:
        try:
            with run_folder.opened(folder, command, "result.txt", overwrite=True):
                for name in write:
                    (folder / name).parent.mkdir(exist_ok=True)
                    (folder / name).write_text(command)
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitpid(number, 0)[1] == signal.SIGKILL


def test_a_new_folder(folder):
    assert run(folder)
    assert (folder / run_folder.FLAGS_FILE).read_text() == "--a=1\n"
    assert sorted(os.listdir(folder)) == ["result.txt", "run.flags"]


def test_an_empty_folder_is_taken(folder):
    folder.mkdir()
    assert run(folder)


def test_the_same_command_is_done(folder):
    run(folder)
    assert not run(folder, write=("other.txt",))
    assert not (folder / "other.txt").exists()


def test_the_same_command_goes_on(folder):
    run(folder, write=("checkpoint",))
    assert run(folder, overwrite=True)
    assert (folder / "checkpoint").exists() and (folder / "result.txt").exists()


def test_another_run_is_refused(folder):
    run(folder)
    sentence = r"'.*out' holds the files of another run, made without --a=2; .*--overwrite"
    with pytest.raises(ValueError, match=sentence):
        run(folder, "--a=2\n")
    with pytest.raises(ValueError, match="another run, made with --a=1; choose"):
        run(folder, "")
    assert (folder / "result.txt").read_text() == "--a=1\n"


def test_foreign_files_are_refused(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="files that no run of this project has written: it l"):
            run(folder, overwrite=overwrite)
        assert os.listdir(folder) == ["thesis.txt"]
    assert os.listdir(folder.parent) == ["out"]


@pytest.mark.parametrize("command", ["--a=1\n", "--a=2\n"])
def test_overwrite(folder, command):
    run(folder, write=("result.txt", "old.txt"))
    assert run(folder, command, overwrite=True)
    assert (folder / "result.txt").read_text() == command
    assert not (folder / "old.txt").exists()
    assert os.listdir(folder.parent) == ["out"]


@pytest.mark.parametrize("write", [(), ("half.txt",)])
@pytest.mark.parametrize("fail", [ValueError("bad input"), KeyboardInterrupt(), SystemExit(143)])
def test_a_failure_brings_the_old_files_back(folder, write, fail):
    run(folder)
    with pytest.raises(type(fail)):
        run(folder, "--a=2\n", overwrite=True, write=write, fail=fail)
    assert sorted(os.listdir(folder)) == ["result.txt", "run.flags"]
    assert (folder / run_folder.FLAGS_FILE).read_text() == "--a=1\n"
    assert os.listdir(folder.parent) == ["out"]


def test_a_failure_after_a_checkpoint_keeps_the_new_run(folder):
    run(folder)
    with pytest.raises(ValueError, match="bad input"):
        run(
            folder,
            "--a=2\n",
            overwrite=True,
            write=("checkpoints/checkpoint",),
            fail=ValueError("bad input"),
        )
    assert sorted(os.listdir(folder)) == ["checkpoints", "run.flags"]
    assert run(folder, "--a=2\n")
    assert (folder / "checkpoints/checkpoint").exists()
    assert os.listdir(folder.parent) == ["out"]


CHECKPOINT = "checkpoints/checkpoint"


def test_a_run_that_was_killed_brings_the_old_files_back(folder):
    run(folder)
    kill(folder, "--a=2\n", write=("half.txt",))
    with pytest.raises(ValueError, match="another run, made without --a=2; choose"):
        run(folder, "--a=2\n")
    assert not run(folder)
    assert sorted(os.listdir(folder)) == ["result.txt", "run.flags"]
    assert os.listdir(folder.parent) == ["out"]
    kill(folder, "--a=2\n")
    assert run(folder, "--a=2\n", overwrite=True)
    assert (folder / "result.txt").read_text() == "--a=2\n"
    assert os.listdir(folder.parent) == ["out"]


def test_the_only_finished_run_outlives_those_that_do_not_finish(folder):
    run(folder)
    kill(folder, "--a=2\n", write=(CHECKPOINT,))
    kill(folder, "--a=3\n", write=(CHECKPOINT,))
    kill(folder, "--a=4\n")
    for number in (5, 6):
        with pytest.raises(KeyboardInterrupt):
            run(folder, f"--a={number}\n", overwrite=True, write=(), fail=KeyboardInterrupt())
        assert (folder / CHECKPOINT).read_text() == "--a=3\n"
    # Without it the one before comes back, whichever that is.
    for number in (2, 1):
        shutil.rmtree(folder)
        with pytest.raises(ValueError, match="holds the files of another run"):
            run(folder, "--a=7\n")
        assert (folder / run_folder.FLAGS_FILE).read_text() == f"--a={number}\n"
    assert sorted(os.listdir(folder)) == ["result.txt", "run.flags"]
    assert os.listdir(folder.parent) == ["out"]


def test_a_run_that_finishes_deletes_all_that_it_replaced(folder):
    run(folder)
    kill(folder, "--a=2\n", write=(CHECKPOINT,))
    kill(folder, "--a=3\n", write=(CHECKPOINT,))
    assert run(folder, "--a=3\n")
    assert sorted(os.listdir(folder)) == ["checkpoints", "result.txt", "run.flags"]
    assert os.listdir(folder.parent) == ["out"]


@pytest.mark.parametrize("write", [("result.txt",), ("result.txt", CHECKPOINT)])
def test_a_run_that_was_killed_when_it_had_finished(folder, write):
    run(folder)
    kill(folder, "--a=2\n", write)
    assert not run(folder, "--a=2\n")
    assert os.listdir(folder.parent) == ["out"]


def test_a_run_that_is_stopped_when_it_had_finished(folder):
    run(folder)
    with pytest.raises(SystemExit):
        run(folder, "--a=2\n", overwrite=True, write=("result.txt",), fail=SystemExit(143))
    assert (folder / "result.txt").read_text() == "--a=2\n"
    assert not run(folder, "--a=2\n")
    assert os.listdir(folder.parent) == ["out"]


@pytest.mark.parametrize("call", [0, 1])
def test_killed_between_two_renames(folder, monkeypatch, call):
    """What one of the moves has done is told from the folders at the next start."""
    run(folder)
    kill(folder, "--a=2\n", write=(CHECKPOINT,))
    calls, replace = [], os.replace

    def stop(source, target):
        if os.path.isdir(source):
            calls.append(source)
            if len(calls) > call:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", stop)
        run(folder, "--a=3\n", overwrite=True)
    assert run(folder, "--a=2\n")
    assert sorted(os.listdir(folder)) == ["checkpoints", "result.txt", "run.flags"]
    assert os.listdir(folder.parent) == ["out"]


def test_left_over_partial_files_are_deleted(folder):
    run(folder, write=("checkpoint",))
    left = folder / ".model.safetensors.partial-0123abcd"
    left.write_text("half of it")
    with pytest.raises(ValueError, match="another run"):
        run(folder, "--a=2\n")
    with run_folder.opened(folder, "--a=1\n", owner=False):
        assert left.exists()  # It may be the owner's, who is writing it.
    assert run(folder) and not left.exists()
    left.write_text("half of it")
    assert not run(folder) and not left.exists()


def test_killed_while_the_first_file_was_written(folder):
    folder.mkdir()
    (folder / f".{run_folder.FLAGS_FILE}.partial-0123abcd").write_text("--a")
    assert run(folder)
    assert sorted(os.listdir(folder)) == ["result.txt", "run.flags"]


def test_a_command_that_is_never_done(folder):
    for _ in range(2):
        with run_folder.opened(folder, "--a=1\n") as to_do:
            assert to_do
    with (
        pytest.raises(ValueError, match="holds the files of another run"),
        run_folder.opened(folder, "--a=2\n"),
    ):
        pass


def test_a_full_disk_brings_the_old_files_back(folder, monkeypatch):
    run(folder)

    def full(path, text):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(run_folder.files, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        run(folder, "--a=2\n", overwrite=True)
    assert (folder / "result.txt").read_text() == "--a=1\n"


def test_failing_before_anything_is_written_leaves_no_folder(folder):
    with pytest.raises(ValueError, match="bad input"):
        run(folder, write=(), fail=ValueError("bad input"))
    assert not folder.exists()
    with pytest.raises(ValueError, match="bad input"):
        run(folder / "rte" / "learn", write=(), fail=ValueError("bad input"))
    assert not folder.exists()
    (folder / "sst2").mkdir(parents=True)
    with pytest.raises(ValueError, match="bad input"):
        run(folder / "rte" / "learn", write=(), fail=ValueError("bad input"))
    assert os.listdir(folder) == ["sst2"]


def test_what_a_failing_run_has_written_stays(folder):
    with pytest.raises(ValueError, match="bad input"):
        run(folder, write=("checkpoint",), fail=ValueError("bad input"))
    assert sorted(os.listdir(folder)) == ["checkpoint", "run.flags"]
    assert run(folder)


def test_a_file_is_no_folder(folder):
    folder.write_text("")
    with pytest.raises(ValueError, match="'.*out' is a file; choose another one"):
        run(folder)
    for inside in (folder / "learn", folder / "learn" / "x"):
        with pytest.raises(ValueError, match="'.*out/learn.*' lies in a file; choose another one."):
            run(inside)
    assert folder.is_file()


def test_one_process_at_a_time(folder):
    with run_folder.opened(folder, "--a=1\n"):
        sentence = rf"'.*out' is in use by process {os.getpid()} on .*; wait until it ends, or"
        with pytest.raises(ValueError, match=sentence):
            run(folder)
    assert run(folder)


def test_a_lock_that_somebody_removed_fails_no_finished_run(folder):
    with run_folder.locked(folder):
        (folder.parent / ".out.lock").unlink()


def test_a_lock_that_was_left_behind_holds_nobody_up(folder):
    (folder.parent / ".out.lock").write_text("process 1 on elsewhere")
    assert run(folder)
    assert os.listdir(folder.parent) == ["out"]


def test_a_worker_only_looks(folder):
    with run_folder.opened(folder, "--a=1\n", owner=False) as to_do:
        assert to_do and not folder.exists()
    folder.mkdir()
    (folder / ".run.flags.partial-1").write_text("")  # The owner has just begun.
    with run_folder.opened(folder, "--a=1\n", owner=False) as to_do:
        assert to_do
    (folder / ".run.flags.partial-1").unlink()
    run(folder)
    with run_folder.opened(folder, "--a=1\n", "result.txt", owner=False) as to_do:
        assert not to_do
    with (
        pytest.raises(ValueError, match="another run, made without --a=2"),
        run_folder.opened(folder, "--a=2\n", owner=False),
    ):
        pass


def test_an_empty_name_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="folder is needed, received an empty name"):
        run("")


@pytest.mark.parametrize("kind", ["deleted", "replaced"])
@pytest.mark.parametrize("link", [False, True])
def test_a_foreign_folder_where_a_run_would_leave_one(folder, tmp_path, kind, link):
    own = tmp_path / "own" if link else tmp_path / f".out.{kind}"
    own.mkdir()
    (own / "thesis.txt").write_text("")
    if link:
        (own / run_folder.FLAGS_FILE).write_text("")
        (tmp_path / f".out.{kind}").symlink_to(own)
    with pytest.raises(ValueError, match=rf"'.*\.out\.{kind}' must hold a run that was replaced"):
        run(folder, overwrite=True)
    assert (own / "thesis.txt").exists() and not folder.exists()


def test_what_is_half_deleted_is_deleted(folder, monkeypatch):
    run(folder, write=("result.txt", "sub/weights", "z.txt"))
    with monkeypatch.context() as patch:
        patch.setattr(run_folder.shutil, "rmtree", lambda *_, **__: None)
        run(folder, "--a=2\n", overwrite=True)
    assert run_folder.FLAGS_FILE in os.listdir(folder.parent / ".out.deleted")
    assert not run(folder, "--a=2\n")
    assert os.listdir(folder.parent) == ["out"]


def test_left_over_partial_files_below(folder):
    run(folder, write=("checkpoint",))
    name = ".a.partial-0123abcd"
    for path in ("own", "own/deeper", "run", "locked"):
        (folder / path).mkdir()
        (folder / path / name).write_text("half of it")
    (folder / "own" / ".folder.partial-abc_1234").mkdir()
    (folder / "own" / ".version.partial-abc_1234").mkdir()
    (folder / "own" / ".version.lock").write_text("process 1 on here")
    (folder / "run" / run_folder.FLAGS_FILE).write_text("--b=1\n")
    with run_folder.locked(folder / "locked"):
        assert run(folder)
    left = sorted(str(path.parent.name) for path in folder.rglob(name))
    assert left == ["locked", "run"]  # They may be of living writers.
    assert sorted(os.listdir(folder / "own")) == [
        *(".version.lock", ".version.partial-abc_1234", "deeper")
    ]


@pytest.mark.parametrize("make", [os.symlink, lambda _, path: os.mkfifo(path)])
def test_a_lock_file_that_is_none(folder, tmp_path, make):
    target = tmp_path / "precious.txt"
    target.write_text("mine")
    make(target, tmp_path / ".out.lock")
    with pytest.raises(ValueError, match="'.*out.lock' must be a regular file or not exist; move"):
        run(folder)
    assert target.read_text() == "mine" and not folder.exists()


def test_a_foreign_file_with_the_name_of_the_lock(folder, tmp_path):
    lock = tmp_path / ".out.lock"
    lock.write_text("mine")
    with pytest.raises(ValueError, match="'.*out.lock' must be the lock of an output folder, rece"):
        run(folder)
    assert lock.read_text() == "mine"
    lock.write_text("process 1 on elsewhere")  # Of a killed one.
    assert run(folder) and not lock.exists()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.write_bytes(b"\xff\xfe"), "must be UTF-8 text"),
        (lambda path: path.write_bytes(b"a\0b"), "must be text, received a NUL"),
        (lambda path: path.write_bytes(b"-" * 2**21), "must have at most 1048576 bytes"),
        (os.mkfifo, "must be a regular file, received a FIFO"),
        (os.mkdir, "must be a regular file, received a folder"),
    ],
)
def test_flags_of_a_run_that_are_no_text(folder, make, text):
    folder.mkdir()
    make(folder / run_folder.FLAGS_FILE)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=f"The flag file of a run '.*run.flags' {text}"):
            run(folder, overwrite=overwrite)
    assert os.listdir(folder) == [run_folder.FLAGS_FILE]


def test_a_lock_file_on_a_full_disk_is_removed(folder, tmp_path, monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder.socket, "gethostname", full)
    with pytest.raises(OSError, match="No space left"):
        run(folder)
    assert not os.listdir(tmp_path)
