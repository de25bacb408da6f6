"""The task of tags of words: labels, errors, predictions, answers of texts, and the whole chain."""

import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow as tf

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.data.sentences import Sentences
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.runs import finetuning
from bert_tf.serving import services
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer

TAGS = ("O", "B-good", "I-good", "B-bad", "I-bad")


def write(folder, split, text):
    (folder / split).write_text(text, encoding="utf-8")


@pytest.fixture
def log(caplog):
    caplog.set_level("INFO", logger="absl")
    return caplog


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "train.conll", "good I-good\nfilm I-good\nend O\n\nbad B-bad\n")
    write(tmp_path, "dev.conll", "the O\ncold B-bad\nplot I-bad\n")
    write(tmp_path, "test.conll", "a\nwarm\n\n\x07\nbad\n")
    return tmp_path


def test_tags_of_the_training_file_are_completed_and_stored(folder, log):
    task = registry.get("tokens", data_dir=folder)
    assert task.labels == ("O", "B-bad", "I-bad", "B-good", "I-good")
    assert task.primary_metric == "f1" and task.head == {"head": "tokens", "num_labels": 5}
    assert registry.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    train = task.read(folder, "train")
    assert train.tags == [[3, 4, 0], [1]]
    assert (
        "train.conll: 1 entities begin with I- or E- as in IOB1, the first one in line 1"
        in log.text
    )
    assert "has 2 sentences, 4 words: 1 good, 1 bad." in log.text
    assert task.read(folder, "test").tags is None
    assert task.texts(train) == {"text": ["good film end", "bad"]}
    rest, held = task.holdout(train, 1, 0)
    assert len(rest) == len(held) == 1


def test_plain_tags(tmp_path):
    rows = [{"tokens": ["a", "b"], "tags": ["X", "N"]}, {"tokens": [], "tags": []}]
    write(tmp_path, "train.jsonl", "\n".join(map(json.dumps, rows)))
    task = registry.get("tokens", data_dir=tmp_path)
    assert task.labels == ("N", "X") and task.primary_metric == "eval_accuracy"
    assert task.primary_metric in task.metrics
    assert task.read(tmp_path, "train").tags == [[1, 0], []]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a O\n", r"train.conll' must have at least two tags, received \['O'\]"),
        ("a B-x\nb N\n", "train.conll' must have tags that are O or begin with .* 'B-x' and 'N'"),
        ("word\ttag\na\tB-x\n", "and 'tag'; its first row has the tag 'tag', is it a header"),
        ("a\tX Y\nb\tN\n", "must have tags without blanks, received 'X Y' in line 1"),
        ("a\t\nb\tN\n", "must have tags without blanks, received '' in line 1"),
    ],
)
def test_training_files_that_are_refused(tmp_path, text, sentence):
    write(tmp_path, "train.conll", text)
    with pytest.raises(ValueError, match=sentence):
        registry.get("tokens", data_dir=tmp_path)


def test_a_header_of_plain_tags_is_said(tmp_path, log):
    write(tmp_path, "train.tsv", "word\tpos\nthe\tDET\na\tDET\n")
    registry.get("tokens", data_dir=tmp_path)
    assert "no other row has the tag 'pos' of the first one; remove the row if" in log.text


def test_a_test_file_of_placeholders_has_no_tags(folder, log):
    write(folder, "test.conll", "a _\nb _\n")
    assert registry.get("tokens", data_dir=folder).read(folder, "test").tags is None
    assert "its tags are all '_'" in log.text


def test_errors(folder):
    with pytest.raises(ValueError, match="Task 'tokens' needs `data_dir` or `labels`"):
        registry.get("tokens")
    task = registry.get("tokens", data_dir=folder)
    write(folder, "dev.conll", "a O\nb I-ugly\n")
    with pytest.raises(
        ValueError, match="dev.conll' needs one of .* tag, received 'B-ugly' in line 2"
    ):
        task.read(folder, "dev")
    write(folder, "dev.conll", "a\n")
    with pytest.raises(ValueError, match="tags in another one, the last, received rows of 1 col"):
        task.read(folder, "dev")
    os.remove(folder / "dev.conll")
    with pytest.raises(ValueError, match="from dev.conll or dev.txt or dev.tsv or dev.jsonl, but"):
        task.read(folder, "dev")
    with pytest.raises(ValueError, match="`word_column` and `tag_column` belong to the task 'tok"):
        registry.get("sst-2", tag_column="3")


