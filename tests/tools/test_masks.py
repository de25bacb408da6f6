"""The programs that make, search and compare masks."""

import json
import os
import pathlib

from flop_tools import compare_masks, evaluate, factorize, make_mask, train_mask

import numpy as np
import pytest

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras
from flop_tf.files import mask_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("masks")


@pytest.fixture(scope="module")
def bert(folder):
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    keras.utils.set_random_seed(0)
    config = EncoderConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=16,
    )
    model_dir.save(folder / "bert", BertModel(config), Tokenizer(str(folder / "vocab.txt")))
    return str(folder / "bert")


@pytest.fixture(scope="module")
def text(folder):
    for file in ("train.txt", "dev.txt"):
        (folder / file).write_text("a b c d <unk> a c b d\n" * 12)
    return str(folder)


def test_baselines_and_their_comparison(call, bert, tmp_path, capsys):
    made = {}
    for name, kind, sparsity in (("omp", "magnitude", 0.5), ("chance", "random", 0.75)):
        path = made[name] = tmp_path / f"{name}.safetensors"
        args = [f"--checkpoint={bert}", f"--output={path}", f"--kind={kind}"]
        assert call(make_mask, *args, f"--sparsity={sparsity}") is None
        for mask in mask_file.read(path).masks.values():
            assert 1 - mask.mean() == sparsity
    out = tmp_path / "compared"
    names = ",".join(f"{name}={path}" for name, path in made.items())
    assert call(compare_masks, f"--masks={names}", f"--output_dir={out}") is None
    table = capsys.readouterr().out
    assert "| omp / chance |" in table and "50.00 % / 75.00 %" in table
    assert (out / "masks.md").read_text().strip() == table.strip()
    assert (out / "masks.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((out / "masks.json").read_text())
    layers = ["embeddings", "block 0", "pooler"]
    assert found["zero_rates"] == {"omp": 0.5, "chance": 0.75}
    assert list(found["pairs"][0]["by_layer"]) == layers
    for layer, share in found["pairs"][0]["hamming_by_layer"].items():
        assert share == pytest.approx(0.5, abs=0.2) and f" {share:.3f} " in table, layer
    assert f"| {'zeros, chance':21} | 0.750 " in table
    # Of independent masks that keep 1/2 and 1/4, 1/8 is kept by both and 5/8 by either.
    assert found["pairs"][0]["pooled_jaccard"] == pytest.approx(0.2, abs=0.06)


def test_a_mask_of_blocks_drops_the_others(call, bert, tmp_path):
    path = tmp_path / "mask.safetensors"
    args = [f"--checkpoint={bert}", f"--output={path}", "--kind=blocks"]
    for others in ([], ["--blocks=0", "--sparsity=.5"]):
        sentence = "Flag `--kind=blocks` needs `--blocks` and takes no `--sparsity`, received"
        assert sentence in call(make_mask, *args, *others)
    sentence = "must be indexes of the 1 blocks from 0 on, not [1]."
    assert sentence in call(make_mask, *args, "--blocks=0,1")
    assert call(make_mask, *args, "--blocks=0") is None
    masks = mask_file.read(path).masks
    assert sorted(masks) == ["blocks.0.ffn", "blocks.0.heads"]
    assert all(mask.all() for mask in masks.values())


def test_names_are_text_in_the_tables(call, bert, tmp_path, capsys):
    path = tmp_path / "mask.safetensors"
    args = [f"--checkpoint={bert}", f"--output={path}", "--sparsity=.5"]
    assert call(make_mask, *args) is None
    names = f"<script>alert(1)</script>={path},$a|b$={path}"
    assert call(compare_masks, f"--masks={names}", f"--output_dir={tmp_path / 'out'}") is None
    table = (tmp_path / "out" / "masks.md").read_text()
    assert "| &lt;script>alert(1)&lt;/script> / $a\\|b$ |" in table and "<script" not in table


def test_bad_input(call, bert, text, tmp_path):
    path = tmp_path / "mask.safetensors"
    args = [f"--checkpoint={bert}", f"--output={path}"]
    for sparsity in (1, -0.5):
        error = call(make_mask, *args, f"--sparsity={sparsity}")
        expected = f"Flag `--sparsity` must be in [0, 1), received {float(sparsity)}."
        assert error == f"make_mask: error: {expected}"
    assert call(make_mask, *args, "--sparsity=.5") is None
    before = path.stat().st_mtime_ns
    assert call(make_mask, *args, "--sparsity=.5") is None and path.stat().st_mtime_ns == before
    other = ["--sparsity=.25", "--kind=random", "--seed=3"]
    for i in range(3):
        given = ["--sparsity=.5", *other[i : i + 1]]
        assert "exists already with another mask; choose" in call(make_mask, *args, *given)
    assert call(make_mask, *args, "--sparsity=.25", "--overwrite") is None
    assert mask_file.read(path).provenance["sparsity"] == 0.25
    error = call(compare_masks, f"--masks={path}")
    assert "must name two files or more to compare, received 1." in error
    error = call(compare_masks, f"--masks={path},{path}")
    assert "must give each file a name of its own" in error
    other = tmp_path / "other.safetensors"
    mask_file.write(other, {"blocks.0.query.kernel": np.ones([8, 8], bool)}, "random", "x")
    assert "masks of another model" in call(compare_masks, f"--masks={path},{other}")
    args = [f"--init_checkpoint={bert}", f"--data_dir={text}", f"--output_dir={tmp_path / 'out'}"]
    error = call(train_mask, *args, "--max_seq_length=8")
    assert "must have a head of masked language modelling, received none" in error
    (tmp_path / "short").mkdir()
    for content, expected in (("", "is empty."), ("a b\n", "must have at least one block of 6")):
        for file in ("train.txt", "dev.txt"):
            (tmp_path / "short" / file).write_text(content)
        error = call(train_mask, *args, "--max_seq_length=8", f"--data_dir={tmp_path / 'short'}")
        assert error.startswith("train_mask: error: The text file") and expected in error
    assert not (tmp_path / "out").exists()


def test_a_search_and_what_it_leaves(call, bert, text, tmp_path, capsys, caplog):
    out = tmp_path / "out"
    args = [f"--init_checkpoint={bert}", f"--data_dir={text}", f"--output_dir={out}"]
    args += ["--max_seq_length=8", "--train_head", "--head_steps=2", "--num_train_steps=2"]
    args += ["--train_batch_size=4", "--sparsity=.5"]
    assert call(train_mask, *args) is None
    assert "a mask transfers better by --mlm=false --distill_hidden=cosine" in caplog.text
    assert {"mask.safetensors", "results.json", "dense"} <= {p.name for p in out.iterdir()}
    assert call(train_mask, *args) is None
    assert "is already done" in caplog.text
    capsys.readouterr()
    mask = f"--mask={out / 'mask.safetensors'}"
    assert call(evaluate, f"--model_dir={out / 'dense'}", mask) is None
    scores = json.loads(capsys.readouterr().out)["dev"]
    results = json.loads((out / "results.json").read_text())
    assert scores == pytest.approx(results["masked"], rel=1e-4)
    factorized = tmp_path / "factorized"
    assert call(factorize, f"--checkpoint={bert}", mask, f"--output_dir={factorized}") is None
    assert bert_tf.load_info(factorized)["stage"] == "factorized"


@pytest.mark.parametrize("name", ["model.safetensors", "notes.txt", "folder"])
def test_only_a_mask_is_replaced_by_one(call, bert, tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    else:
        content = pathlib.Path(bert, "model.safetensors").read_bytes()
        path.write_bytes(content if name == "model.safetensors" else b"mine")
    before = None if path.is_dir() else path.read_bytes()
    args = [f"--checkpoint={bert}", f"--output={path}", "--sparsity=.5", "--overwrite"]
    error = call(make_mask, *args)
    assert error.startswith("make_mask: error: The ") and " must be a" in error
    assert (path.is_dir() and name == "folder") or path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]
    empty = call(make_mask, *args, "--output=")
    assert empty == "make_mask: error: Flag `--output` must name a file, received nothing."


def test_what_a_killed_writer_of_a_mask_left(call, bert, tmp_path):
    left = tmp_path / ".mask.safetensors.partial-0123abcd"
    other = tmp_path / ".other.safetensors.partial-0123abcd"
    left.write_text("half of it")
    other.write_text("of somebody else")
    args = [f"--checkpoint={bert}", f"--output={tmp_path / 'mask.safetensors'}", "--sparsity=.5"]
    assert call(make_mask, *args) is None
    assert sorted(os.listdir(tmp_path)) == [other.name, "mask.safetensors"]


@pytest.mark.parametrize("through_a_link", [False, True])
def test_masks_are_not_replaced_by_their_comparison(call, bert, tmp_path, through_a_link):
    folder, given = tmp_path / "masks", tmp_path / "masks"
    for seed in (0, 1):
        args = [f"--checkpoint={bert}", f"--output={folder}/{seed}.safetensors", "--kind=random"]
        assert call(make_mask, *args, "--sparsity=.5", f"--seed={seed}") is None
    (folder / "run.flags").write_text("--of=another run")
    before = sorted(os.listdir(folder))
    if through_a_link:
        given = tmp_path / "link"
        given.symlink_to(folder)
    masks = f"--masks=a={folder}/0.safetensors,{folder}/1.safetensors"
    for out in (given, tmp_path):
        error = call(compare_masks, masks, f"--output_dir={out}", "--overwrite")
        assert f"'{out}' is or holds the input `--masks={folder}/0.safetensors`" in error
    assert sorted(os.listdir(folder)) == before


def test_paths_with_an_equals_sign(call, bert, tmp_path, capsys):
    path = tmp_path / "lr=5e-5" / "mask.safetensors"
    args = [f"--checkpoint={bert}", f"--output={path}", "--sparsity=.5"]
    assert call(make_mask, *args) is None
    assert call(compare_masks, f"--masks={path},other={path}") is None
    assert "| mask / other " in capsys.readouterr().out
