"""From maps to labels to patterns of heads, each step by the program."""

import json

from flop_tools import attention_patterns

import numpy as np
import pytest

from bert_tf.checkpoints import model_dir
from bert_tf.studies.attention import pattern_classifier, pattern_data
from bert_tf.surgery import masks

MAPS = ("--attention", "--num_texts=5")


@pytest.fixture
def look(call, tmp_path):
    """Returns a function that starts the program and returns its exit code."""

    def look(folder, *args):
        return call(attention_patterns, f"--output_dir={tmp_path / folder}", *args)

    return look


@pytest.fixture
def data(bert_dir, demo_dir):
    return (f"--model_dir={bert_dir}", "--task_name=sst-2", f"--data_dir={demo_dir}")


def test_maps_labels_and_patterns(look, data, bert_dir, tmp_path, capsys):
    assert look("maps", *MAPS, *data) is None
    about = json.loads((tmp_path / "maps/maps.json").read_text())
    assert np.shape(about["entropy"]) == (1, 2) and len(about["texts"]) == 5
    raw, normed = (pattern_data.read_maps(tmp_path / f"maps/{k}.npz") for k in ("raw", "normed"))
    assert set(raw) == set(normed) and len(raw) == 5 * 2
    for name, values in raw.items():
        tokens = about["texts"][name.split("_")[0]]["tokens"]
        assert values.shape == (len(tokens),) * 2 and tokens[0] == "[CLS]"
        np.testing.assert_allclose(values.sum(axis=1), 1.0, rtol=1e-5)
    entropy = [
        -np.sum(raw[f"{text}_00_00"] * np.log(raw[f"{text}_00_00"])) for text in about["texts"]
    ]
    tokens = sum(len(each["tokens"]) for each in about["texts"].values())
    assert about["entropy"][0][0] == pytest.approx(sum(entropy) / tokens, rel=1e-4)
    assert len(list((tmp_path / "maps").glob("*.png"))) == 6

    lines = [f"{name}\t{'block' if i % 2 else 'other'}\n" for i, name in enumerate(normed)]
    (tmp_path / "labels.tsv").write_text("".join(lines))
    given = [f"--labels={tmp_path}/labels.tsv", f"--maps={tmp_path}/maps/normed.npz"]
    train = ["--train_patterns", "--kind=normed", "--epochs=1"]
    assert look("trained", *train, *given) is None
    loaded = pattern_classifier.load(tmp_path / "trained/classifier")
    assert loaded.labels == ("block", "other") and loaded.kind == "norms"
    assert json.loads((tmp_path / "trained/training.json").read_text())["maps"] == 10

    mask = tmp_path / "mask.safetensors"
    kept = {"blocks.0.heads": np.array([True, False])}
    masks.save(str(mask), model_dir.load(bert_dir).config, kept, "lottery: good")
    find = [f"--patterns={tmp_path}/trained/classifier", f"--mask={mask}", "--num_texts=3"]
    assert look("shares", *find, *data) is None
    found = json.loads((tmp_path / "shares/patterns.json").read_text())
    assert found["kind"] == "normed" and set(found["survival"]) == {"block", "other"}
    assert list(found["shares"]) == ["SST-2 all", "SST-2 kept"]
    for bar in found["shares"].values():
        assert sum(bar.values()) == pytest.approx(1.0)
    assert (tmp_path / "shares/patterns.png").is_file()

    other = {"blocks.1.heads": np.array([True, False])}
    config = model_dir.load(bert_dir).config
    wide = type(config).from_dict({**config.to_dict(), "intermediate_size": 16, "layers": ()})
    masks.save(str(mask), wide, other, "lottery: good")
    assert "has masks of another model: expected the fingerprint" in look("o", *find, *data)
    both = f"--model_dir={bert_dir},{bert_dir}/"
    end = look("o", *find, *data, both)
    assert end.endswith("must have one file for each of the 2 models, received 1.")

    (tmp_path / "labels.tsv").write_text("0009_07_07\tblock\n")
    assert look("o", *train, *given) == (
        "attention_patterns: error: Argument `labels` must name maps that are there, received 1 "
        "unknown names, such as ['0009_07_07']."
    )


@pytest.mark.parametrize(
    "args, sentence",
    [
        ((), "One of `--attention`, `--train_patterns` and `--patterns` is needed, received none."),
        (("--attention", "--patterns=x"), "One of `--attention`, `--train_patterns` and `--patte"),
        (("--attention",), "Flag `--model_dir` is needed by `--attention`, received nothing."),
        (("--train_patterns", "--maps=x"), "Flag `--labels` is needed by `--train_patterns`, rec"),
        (("--attention", "--model_dir=a,b"), "Flag `--model_dir` must name one model for `--atte"),
        (("--attention", "--num_texts=0", "--model_dir=a"), "Flag `--num_texts` must be at lea"),
        (
            ("--attention", "--epochs=3", "--model_dir=a"),
            "Flag `--epochs` is not for --attention; l",
        ),
        (("--attention", "--mask=x", "--model_dir=a"), "Flag `--mask` is not for --attention; lea"),
        (("--attention", "--model_dir=a,a"), "Flag `--model_dir` must name each one once, rece"),
        (("--attention", "--model_dir=nowhere"), "The checkpoint 'nowhere' "),
        (("--train_patterns", "--labels=no", "--maps=no"), "The file of maps 'no' does not exist."),
    ],
)
def test_bad_input(look, tmp_path, args, sentence):
    assert look("out", *args).startswith(f"attention_patterns: error: {sentence}")
    assert not (tmp_path / "out").exists()


def test_a_classifier_that_is_none(look, data, tmp_path):
    end = look("out", f"--patterns={tmp_path}", *data)
    assert end.endswith("is no pattern classifier: expected 'labels.json' in it.")
