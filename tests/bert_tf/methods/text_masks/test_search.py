"""Searches for masks on a toy text, and what is done with a mask afterwards."""

import dataclasses
import json
import os
import pathlib
import signal

import numpy as np
import pytest
import tensorflow as tf
from event_files import tags

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.methods.text_masks import dense_head, search
from bert_tf.methods.text_masks.mask_options import MaskOptions
from bert_tf.methods.tickets import importance_file
from bert_tf.models.bert import BertModel
from bert_tf.runs import callbacks, finetuning, options
from bert_tf.surgery import masks, one_shot_masks
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery
from flop_tf.backend import keras
from flop_tf.files import mask_file
from flop_tf.training import mask_rules

WORDS = ["the", "a", "good", "bad", "film", "plot", "was", "is", "very", "so"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
TINY = EncoderConfig(
    vocab_size=len(VOCAB),
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=16,
    initializer_range=0.2,
)
# 4 kernels of 16 x 16 and 2 of 16 x 24; the pooler; the embedding of 15 words.
SIZES = [256] * 4 + [384] * 2 + [256, 240]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def bert(folder):
    """A BERT without a head of masked language modelling."""
    keras.utils.set_random_seed(0)
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    tokenizer = Tokenizer(str(folder / "vocab.txt"))
    model_dir.save(folder / "bert", BertModel(TINY), tokenizer)
    return str(folder / "bert")


@pytest.fixture(scope="module")
def text(folder):
    """Sentences of four words, each of which follows from the one before."""
    path = folder / "text"
    path.mkdir()
    for file, size, seed in (("train.txt", 200, 0), ("dev.txt", 40, 1)):
        rng = np.random.default_rng(seed)
        starts = rng.integers(len(WORDS), size=size)
        lines = [" ".join(WORDS[(s + i) % len(WORDS)] for i in range(4)) for s in starts]
        (path / file).write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def run(text, folder):
    def run(name, **changes):
        settings = {
            "data_dir": text,
            "output_dir": str(folder / name),
            "max_seq_length": 12,
            "train_batch_size": 8,
            "num_train_steps": 12,
            "save_checkpoints_steps": 4,
            **changes,
        }
        if settings.get("method") != "imp":
            settings = {"update_every": 4, "score_learning_rate": 2e-3, **settings}
        return search.search(MaskOptions(**settings))

    return run


@pytest.fixture(scope="module")
def searched(run, bert, folder):
    """A search that has trained the head first."""
    results = run(
        "mask", init_checkpoint=bert, train_head=True, head_steps=30, head_learning_rate=1e-2
    )
    return str(folder / "mask"), results


@pytest.fixture(scope="module")
def dense(searched):
    return os.path.join(searched[0], dense_head.DENSE_FOLDER)


def mask_of(path):
    return mask_file.read(os.path.join(path, search.MASK_FILE)).masks


def test_every_matrix_has_exactly_the_sparsity(searched, bert):
    found = mask_of(searched[0])
    assert sorted(mask.size for mask in found.values()) == sorted(SIZES)
    for mask in found.values():
        assert mask.size - np.count_nonzero(mask) == mask_rules.num_zeros(mask.size, 0.5)
    start = one_shot_masks.one_shot(read_source(bert), "magnitude", 0.5)
    assert any((found[path] != start[path]).any() for path in found)
    np.testing.assert_array_equal(found["pooler.kernel"], start["pooler.kernel"])


def test_weights_are_frozen_and_the_head_is_trained(searched, dense, bert):
    ours, theirs = (surgery.named_weights(bert_tf.load(path)) for path in (dense, bert))
    for path in theirs:
        if path.startswith("encoder."):
            np.testing.assert_array_equal(ours[path], theirs[path])
    checkpoint = tf.train.load_checkpoint(tf.train.latest_checkpoint(f"{searched[0]}/checkpoints"))
    query = "model/encoder/blocks/0/query/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    np.testing.assert_array_equal(
        checkpoint.get_tensor(query), theirs["encoder.blocks.0.query.kernel"]
    )