@pytest.fixture
def task():
    return registry.get("tokens", labels=list(TAGS))


def encoded_logits(task, examples, tokenizer, predictions):
    """Encoded sentences, and logits by which each word with a token has a class."""
    encoded = task.encode(examples, tokenizer, 8)
    logits = np.zeros([len(encoded), 8, len(TAGS)], np.float32)
    is_read = encoded.places >= 0
    given = np.array(predictions)[is_read]
    logits[encoded.windows[is_read], encoded.places[is_read], given] = 4
    return logits, encoded


def test_scores_predictions_and_differences(task, vocab_file, tmp_path):
    tokenizer = Tokenizer(vocab_file)
    words = [["a", "good", "film"], ["\u200b"], [], ["cold", "end\t\u2028of\u00a01"]]
    examples = Sentences(words, [[0, 1, 2], [0], [], [3, 4]], [[1] * len(one) for one in words])
    dense = encoded_logits(task, examples, tokenizer, [0, 1, 2, 3, 3, 4])
    # The wrong class of the word without tokens is none that a model could give.
    assert task.decided(*dense).tolist() == [0, 1, 2, 0, 3, 4]
    scores = task.score(*dense)
    assert tuple(scores) == ("eval_loss", *task.metrics) and scores["f1"] == 1
    assert scores["eval_loss"] == pytest.approx(np.log1p(4 * np.exp(-4)))
    model = encoded_logits(task, examples, tokenizer, [0, 1, 0, 0, 3, 4])
    assert task.score(*model)["f1"] == 0.5
    assert [row["recall"] for row in task.by_label(*model)] == [1.0, 0.0]  # Of bad and good.
    differing, difference, shown = task.compared(examples, dense, task, model)
    assert differing.tolist() == [True, False, False, False]
    assert difference.tolist() == pytest.approx([1 / 3, 0, 0, 0])
    assert [one[0] for one in shown] == ["film I-good", "film I-good", "film O"]
    for split, name in (("test", "predictions.conll"), ("dev", "tokens.dev.conll")):
        task.write_predictions(split, examples, model[1], model[0], str(tmp_path))
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text == (
            "a\tO\ngood\tB-good\nfilm\tO\n\n\u200b\tO\n\n\ncold\tB-bad\nend of\u00a01\tI-bad\n\n"
        )


def test_entities_of_texts(task, vocab_file):
    service = services.get(task, Tokenizer(vocab_file), 16)
    text = "Ünd 🙂 good film the cold film bad"
    tags = ["O", "O", "B-good", "I-good", "I-good", "B-bad", "I-good", "I-bad"]
    labels = tf.constant([["O", *tags, "O"], ["O"] * 10])
    texts = tf.constant([text, "the"])
    ids = service.features({"text": texts})["input_word_ids"]
    found = service.text_answers({"labels": labels}, {"text": texts}, ids)
    names = ("entities", "entity_types", "entity_starts", "entity_ends")
    rows = list(zip(*(found[name][0].numpy().tolist() for name in names), strict=True))
    assert rows == [
        (b"good film the", b"good", 6, 19),
        (b"cold", b"bad", 20, 24),
        (b"film", b"good", 25, 29),
        (b"bad", b"bad", 30, 33),
    ]
    assert text[6:19] == "good film the"
    assert found["entities"][1].numpy().tolist() == [b""] * 4
    plain = dataclasses.replace(task, labels=("A", "N"))
    answers = plain.text_answers({"labels": labels}, {"text": texts}, ids, service.tokenizer)
    assert "entities" not in answers and "words" in answers


def test_answers_of_texts_have_offsets_in_characters(task, vocab_file):
    tokenizer = Tokenizer(vocab_file)
    service = services.get(task, tokenizer, 9)
    texts = ["Ünd 🙂 good,film\u200b \u200d the", "", "a b c d e f g h i j"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def answer(texts):
        features = service.features({"text": texts})
        ids = features["input_word_ids"]
        labels = tf.broadcast_to(tf.strings.as_string(tf.range(tf.shape(ids)[1])), tf.shape(ids))
        return service.text_answers({"labels": labels}, {"text": texts}, ids)

    found = {name: tensor.numpy() for name, tensor in answer(tf.constant(texts)).items()}
    rows = list(zip(*(found[n] for n in ("words", "word_labels", "starts", "ends")), strict=True))
    for text, (words, _, starts, ends) in zip(texts, rows, strict=True):
        real = [
            (w.decode(), text[a:b]) for w, a, b in zip(words, starts, ends, strict=True) if a >= 0
        ]
        assert all(word == part for word, part in real)
    assert [w.decode() for w in rows[0][0]][:6] == [
        "Ünd",
        "🙂",
        "good",
        ",",
        "film\u200b",
        "\u200d",
    ]
    # Of the joiner alone there is no token.
    assert rows[0][1].tolist() == [b"1", b"2", b"3", b"4", b"5", b"O", b"6"]
    assert set(rows[1][0]) == {b""} and set(rows[1][2]) == {-1}
    assert rows[2][1].tolist() == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]  # Cut to the length.
    for empty in ([""], []):
        assert answer(tf.constant(empty, tf.string))["words"].shape == (len(empty), 0)


