from flop_tools import remove_mask

import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.models.bert import BertModel
from bert_tf.surgery import compression
from flop_tf.layers.projection import ProjectionSpec

GATE = {"name": "hard_concrete", "config": {"axis": 0}}


@pytest.fixture
def gated_dir(bert_dir, tmp_path):
    config = bert_tf.load(bert_dir).config
    specs = {
        (i, name): ProjectionSpec(min(shape), GATE) for i, name, _, shape in config.projections()
    }
    model = BertModel(config.with_projections(specs))
    for gate in model.gates:
        gate.log_alpha.assign(np.linspace(-5, 1, 8))
    model_dir.save(tmp_path / "gated", model, bert_tf.load_tokenizer(bert_dir))
    return str(tmp_path / "gated")


@pytest.mark.parametrize(
    ("threshold", "rank"),
    # Of log_alpha -5, -4.14, ..., 1 four are above -2.398; two have a gate above .35.
    [(0, 4), (0.35, 2)],
)
def test_remove_mask(call, gated_dir, demo_dir, tmp_path, threshold, rank, caplog):
    args = [f"--checkpoint={gated_dir}", f"--output_folder_dir={tmp_path / 'out'}"]
    data = ["--task_name=sst-2", f"--data_dir={demo_dir}", f"--threshold={threshold}"]
    assert call(remove_mask, *args, *data) is None
    specs = [spec for *_, spec, _ in bert_tf.load(tmp_path / "out").config.projections()]
    # Four of eight is the break-even rank of 8 x 8, at which factors are as good as the kernel.
    assert {spec.rank for spec in specs} <= {rank, None} and not any(spec.gate for spec in specs)
    log = caplog.text
    assert "Compact and gated logits differ by at most" in log and "dense_sparsity = 0." in log
    assert call(remove_mask, *args, *data) is None
    assert "is already done" in caplog.text


def test_a_magnitude_mask_leaves_zeros_that_are_stored(call, bert_dir, tmp_path, caplog):
    tokenizer = bert_tf.load_tokenizer(bert_dir)
    model = BertModel(compression.with_gates(bert_tf.load(bert_dir).config, "magnitude"))
    model.budget().calibrate(0.75)
    model_dir.save(tmp_path / "gated", model, tokenizer)
    out = tmp_path / "out"
    args = [f"--checkpoint={tmp_path / 'gated'}", f"--output_folder_dir={out}"]
    assert call(remove_mask, *args) is None
    # 4 kernels of 8 x 8 and 2 of 8 x 12.
    log = caplog.text
    assert "dense_pruned_params = 448\n" in log and "dense_nonzero_params = 112\n" in log
    assert "dense_sparsity = 0.000000\n" in log and "actual_compact_rate = 1.000000\n" in log
    assert f"The mask over the weights is in {out}" in log.replace(".part", "")
    assert sorted(path.name for path in out.iterdir()) == [
        "bert_config.json",
        "info.json",
        "info.txt",
        "mask.safetensors",
        "model.safetensors",
        "run.flags",
        "tokenizer_config.json",
        "vocab.txt",
    ]


def test_bad_input_leaves_no_folder(call, bert_dir, gated_dir, tmp_path):
    out = f"--output_folder_dir={tmp_path / 'out'}"
    text = call(remove_mask, out, f"--checkpoint={bert_dir}")
    assert text.startswith("remove_mask: error: The model has no gates, so that there is")
    text = call(remove_mask, out, f"--checkpoint={gated_dir}", "--threshold=1")
    assert text == "remove_mask: error: Flag `--threshold` must be in [0, 1), received 1.0."
    assert not (tmp_path / "out").exists()
