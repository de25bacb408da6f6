"""A gate that is defined here, without a log_alpha, prunes a BERT by the whole chain."""

import numpy as np
import pytest
import tensorflow as tf

import bert_tf
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from flop_tf import gates
from flop_tf.backend import keras

SCALE = 10.0


class Slope(gates.Gate):
    """`z = clip(h, 0, 1)` of a height h, without noise."""

    variable_name = "height"
    calibrates = True

    def build_mask(self, shape):
        self.height = self.add_weight("height", shape, initializer=keras.initializers.Constant(0.9))

    def mask(self, training=None):
        return tf.clip_by_value(self.height, 0.0, 1.0)

    def expected_active(self):
        return tf.reduce_sum(tf.sigmoid(SCALE * self.height))

    def keep(self):
        return self.height > 0

    def opens_at(self):
        return -SCALE * self.height.numpy().astype(np.float64)

    def shift(self, amount):
        super().shift(np.asarray(amount) / SCALE)


@pytest.fixture(scope="module", autouse=True)
def registered():
    with gates.GATES.temporary():
        gates.register_gate("slope", package="test_own_gate")(Slope)
        yield


@pytest.fixture(scope="module")
def chain(bert_dir, sst_dir, tmp_path_factory):
    """Returns the folders of the gated and the compact model."""
    folder = tmp_path_factory.mktemp("chain")
    factorized, gated, compact = (str(folder / name) for name in ("factorized", "gated", "compact"))
    stages.factorize(FactorizeOptions(bert_dir, factorized))
    options = {
        "task_name": "sst-2",
        "data_dir": sst_dir,
        "init_checkpoint": factorized,
        "output_dir": gated,
        "gate": "slope",
        "target_sparsity": 0.5,
        "gate_order_examples": 32,
        "initial_log_alpha": 0.9,
        "max_seq_length": 11,
        "length_buckets": "11",
        "train_batch_size": 16,
        "learning_rate": 3e-3,
        "num_train_epochs": 1.0,
    }
    finetuning.finetune(FinetuneOptions(**options))
    stages.remove_mask(RemoveOptions(gated, compact))
    return gated, compact


def test_it_prunes_to_the_target(chain):
    gated, _ = chain
    assert bert_tf.load_info(gated)["stored_sparsity"] == pytest.approx(0.5, abs=0.02)
    model = bert_tf.load(gated)
    assert {type(gate) for gate in model.gates} == {Slope} and len(model.gates) == 6
    kept = np.concatenate([gate.keep().numpy() for gate in model.gates])
    assert 0 < kept.sum() < kept.size


def test_the_compact_model_is_exported(chain, export, tmp_path):
    report = export(chain[1], str(tmp_path / "out"), format_names=["saved_model"])
    assert report["stage"] == "compact"
    assert report["formats"]["saved_model"]["largest_difference"] <= 1e-5


def test_removal_keeps_what_it_computes(chain):
    gated, compact = chain
    assert bert_tf.load_info(compact)["largest_difference"] < 1e-5
    assert not bert_tf.load(compact).gates
    assert stages.evaluate(EvaluateOptions(compact))["dev"] == pytest.approx(
        stages.evaluate(EvaluateOptions(gated))["dev"], abs=1e-5
    )