def test_results(searched, dense):
    path, results = searched
    assert json.loads(pathlib.Path(path, search.RESULTS_FILE).read_text()) == results
    zeros = sum(mask_rules.num_zeros(size, 0.5) for size in SIZES)
    assert results["zero_rate"] == pytest.approx(zeros / sum(SIZES))
    info = bert_tf.load_info(dense)
    # The head has learned something: chance is log(15), all words of the vocabulary alike.
    assert info["scores"]["dev"]["eval_loss"] < np.log(len(VOCAB)) - 0.1
    under = stages.evaluate(EvaluateOptions(dense, mask=os.path.join(path, search.MASK_FILE)))[
        "dev"
    ]
    assert under == pytest.approx(results["masked"], rel=1e-4)
    assert under["perplexity"] == pytest.approx(np.exp(under["eval_loss"]))
    assert stages.evaluate(EvaluateOptions(dense))["dev"] == pytest.approx(
        info["scores"]["dev"], rel=1e-4
    )


def test_tags(searched):
    found = tags(searched[0])
    expected = {"eval_loss", "perplexity", "zero_rate", "mask_distance", "mask_change", "loss"}
    assert expected <= set(found) and sorted(found["zero_rate"]) == [4, 8, 12]
    assert found["mask_distance"][12] > 0
    assert found["mask_distance"][4] == found["mask_change"][4]


def test_checkpoints_leave_their_masks_and_scores(searched):
    path, _ = searched
    losses = tags(path)["eval_loss"]
    for step in (4, 8, 12):
        saved = mask_file.read(os.path.join(path, search.STEPS_FOLDER, f"step-{step}.safetensors"))
        for mask in saved.masks.values():
            assert mask.size - mask.sum() == mask_rules.num_zeros(mask.size, 0.5)
        assert saved.provenance["step"] == step
        assert saved.provenance["scores"]["eval_loss"] == pytest.approx(losses[step], rel=1e-6)
    for name, mask in mask_of(path).items():
        np.testing.assert_array_equal(saved.masks[name], mask)


def test_a_stopped_search_ends_as_an_unbroken_one(run, dense, searched, folder, monkeypatch):
    path, unbroken = searched

    class Stopped(Exception):
        pass

    def stop(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) == 6:
            raise Stopped

    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Summaries, "on_train_batch_end", stop)
        with pytest.raises(Stopped):
            run("stopped", init_checkpoint=dense)
    resumed = run("stopped", init_checkpoint=dense)
    # What comes after training ends at a signal as before.
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert resumed["seconds"] is None and unbroken["seconds"] > 0
    assert {**resumed, "seconds": 0} == {**unbroken, "seconds": 0}
    for name, mask in mask_of(path).items():
        np.testing.assert_array_equal(mask_of(folder / "stopped")[name], mask)


def test_iterative_magnitude(run, dense, folder):
    run("imp", init_checkpoint=dense, method="imp", sparsity=0.3, learning_rate=1e-2)
    found = mask_of(folder / "imp")
    for mask in found.values():
        tenth = mask.size - np.count_nonzero(mask)
        assert tenth == pytest.approx(0.3 * mask.size, abs=1.5)
    # After the second of three rounds.
    before = mask_file.read(folder / "imp" / search.STEPS_FOLDER / "step-8.safetensors").masks
    for mask in before.values():
        assert mask.size - np.count_nonzero(mask) == pytest.approx(0.2 * mask.size, abs=1.5)
    start = one_shot_masks.one_shot(read_source(dense), "magnitude", 0.3)
    assert any((found[path] != start[path]).any() for path in found)


def test_a_search_that_diverges_says_so(run, dense):
    settings = {"method": "imp", "sparsity": 0.1, "num_train_steps": 2, "learning_rate": 1e38}
    with pytest.raises(ValueError, match="has diverged at step 1: {'eval_loss': nan, .* lower rat"):
        run("diverged", init_checkpoint=dense, **settings, save_checkpoints_steps=1)


