import numpy as np
import pytest

from bert_tf.checkpoints import read_source
from bert_tf.methods.diffs import applying, base_model, task_models
from bert_tf.methods.diffs.diff_store import save
from bert_tf.tasks import model_task
from flop_tf import surgery
from flop_tf.diffs.diff_switching import SwitchedDiffs


@pytest.fixture(scope="module")
def batch(bert_dir):
    (features,) = model_task.random_features(read_source(bert_dir).config, 9, 1, 4)
    return features


def test_each_batch_is_of_its_task(diff_dirs, bert_dir, batch):
    models = task_models.TaskModels(bert_dir, diff_dirs.values())
    assert models.names == ("SST-2", "STS-B", "MNLI")
    alone = {}
    for folder in diff_dirs.values():
        diff, path = applying.read(folder)
        model = base_model.build(read_source(bert_dir), diff, path)
        alone[diff.info["task"]["name"]] = model(batch, training=False)
    for name in ("MNLI", "SST-2", "SST-2", "STS-B", "MNLI"):
        np.testing.assert_allclose(models.logits(name, batch), alone[name], atol=2e-6)
    with pytest.raises(ValueError, match="must be one of .*'SST-2', .*, received 'RTE'."):
        models.logits("RTE", batch)


def test_a_switch_brings_the_base_back_bit_by_bit(diff_dirs, bert_dir):
    shared = task_models.load(bert_dir, diff_dirs.values())
    variables = surgery.named_variables(shared.model)
    before = {name: v.numpy() for name, v in variables.items()}
    switched = SwitchedDiffs(variables, shared.diffs)
    for name in ("MNLI", "STS-B", "MNLI"):
        switched.switch(name)
        for path, positions in shared.diffs[name].positions.items():
            changed = np.flatnonzero(variables[path].numpy() != before[path])
            np.testing.assert_array_equal(changed, positions)
    switched.switch(None)
    assert all(v.numpy().tobytes() == before[name].tobytes() for name, v in variables.items())


def test_what_is_refused(diff_dirs, make_diff, bert_dir, tmp_path):
    with pytest.raises(ValueError, match="one difference, received two of 'MNLI'."):
        task_models.load(bert_dir, [diff_dirs["mnli"], diff_dirs["mnli"]])
    with pytest.raises(ValueError, match="must name differences, received none."):
        task_models.load(bert_dir, [])
    span = make_diff("qnli", head={"head": "span", "num_labels": 2})
    for part in ("kernel", "bias"):
        span.dense[f"span.{part}"] = span.dense.pop(f"classifier.{part}")
    save(str(tmp_path / "span"), span, "float32")
    with pytest.raises(ValueError, match="heads of one kind, received classifier of SST-2 and sp"):
        task_models.load(bert_dir, [diff_dirs["sst-2"], str(tmp_path / "span")])
    pooler = make_diff("qnli")
    pooler.dense["encoder.pooler.bias"] = np.zeros(32, np.float32)
    save(str(tmp_path / "pooler"), pooler, "float32")
    with pytest.raises(ValueError, match="'QNLI' is stored with its task: encoder.pooler.bias."):
        task_models.load(bert_dir, [str(tmp_path / "pooler")])
