import json
import shutil

import numpy as np
import pytest

from bert_tf.studies.tickets.majority_baseline import majority_baseline, of_models
from bert_tf.tasks import registry


def test_the_most_frequent_class():
    found = majority_baseline(registry.get("RTE"), np.repeat([0, 1], [146, 131]))
    # .53 as published for RTE.
    assert found["eval_accuracy"] == pytest.approx(146 / 277)
    assert found["matthews_corrcoef"] == 0.0


def test_draws_for_a_regression():
    task = registry.get("STS-B")
    labels = np.random.default_rng(1).normal(2.5, 1.5, 1500)
    found = majority_baseline(task, labels, seed=1337)
    assert found == majority_baseline(task, labels, seed=1337)
    assert found != majority_baseline(task, labels, seed=0)
    assert abs(found["pearson"]) < 0.08
    # Two independent draws of one distribution: their difference has twice its variance.
    assert found["mse"] == pytest.approx(2 * labels.var(), rel=0.1)


def test_labels_that_are_all_the_same():
    found = majority_baseline(registry.get("STS-B"), np.full(7, 3.0))
    assert found == {"pearson": 0.0, "spearmanr": 0.0, "mse": 0.0}


def test_a_task_of_another_kind():
    with pytest.raises(ValueError, match="must have a class or a number as a label, .*'SQuAD'"):
        majority_baseline(registry.get("SQuAD"), [0])


def test_no_labels():
    with pytest.raises(ValueError, match="`labels` must have at least one entry"):
        majority_baseline(registry.get("RTE"), [])


@pytest.mark.parametrize(
    ("name", "published"), [("RTE", 0.53), ("SST-2", 0.51), ("STS-B", 0.02), ("WNLI", 0.56)]
)
def test_baselines_as_published(shared, name, published):
    task = registry.get(name)
    labels = task.read(str(shared / "data/glue" / name), "dev").labels
    found = majority_baseline(task, labels, seed=1337)
    assert round(found[task.primary_metric], 2) == published


def test_the_tasks_of_models(tmp_path, bert_dir, sst_dir):
    dense = tmp_path / "dense"
    shutil.copytree(bert_dir, dense)
    info = json.loads((dense / "info.json").read_text())
    task = registry.get("sst-2").to_dict()
    (dense / "info.json").write_text(json.dumps({**info, "task": task, "data_dir": sst_dir}))
    moved = tmp_path / "moved"
    shutil.copytree(dense, moved)
    (moved / "info.json").write_text(json.dumps({**info, "task": {"name": "RTE"}}))
    found = of_models([str(dense), str(moved), bert_dir])
    assert set(found) == {"SST-2"} and 0.5 <= found["SST-2"] < 0.7
