import json
import os

import pytest

from flop_tf import files


def test_replacing(tmp_path):
    path = tmp_path / "new" / "file.txt"
    files.write_text(path, "one ü\n")
    files.write_text(path, "two\n")
    assert path.read_text(encoding="utf-8") == "two\n"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("name", ["a", "a/b.txt", "./a", "..a/b.."])
def test_what_lies_inside(tmp_path, name):
    assert files.inside(tmp_path, name, "It") == os.path.join(tmp_path, name)


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/../../b", "/a", "a\0b"])
def test_what_leads_out(tmp_path, name):
    with pytest.raises(ValueError, match="^The plan must name what lies in the folder '.*', rec"):
        files.inside(tmp_path, name, "The plan")


def test_a_small_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one ü\n", encoding="utf-8-sig")
    assert files.read_text(path) == "one ü\n"
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="The flag file '.*a.txt' must be UTF-8"):
        files.read_text(path, "flag file")
    path.write_bytes(b"a" * (2**20 + 1))
    with pytest.raises(ValueError, match="must have at most 1048576 bytes, received"):
        files.read_text(path)
    with pytest.raises(ValueError, match="The file '.*' must be a regular file, received a folder"):
        files.read_text(tmp_path)


def test_json_keeps_its_order(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["b", "a"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_block_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(type(error)), files.replacing(path) as aside:
        with open(aside, "w") as file:
            file.write("ne")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file.txt"]


def test_the_file_of_a_full_disk_is_named(tmp_path):
    path = tmp_path / "file.txt"
    with pytest.raises(OSError, match="No space left on device: '.*file.txt'$"):
        with files.replacing(path):
            raise OSError(28, "No space left on device")  # So `write` and `flush` raise it.
    assert not os.listdir(tmp_path)


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "file.txt"):
        pass
    assert not os.listdir(tmp_path)


def test_everybody_may_read(tmp_path):
    with files.replacing(tmp_path / "a") as aside:
        os.close(os.open(aside, os.O_CREAT, 0o600))
    files.write_text(tmp_path / "b", "")
    (tmp_path / "c").write_text("")
    assert len({(tmp_path / name).stat().st_mode for name in "abc"}) == 1


def test_replacing_folder(tmp_path):
    path = tmp_path / "folder"
    for text in ("old", "new"):
        with files.replacing_folder(path) as aside:
            files.write_text(os.path.join(aside, f"{text}.txt"), text)
    assert os.listdir(path) == ["new.txt"] and os.listdir(tmp_path) == ["folder"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_failing_block_keeps_the_old_folder(tmp_path):
    path = tmp_path / "folder"
    files.write_text(path / "old.txt", "old")
    with pytest.raises(ValueError, match="half"), files.replacing_folder(path) as aside:
        files.write_text(os.path.join(aside, "new.txt"), "ne")
        raise ValueError("half")
    assert os.listdir(path) == ["old.txt"] and os.listdir(tmp_path) == ["folder"]


def test_a_failing_block_leaves_no_new_folder(tmp_path):
    with pytest.raises(ValueError, match="half"), files.replacing_folder(tmp_path / "some/new/1"):
        raise ValueError("half")
    assert os.listdir(tmp_path) == []


def test_what_killed_processes_have_left_is_ended(tmp_path):
    """A new folder that is not whole, and an old one that was moved aside and not yet replaced."""
    path = tmp_path / "1"
    (tmp_path / ".1.partial-a_b3c4d5").mkdir()
    files.write_text(tmp_path / ".1.replaced-abcdefgh/old/kept.txt", "old")
    files.write_text(tmp_path / ".22.partial-abcdefgh/new.txt", "ne")
    (tmp_path / "3").mkdir()
    assert files.interrupted(tmp_path) == [str(path), str(tmp_path / "22")]
    files.recover_folder(str(path))
    assert sorted(os.listdir(tmp_path)) == [".22.partial-abcdefgh", "1", "3"]
    assert os.listdir(path) == ["kept.txt"]
    files.write_text(tmp_path / ".1.replaced-abcdefgh/old/older.txt", "older")
    files.recover_folder(str(path))
    assert os.listdir(path) == ["kept.txt"] and files.interrupted(tmp_path) == [
        str(tmp_path / "22")
    ]


@pytest.mark.parametrize("kind", ["partial", "replaced"])
def test_folders_of_others_with_a_like_name_stay(tmp_path, kind):
    names = [f".out.{kind}-mine", f".out.{kind}-of-last-year", f".out.{kind}-ABCDEFGH"]
    names += [f".out.{kind}-12345678"] if kind == "replaced" else []
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("")
    files.recover_folder(str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    assert all(os.listdir(tmp_path / name) == ["thesis.txt"] for name in names)


def test_folders_that_are_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "here" / "below").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path / "here")
    for name, text in (
        ("", "An output folder is needed, received an empty name"),
        (tmp_path / "file", "file' is a file; choose another one"),
        (".", "is the current folder or above it; choose"),
        ("..", "is the current folder or above it; choose"),
    ):
        with pytest.raises(ValueError, match=text), files.replacing_folder(name):
            pass
    assert (tmp_path / "file").read_text() == "mine"
    with files.replacing_folder("below") as folder:
        open(os.path.join(folder, "new"), "w").close()
    assert os.listdir("below") == ["new"] and os.listdir() == ["below"]


def test_where_a_path_lies(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for path, folder, lies in (
        ("a", "a", True),
        ("a/b", "a", True),
        ("a", "a/b", False),
        ("ab", "a", False),
        ("link/b", "a", True),
        ("a", "link", True),
    ):
        assert files.is_at_or_below(tmp_path / path, tmp_path / folder) is lies


def test_text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbf--a=\xc3\xa9\n")
    assert files.read_text(path) == "--a=\u00e9\n"
    with pytest.raises(ValueError, match="The flag file '.*nowhere' does not exist."):
        files.read_text(tmp_path / "nowhere", "flag file")
