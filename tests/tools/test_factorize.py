from flop_tools import factorize

import pytest

import bert_tf


def test_with_data(call, bert_dir, demo_dir, tmp_path, caplog):
    args = [f"--checkpoint={bert_dir}", f"--output_dir={tmp_path / 'out'}", "--finetuned"]
    data = ["--task_name=sst-2", f"--data_dir={demo_dir}", "--calibration_batches=2"]
    assert call(factorize, *args, *data, "--rank=3") is None
    info = bert_tf.load_info(tmp_path / "out")
    assert info["init"] == "whitened" and info["task"]["name"] == "SST-2"
    assert {row["rank"] for row in info["projections"]} == {3}
    log = caplog.text
    assert "INIT_FROM_CKPT     classifier.kernel" in log
    assert "PASSED             encoder.blocks.0.query.factor_in" in log
    assert call(factorize, *args, *data, "--rank=3") is None
    assert "is already done" in caplog.text
    assert "holds the files of another run" in call(factorize, *args, *data, "--rank=2")


def test_without_data(call, bert_dir, tmp_path, caplog):
    assert call(factorize, f"--checkpoint={bert_dir}", f"--output_dir={tmp_path / 'out'}") is None
    assert bert_tf.load_info(tmp_path / "out")["init"] == "svd"
    assert "NOT_INIT_FROM_CKPT classifier.kernel" in caplog.text


def test_a_table_of_ones_own(call, bert_dir, demo_dir, tmp_path):
    args = [f"--checkpoint={bert_dir}", f"--output_dir={tmp_path / 'out'}", "--task_name=tsv"]
    columns = ["--text_columns=sentence", "--label_column=label", "--label_type=number"]
    columns.append("--quoting=none")
    assert call(factorize, *args, *columns, f"--data_dir={demo_dir}", "--density=.5") is None
    assert bert_tf.load_info(tmp_path / "out")["task"] == {
        "name": "tsv",
        "labels": None,
        "text_columns": ["sentence"],
        "label_column": "label",
        "label_type": "number",
        "quoting": "none",
    }


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--rank=half"], "Argument `rank` must be 'full' or a number from 1 on, received 'half'."),
        (["--rank=0"], "Argument `rank` must be 'full' or a number from 1 on, received '0'."),
        (["--rank=٣"], "Argument `rank` must be 'full' or a number from 1 on, received '٣'."),
        (["--density=nan"], "Flag `--density` must be above 0, received nan."),
        (["--seed=-1"], "Flag `--seed` must be in [0, 2147483648), received -1."),
        (["--calibration_batches=0"], "Flag `--calibration_batches` must be at least 1, received"),
        (["--max_seq_length=abc"], "Flag `--max_seq_length` must be an integer, received 'abc'."),
        (["--rank=9"], "Argument `rank` must be 'full' or in [0, 8] for a projection of shape"),
        (["--init=fisher"], "Argument `init=fisher` needs data: pass `data_dir` and `task_name`"),
        (
            ["--task_name=SST-2"],
            "Flag `--task_name` is not for a factorization without `--data_dir`",
        ),
        (["--quoting=none", "--label_column=a"], "Flag `--label_column` is not for a"),
        (["--checkpoint=nowhere"], "The checkpoint 'nowhere' does not exist"),
    ],
)
def test_bad_input_leaves_no_folder(call, bert_dir, tmp_path, args, sentence):
    common = [f"--checkpoint={bert_dir}", f"--output_dir={tmp_path / 'out'}"]
    assert call(factorize, *common, *args).startswith(f"factorize: error: {sentence}")
    assert not (tmp_path / "out").exists()


def test_required_flags(call):
    assert "Flag --checkpoint must have a value other than None." in call(factorize)
