"""Differences to the tiny BERT, made by hand."""

import numpy as np
import pytest

from bert_tf.checkpoints import read_source
from bert_tf.diffs import base_model
from bert_tf.diffs.training import save
from bert_tf.tasks import registry
from flop_tf import mask_file
from flop_tf.diff_file import Diff

HEADS = {"sst-2": 2, "qnli": 2, "sts-b": 1, "mnli": 3}


@pytest.fixture(scope="session")
def make_diff(bert_dir):
    """Returns a function that makes a difference of a task with random entries."""

    def make(name="sst-2", seed=0, density=0.05, **info):
        rng = np.random.default_rng(seed)
        base = base_model.base_weights(read_source(bert_dir))
        positions = {n: np.flatnonzero(rng.random(a.size) < density) for n, a in base.items()}
        labels = HEADS[name]
        kernel = np.float32(rng.normal(size=[32, labels]))
        dense = {"classifier.kernel": kernel, "classifier.bias": np.zeros(labels, np.float32)}
        known = {
            "task": registry.get(name).to_dict(),
            "head": {"head": "classifier", "num_labels": labels},
            "max_seq_length": 11,
        }
        return Diff(
            base=mask_file.fingerprint(base),
            shapes={n: a.shape for n, a in base.items()},
            positions=positions,
            values={n: np.float32(rng.normal(size=len(p))) for n, p in positions.items()},
            dense=dense,
            info={**known, **info},
        )

    return make


@pytest.fixture(scope="session")
def diff_dirs(make_diff, tmp_path_factory):
    """Folders with a difference each, by task."""
    folder = tmp_path_factory.mktemp("diffs")
    for seed, name in enumerate(("sst-2", "sts-b", "mnli")):
        save(str(folder / name), make_diff(name, seed), "float32")
    return {name: str(folder / name) for name in ("sst-2", "sts-b", "mnli")}
