"""What is found wrong in the answers of an export."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.heads.span import MASKED
from bert_tf.models.bert import BertModel
from bert_tf.serving import services
from bert_tf.serving.comparison import Comparison
from bert_tf.serving.served_model import ServedModel
from bert_tf.tasks import registry
from bert_tf.tasks.squad import SquadTask
from bert_tf.tokenizers.tokenization import Tokenizer

CONFIG = {
    "vocab_size": 22,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 11,
    "initializer_range": 0.5,
}


@pytest.fixture
def compare(vocab_file):
    """Returns a comparison on random tokens and the answers that a SavedModel would give."""

    def compare(task, **head):
        service = services.get(task, Tokenizer(vocab_file), 11)
        model = BertModel(EncoderConfig(**CONFIG, **head))
        found = Comparison(model, service)
        signatures = ServedModel(model, service, 11).signatures()
        answers = []
        for signature, inputs in found.requests:
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            outputs = {name: t.numpy() for name, t in signatures[signature](**tensors).items()}
            answers.append(
                {k: v.astype(np.bytes_) if v.dtype == object else v for k, v in outputs.items()}
            )
        return found, answers

    return compare


@pytest.fixture
def classes(compare):
    return compare(registry.get("SST-2"))


def test_answers_of_the_model_are_right(classes):
    found, answers = classes
    figures = found.figures(answers)
    assert figures["largest_difference"] < 1e-6 and found.wrong_names(answers, True) == []
    assert (figures["flips"], figures["scores"], figures["lost_points"]) == (None, {}, None)
    assert found.wrong_names(answers, False) == ["label"]


def test_a_difference_is_of_the_largest_logit(classes):
    found, answers = classes
    largest = max(np.abs(outputs["logits"]).max() for outputs in answers)
    answers[-1]["logits"][3, 1] += 7
    # Formats without texts do not answer the last.
    assert found.figures(answers[:-1])["largest_difference"] < 1e-6
    figures = found.figures(answers)
    assert figures["largest_difference"] == pytest.approx(7 / max(1.0, largest), rel=1e-4)
    assert figures["median_difference"] <= figures["percentile_99"] < 1e-6


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_of_what_is_no_number_there_are_no_figures(classes, number):
    found, answers = classes
    answers[0]["logits"][0, 0] = number
    figures = found.figures(answers)
    assert figures.pop("scores") == {} and set(figures.values()) == {None}


def test_what_does_not_follow_from_the_logits_is_named(classes):
    found, answers = classes
    first, *_, last = answers
    last["label"][5] = b"0" if last["label"][5] == b"1" else b"1"
    assert found.wrong_names(answers, True) == ["label"]
    first["probabilities"][0, 0] += 1e-3
    assert found.wrong_names(answers, True) == ["label", "probabilities"]
    del last["label"]
    first["extra"] = first["logits"]
    assert found.wrong_names(answers, True) == ["extra", "label", "probabilities"]
    del first["logits"]
    assert found.wrong_names(answers, True) == ["label", "logits"]


def test_probabilities_of_another_type_are_named(classes):
    found, answers = classes
    answers[0]["probabilities"] = answers[0]["probabilities"].astype(np.float16)
    assert found.wrong_names(answers, True) == ["probabilities"]


def test_spans(compare):
    """Padding's logit of -1e9 does not hide the others; tokens are those of the ids."""
    found, answers = compare(SquadTask(max_query_length=4), head="span")
    assert found.wrong_names(answers, True) == []
    assert found.figures(answers)["largest_difference"] < 1e-6
    padded = answers[0]["end_logits"] == MASKED
    answers[0]["end_logits"][padded] = -65504.0  # In float16.
    assert found.figures(answers)["largest_difference"] < 1e-6
    answers[0]["end_logits"][padded] = 0.0
    assert found.figures(answers)["largest_difference"] > 1e4
    answers[0]["end_logits"][padded] = MASKED
    answers[0]["end_logits"][0, 0] += 5
    assert found.figures(answers)["largest_difference"] > 0.1
    answers[-1]["tokens"][0, 0] = b"[SEP]"
    assert found.wrong_names(answers, True) == ["tokens"]


def test_labels_that_flip_are_counted(vocab_file, sst_dir):
    """On real sentences; those of the texts that are sent as they are do not count twice."""
    service = services.get(registry.get("SST-2"), Tokenizer(vocab_file), 11)
    found = Comparison(BertModel(EncoderConfig(**CONFIG)), service, sst_dir, 40)
    answers = [{key: value.copy() for key, value in one.items()} for one in found.source]
    assert found.figures(answers)["flips"] == found.figures(answers)["lost_points"] == 0
    answers[0]["logits"][:6] = answers[0]["logits"][:6, ::-1]
    answers[-1]["logits"][:] = answers[-1]["logits"][:, ::-1]
    figures = found.figures(answers)
    assert figures["flips"] == pytest.approx(6 / 40)
    before, after = found.scores(found.source), found.scores(answers)
    assert figures["scores"] == after
    lost = 100 * (before["eval_accuracy"] - after["eval_accuracy"])
    assert figures["lost_points"] == pytest.approx(lost) and lost != 0


def test_flips_of_several_labels_are_of_examples_and_numbers_have_none(vocab_file, tmp_path):
    rows = "text\ta\tb\n" + "good film\t1\t0\nbad film\t0\t1\n" * 4
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text(rows)
    columns = {"data_dir": str(tmp_path), "text_columns": "text", "label_column": "a,b"}
    for kind, wanted in (("labels", 1 / 8), ("number", None)):
        task = registry.get("tsv", label_type=kind, **columns)
        model = BertModel(EncoderConfig(**{**CONFIG, **task.head}))
        found = Comparison(model, services.get(task, Tokenizer(vocab_file), 11), str(tmp_path), 0)
        answers = [{key: value.copy() for key, value in one.items()} for one in found.source]
        name = "logits" if kind == "labels" else "scores"
        answers[0][name][0] = -answers[0][name][0]  # Both labels of one example.
        assert found.figures(answers)["flips"] == wanted
