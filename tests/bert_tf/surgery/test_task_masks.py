import numpy as np
import pytest

from bert_tf.checkpoints import read_source
from bert_tf.encoders.encoder import TASK
from bert_tf.surgery import masks, task_masks, units
from bert_tf.tasks import model_task, registry

FIRST = {"blocks.0.heads": np.array([True, False])}
SECOND = {"blocks.0.ffn": np.array([False])}


@pytest.fixture
def source(bert_dir):
    return read_source(bert_dir)


@pytest.fixture
def task():
    return registry.get_several("RTE,STS-B,WNLI")


def test_a_batch_has_the_mask_of_its_task(source):
    masked = task_masks.with_masks(source, [FIRST, {}, SECOND])
    assert masked.config.num_masks == 3
    model = masked.model()
    (features,) = model_task.random_features(source.config, 12, num_batches=1)
    for index, mask in enumerate((FIRST, {}, SECOND)):
        values = task_masks.of_task(masked, index)
        assert sorted(values) == ["blocks.0.ffn", "blocks.0.heads"]
        expected = masks.apply(source, mask).model()(features)
        found = model({**features, TASK: np.full(8, index, np.int32)})
        np.testing.assert_allclose(found, expected, atol=1e-5)
        removed, _ = units.remove(masked.config, masked.weights, values)
        assert not removed.has_gates
    with pytest.raises(ValueError, match="has 3 masks and must be used inside"):
        model(features)


def test_masks_are_replaced(source):
    masked = task_masks.with_masks(source, [FIRST, SECOND])
    again = task_masks.with_masks(masked, [SECOND, SECOND, FIRST])
    assert again.config.num_masks == 3
    assert task_masks.of_task(again, 2)["blocks.0.heads"].tolist() == [1, 0]
    assert task_masks.of_task(source, 0) == {}


def test_files_by_task(source, task, tmp_path):
    path = str(tmp_path / "first")
    masks.save(path, source.config, FIRST, "test")
    found = task_masks.load(f"stsb={path}", task, source.config)
    assert found[0] == found[2] == {} and found[1]["blocks.0.heads"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("RTE", "`task_masks` must be of parts TASK=path .*, received 'RTE'"),
        ("=path", "`task_masks` must be of parts TASK=path .*, received '=path'"),
        ("RTE=", "`task_masks` must have one file for a task, received 'RTE='"),
        ("RTE={path},rte={path}", "`task_masks` must have one file for a task, received"),
        ("CoLA={path}", "Unknown task 'CoLA', expected one of those trained together"),
        ("RTE=/nowhere", "nowhere"),
        ("RTE={kernels}", "must have masks of heads, neurons or FFNs, received blocks.0.query.ker"),
    ],
)
def test_bad_files(source, task, tmp_path, text, sentence):
    path, kernels = str(tmp_path / "mask"), str(tmp_path / "kernels")
    masks.save(path, source.config, FIRST, "test")
    kernel = {"blocks.0.query.kernel": np.ones([32, 32], bool)}
    masks.save(kernels, source.config, kernel, "test")
    with pytest.raises((ValueError, OSError), match=sentence):
        task_masks.load(text.format(path=path, kernels=kernels), task, source.config)


def test_a_mask_of_units_that_are_gone(source):
    with pytest.raises(ValueError, match="has 1 units at 'blocks.0.heads', received a mask of"):
        task_masks.with_masks(masks.apply(source, FIRST), [FIRST, {}])