def test_distillation_alone_needs_no_head(run, bert, folder):
    results = run(
        "kd", init_checkpoint=bert, mlm=False, distill_hidden="cosine", distill_attention=True
    )
    assert set(results["masked"]) == {"distance"} and results["masked"]["distance"] > 0
    assert "distance" in tags(folder / "kd")


def test_units(run, dense, folder):
    run("units", init_checkpoint=dense, units="heads,neurons", sparsity=0.5, update_every=1)
    found = mask_of(folder / "units")
    # Of 2 heads and 24 neurons.
    assert {path: m.sum() for path, m in found.items()} == {
        "blocks.0.heads": 1,
        "blocks.0.neurons": 12,
    }


def test_units_start_from_importances_that_are_given(run, dense, folder):
    """At a rate of 0 the mask stays what the importances say."""
    config = read_source(dense).config
    importances = {
        "blocks.0.heads": np.array([3.0, 2.0]),
        "blocks.0.neurons": np.arange(24.0)[::-1],
    }
    paths = []
    for path, values in importances.items():
        paths.append(str(folder / f"{path}.json"))
        importance_file.save(paths[-1], config, {path: values})
    settings = {"init_checkpoint": dense, "units": "heads,neurons", "score_learning_rate": 0.0}
    run("important", **settings, importance=",".join(paths))
    for kept in mask_of(folder / "important").values():
        np.testing.assert_array_equal(np.flatnonzero(kept), np.arange(kept.size // 2))
    with pytest.raises(ValueError, match="name files with those of neurons, received .*--units=ne"):
        run("bad", **settings, importance=paths[0])


def test_a_mask_that_is_there_is_scored_as_a_search_scores_it(run, searched, bert, dense, folder):
    terms = {"mlm": False, "distill_hidden": "cosine", "teacher": bert}
    results = run("kd_again", init_checkpoint=bert, **terms)
    given = {"num_train_steps": 0, "mask": str(folder / "kd_again" / search.MASK_FILE)}
    found = run("kd_given", init_checkpoint=bert, **terms, **given)
    assert found["masked"] == results["masked"] and found["dense"]["distance"] < 1e-6
    given["mask"] = os.path.join(searched[0], search.MASK_FILE)
    found = run("given", init_checkpoint=dense, **given)
    assert found["masked"] == searched[1]["masked"]
    with pytest.raises(ValueError, match="`mask` must be empty where one is trained, received"):
        run("bad", init_checkpoint=dense, mask=given["mask"])


def test_a_mask_begins_fine_tuning_and_the_chain(searched, bert, folder):
    path = folder / "sst"
    path.mkdir()
    rows = ["sentence\tlabel"] + [f"{'good' if i % 2 else 'bad'} film\t{i % 2}" for i in range(40)]
    for file in ("train.tsv", "dev.tsv"):
        (path / file).write_text("\n".join(rows) + "\n")
    mask = os.path.join(searched[0], search.MASK_FILE)
    settings = {"task_name": "sst-2", "data_dir": str(path), "init_checkpoint": bert}
    settings |= {"mask": mask, "output_dir": str(folder / "tuned"), "max_seq_length": 8}
    settings |= {"train_subset": 24, "num_train_epochs": 1.0, "learning_rate": 1e-3}
    finetuning.finetune(options.FinetuneOptions(**settings))
    weights = surgery.named_weights(bert_tf.load(folder / "tuned"))
    for name, kept in mask_of(searched[0]).items():
        assert not weights[f"encoder.{name}"][~kept].any()
    stages.remove_mask(RemoveOptions(str(folder / "tuned"), str(folder / "sparse")))
    assert not bert_tf.load(folder / "sparse").config.has_gates
    stages.factorize(FactorizeOptions(bert, str(folder / "factorized"), mask=mask))
    found = surgery.named_weights(bert_tf.load(folder / "factorized"))
    product = found["encoder.blocks.0.query.factor_in"] @ found["encoder.blocks.0.query.factor_out"]
    expected = masks.multiply(read_source(bert), mask_of(searched[0])).weights
    np.testing.assert_allclose(product, expected["encoder.blocks.0.query.kernel"], atol=1e-5)


def test_the_file_of_a_mask_has_a_bit_a_weight(bert, tmp_path):
    rng = np.random.default_rng(0)
    path, found = (
        tmp_path / "mask.safetensors",
        {"blocks.0.query.kernel": rng.random([700, 700]) > 0.7},
    )
    masks.save(path, TINY, found, "random")
    assert path.stat().st_size <= 1.01 * 700 * 700 / 8


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, "must have a head of masked language modelling, received none; pass --train_head"),
        ({"max_seq_length": 17}, "`max_seq_length` must be at most 16, the positions of the chec"),
        ({"mlm": False}, "An objective is needed: masked words, or a teacher's hidden states"),
        ({"teacher": "x"}, "Argument `teacher` needs something to learn from it"),
        ({"sparsity": 1.0}, r"Argument `sparsity` must be in \[0, 1\), received 1.0"),
        ({"method": "imp", "sparsity": 0.25}, "must be one of .1, .2, ..., .9, as each round"),
        (
            {"method": "imp", "sparsity": 0.7, "num_train_steps": 5},
            "`num_train_steps` must be at least 6, one a round of imp, received 5",
        ),
        (
            {"method": "imp", "start_sparsity": 0.1},
            "`start_sparsity` must be left out with method=imp, received 0.1",
        ),
        ({"rewind": False}, "`rewind` must be left out with method=mask, received False"),
        ({"layers_to_mask": "0, 1"}, "must name blocks from 0 to 0, received '0, 1'"),
        ({"importance": "x.json"}, "`importance` must be empty without units, received 'x.json'"),
        (
            {"units": "heads", "distill_attention": True},
            "`distill_attention` must be false of heads, received True",
        ),
        ({"units": "layers"}, "Argument `units` expects names of heads, neurons, received layers"),
        ({"score_learning_rate": -1.0}, "`score_learning_rate` must be at least 0, received -1.0"),
        ({"init": "best"}, "Argument `init` must be one of magnitude, .*, received 'best'"),
        ({"dev_file": "no.txt"}, "reads its split 'dev' from no.txt, but the folder"),
    ],
)
def test_bad_input(run, bert, changes, expected):
    with pytest.raises(ValueError, match=expected):
        run("bad", **{"init_checkpoint": bert, **changes})


def test_a_teacher_that_does_not_fit_is_refused_before_the_head_is_trained(run, bert, folder):
    keras.utils.set_random_seed(0)
    tokenizer = Tokenizer(os.path.join(bert, "vocab.txt"))
    for name, changes, expected in (
        ("wide", {"hidden_size": 32}, "the student's width of 16 where hidden states are matched"),
        ("short", {"max_position_embeddings": 8}, "must be at most 8, the positions of the teach"),
    ):
        teacher = BertModel(dataclasses.replace(TINY, **changes))
        model_dir.save(folder / name, teacher, tokenizer)
        settings = {"init_checkpoint": bert, "train_head": True, "distill_hidden": "cosine"}
        with pytest.raises(ValueError, match=expected):
            run("bad_teacher", **settings, teacher=str(folder / name))
    half = {"blocks.0.heads": np.array([True, False])}
    masks.save(folder / "half.safetensors", TINY, half, "random")
    settings = {"init_checkpoint": bert, "train_head": True, "num_train_steps": 0}
    with pytest.raises(ValueError, match="The student must have all its heads where attention is"):
        path = str(folder / "half.safetensors")
        run("bad_teacher", **settings, mask=path, distill_attention=True)
    assert not (folder / "bad_teacher").exists()
