import pytest
import tensorflow as tf

from bert_tf.runs.run_checkpoints import RunCheckpoints

#: TensorFlow's list of checkpoints after a crash: empty, of another form, without a name.
DAMAGED = ["", "half a li", 'model_checkpoint_path: ""\n']


def tracked(folder):
    """The checkpoints of a run of one variable, and its step."""
    checkpoints = RunCheckpoints(str(folder), keep=2)
    step = tf.Variable(0, dtype=tf.int64)
    checkpoints.track(step, number=step)
    return checkpoints, step


@pytest.fixture
def folder(tmp_path):
    """A run that has saved its steps 8 to 10."""
    checkpoints, step = tracked(tmp_path)
    for number in (8, 9, 10):
        step.assign(number)
        checkpoints.save()
    checkpoints.finish()
    return tmp_path


def steps_in(folder):
    return sorted(path.stem for path in (folder / "checkpoints").glob("*.index"))


def test_the_newest_stay(folder):
    assert steps_in(folder) == ["ckpt-10", "ckpt-9"]
    checkpoints, step = tracked(folder)
    assert checkpoints.found and checkpoints.restore() and int(step) == 10


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_list_is_made_anew(folder, text):
    (folder / "checkpoints/checkpoint").write_text(text)
    checkpoints, step = tracked(folder)
    assert checkpoints.found and checkpoints.restore() and int(step) == 10
    step.assign(11)
    checkpoints.save()
    checkpoints.finish()
    assert steps_in(folder) == ["ckpt-10", "ckpt-11"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_list_of_nothing(tmp_path, text):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/checkpoint").write_text(text)
    checkpoints, _ = tracked(tmp_path)
    assert not checkpoints.found and not checkpoints.restore()
