import dataclasses

import numpy as np
import pytest

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.tickets import importance_file
from bert_tf.methods.tickets.measured_bert import MeasuredBert
from bert_tf.runs import evaluation
from bert_tf.surgery import masks
from bert_tf.tasks import registry


@pytest.fixture
def task(sst_dir):
    return registry.get("sst-2", data_dir=sst_dir)


@pytest.fixture
def encoded(task, sst_dir, bert_dir):
    return task.encode(task.read(sst_dir, "dev"), model_dir.load_tokenizer(bert_dir), 11)


@pytest.mark.parametrize("mask", [{}, {"blocks.0.heads": np.array([True, False])}])
def test_scores_are_those_of_the_model_without_what_is_masked(task, encoded, bert_dir, mask):
    source = read_source(bert_dir)
    scores, importance = MeasuredBert(source, task, ["heads", "ffn"], "token").measure(
        encoded, mask
    )
    removed = masks.apply(source, mask).model()
    expected = task.score(evaluation.predict(removed, encoded, 32), encoded)
    assert scores == pytest.approx(expected, abs=1e-5)
    assert {path: one.shape for path, one in importance.items()} == {
        "blocks.0.heads": (2,),
        "blocks.0.ffn": (1,),
    }
    assert all((one > 0).all() for one in importance.values())


def test_importance_does_not_depend_on_batches(task, encoded, bert_dir):
    source = read_source(bert_dir)
    found = [
        MeasuredBert(source, task, ["heads", "neurons"], "example", size).measure(encoded)[1]
        for size in (7, 64)
    ]
    for path, one in found[0].items():
        np.testing.assert_allclose(one, found[1][path], rtol=1e-4)


def test_another_mask_leaves_nothing_of_the_last_one(task, encoded, bert_dir):
    measured = MeasuredBert(read_source(bert_dir), task, ["heads", "ffn"], "batch")
    first, _ = measured.measure(encoded)
    masked, _ = measured.measure(encoded, {"blocks.0.ffn": [False], "blocks.0.heads": [0, 0]})
    assert masked["eval_loss"] != first["eval_loss"]
    assert measured.measure(encoded)[0] == first


def test_a_model_without_the_tasks_head_is_refused(bert_dir, pairs_dir):
    columns = {"text_columns": "first,second", "label_column": "score", "label_type": "number"}
    task = registry.get("tsv", data_dir=pairs_dir, **columns)
    with pytest.raises(ValueError, match="needs head='classifier' and num_labels=1, but the mod"):
        MeasuredBert(read_source(bert_dir), task, ["heads"], "token")


def test_the_file_of_importances(tmp_path, bert_dir):
    config = read_source(bert_dir).config
    path = str(tmp_path / "importance.json")
    importance = {"blocks.0.heads": np.array([0.25, 1 / 3])}
    importance_file.save(path, config, importance, reducer="token", examples=67)
    loaded, about = importance_file.load(path, config)
    np.testing.assert_array_equal(loaded["blocks.0.heads"], importance["blocks.0.heads"])
    assert about == {"reducer": "token", "examples": 67}
    other = dataclasses.replace(config, intermediate_size=8, layers=())
    with pytest.raises(ValueError, match="has importances of another model"):
        importance_file.load(path, other)
    for text in ("{}", '{"model": "x", "importance": {"blocks.0.heads": [1, "2"]}}', "[" * 10**5):
        (tmp_path / "importance.json").write_text(text)
        with pytest.raises(ValueError, match="^The file of importances '.*' (is|must be)"):
            importance_file.load(path, config)
