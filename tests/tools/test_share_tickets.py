import os
import shlex

from flop_tools import export, finetune, share_tickets

import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import read_source
from bert_tf.surgery import masks


@pytest.fixture
def mask(bert_dir, tmp_path):
    path = str(tmp_path / "mask")
    mask = {"blocks.0.heads": np.array([True, False])}
    masks.save(path, read_source(bert_dir).config, mask, "super: winning")
    return path


def test_from_masks_to_the_model_of_a_task(call, mask, bert_dir, demo_dir, tmp_path, capsys):
    tickets = [f"--tickets=SST-2={mask},CoLA=", f"--output_dir={tmp_path / 'shared'}"]
    assert call(share_tickets, *tickets) is None
    command, *arguments = shlex.split(capsys.readouterr().out)
    assert command == "flop-finetune"

    glue = tmp_path / "glue"
    (glue / "CoLA").mkdir(parents=True)
    (glue / "SST-2").symlink_to(demo_dir)
    for split, size in (("train", 16), ("dev", 8)):
        lines = [f"source\t{i % 2}\t\tthe film {i}" for i in range(size)]
        (glue / "CoLA" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    # The capitals are for the user to fill in.
    values = {"GLUE": glue, "BERT": bert_dir, "OUTPUT": tmp_path / "multi"}
    filled = [
        f"{name}={values.get(value, value)}"
        for name, _, value in (argument.partition("=") for argument in arguments)
    ]
    assert call(finetune, *filled, "--num_train_epochs=0.1", "--max_seq_length=15") is None
    assert bert_tf.load_info(tmp_path / "multi")["scores"]["dev"].keys() >= {"mean"}

    cut = [f"--model_dir={tmp_path / 'multi'}", "--task=sst-2", f"--output_dir={tmp_path / 'sst'}"]
    assert call(share_tickets, *cut) is None
    assert bert_tf.load(tmp_path / "sst").config.layers[0].num_heads == 1
    assert bert_tf.load_info(tmp_path / "sst")["data_dir"] == str(glue / "SST-2")
    assert call(share_tickets, *cut) is None  # Done already.
    args = [f"--model_dir={tmp_path / 'multi'}", f"--output_dir={tmp_path / 'served'}"]
    assert "has a mask for each of 2 tasks; cut it to one of them" in call(export, *args)


@pytest.mark.parametrize(
    "args", [[], ["--tickets=a=b", "--model_dir=m", "--task=t"], ["--model_dir=m"], ["--task=t"]]
)
def test_one_of_two_uses(call, args, tmp_path):
    text = call(share_tickets, *args, f"--output_dir={tmp_path / 'out'}")
    assert text.startswith(
        "share_tickets: error: Either `--tickets`, or `--model_dir` and `--task`"
    )
    assert "\n" not in text and not os.path.exists(tmp_path / "out")


def test_bad_input_is_one_sentence(call, tmp_path):
    text = call(share_tickets, "--tickets=RTE=nowhere", f"--output_dir={tmp_path / 'out'}")
    assert text.startswith("share_tickets: error: The ticket of the task 'RTE' must be a mask file")
    assert not os.path.exists(tmp_path / "out")