@pytest.fixture(scope="module")
def toy_dir(tmp_path_factory):
    """Sentences in which good and bad words are entities, and a film or plot after them too."""
    found = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    kinds = {"good": "good", "great": "good", "bad": "bad", "dull": "bad"}
    for split, number in (("train", 203), ("dev", 41), ("test", 5)):
        text = ""
        for _ in range(number):
            before = ""
            for word in rng.choice(["the", "a", "was", "film", "plot", *kinds], rng.integers(1, 9)):
                kind = kinds.get(word)
                tag = f"B-{kind}" if kind else "O"
                if word in ("film", "plot") and before != "O" and before:
                    tag = f"I-{before[2:]}"
                before = tag
                text += f"{word}\n" if split == "test" else f"{word}\t{tag}\n"
            text += "\n"
        (found / f"{split}.conll").write_text(text)
    return str(found)


def test_the_chain(toy_dir, options, export, tmp_path):
    dense, factorized, compact, exported = (str(tmp_path / one) for one in "dfce")
    settings = {"task_name": "tokens", "data_dir": toy_dir, "max_seq_length": 10}
    settings["length_buckets"] = "10"  # Each width costs seconds.
    scores = finetuning.finetune(
        options(output_dir=dense, num_train_epochs=8, do_predict=True, **settings)
    )
    assert scores["dev"]["f1"] > 0.8
    assert model_dir.load_info(dense)["task"]["labels"] == [
        "O",
        "B-bad",
        "I-bad",
        "B-good",
        "I-good",
    ]
    words = (tmp_path / "d/predictions.conll").read_text().split("\n")
    given = open(os.path.join(toy_dir, "test.conll")).read().split("\n")
    assert [line.split("\t")[0] for line in words] == given
    stages.factorize(FactorizeOptions(dense, factorized, finetuned=True))
    batch = next(iter(_batches(toy_dir, dense)))
    np.testing.assert_allclose(
        bert_tf.load(factorized)(batch), bert_tf.load(dense)(batch), atol=1e-5
    )
    gated = options(
        init_checkpoint=factorized,
        target_sparsity=0.3,
        num_train_epochs=3,
        teacher=dense,
        **settings,
    )
    finetuning.finetune(gated)
    assert stages.remove_mask(RemoveOptions(gated.output_dir, compact)) < 1e-5
    found = stages.evaluate(EvaluateOptions(compact))
    assert found["dev"]["f1"] == pytest.approx(
        model_dir.load_info(gated.output_dir)["scores"]["dev"]["f1"]
    )
    report = export(compact, exported, format_names=["saved_model", "onnx"])
    assert report["scores"]["f1"] == pytest.approx(found["dev"]["f1"])
    formats = report["formats"]
    assert all("left_out" not in formats[name] for name in ("saved_model", "onnx"))
    assert (
        formats["onnx"]["scores"]["f1"] == report["scores"]["f1"] and formats["onnx"]["flips"] == 0
    )
    served = tf.saved_model.load(f"{exported}/1").signatures["text"]
    answers = served(text=tf.constant(["so  good film", "bad"]))
    assert answers["words"].numpy().tolist() == [[b"so", b"good", b"film"], [b"bad", b"", b""]]
    assert answers["word_labels"].shape == (2, 3) and answers["starts"][0].numpy().tolist() == [
        0,
        4,
        9,
    ]


def _batches(data_dir, folder):
    source = read_source(folder)
    task = registry.from_dict(source.info["task"])
    encoded = task.encode(task.read(data_dir, "dev"), source.tokenizer(), 10)
    yield {
        "input_word_ids": encoded.ids.to_tensor(0),
        "input_mask": tf.ones_like(encoded.ids).to_tensor(0),
        "input_type_ids": encoded.segments.to_tensor(0),
    }
