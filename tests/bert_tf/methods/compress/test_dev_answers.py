"""What models answer on dev, next to the dense model."""

import dataclasses
import json

import numpy as np
import pytest

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.compress.dev_answers import DevAnswers
from bert_tf.models.bert import BertModel
from bert_tf.runs import evaluation
from bert_tf.tasks import registry
from bert_tf.tasks import task as task_module
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras

TINY = EncoderConfig(
    vocab_size=22,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=16,
    initializer_range=0.5,
)


@pytest.fixture
def found(vocab_file, tmp_path):
    """Of a task and its folder: the answers of another model than the dense one, and their data."""

    def find(task, data_dir):
        tokenizer, folders, logits = Tokenizer(vocab_file), [], []
        examples = task.read(data_dir, "dev")
        encoded = task.encode(examples, tokenizer, 11)
        for seed in (0, 1):
            keras.utils.set_random_seed(seed)
            model = BertModel(dataclasses.replace(TINY, **task.head))
            folders.append(str(tmp_path / str(seed)))
            model_dir.save(folders[-1], model, tokenizer)
            logits.append(evaluation.predict(model, encoded, 16))
        return DevAnswers(task, data_dir, 11, 16, folders[0]), folders, examples, logits

    return find


def test_classes(sst_dir, found, monkeypatch):
    monkeypatch.setattr(task_module, "MOST_DIFFERENT", 5)
    task = registry.get("sst-2")
    answers, folders, examples, (dense, smaller) = found(task, sst_dir)
    report, labels = answers.of(folders[1]), examples.labels
    accuracy = np.mean(smaller.argmax(1) == labels)
    assert report["scores"]["eval_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert set(report["scores"]) == {"eval_loss", *task.metrics}
    names = [row["label"] for row in report["classes"]]
    assert [row["examples"] for row in report["classes"]] == np.bincount(labels).tolist()
    recall = np.mean(smaller.argmax(1)[labels == 1] == 1)
    assert report["classes"][1]["recall"] == pytest.approx(recall)
    flipped = dense.argmax(1) != smaller.argmax(1)
    different = report["different"]
    assert different["number"] == flipped.sum() > 5 == len(different["examples"])
    sizes = [one["difference"] for one in different["examples"]]
    first = [1 / (1 + np.exp(x[:, 1] - x[:, 0])) for x in (dense, smaller)]
    assert sizes == pytest.approx(np.sort(np.abs(first[0] - first[1])[flipped])[:-6:-1], abs=1e-6)
    for one in different["examples"]:
        row = examples.texts_a.index(one["texts"][0])
        assert one["label"] == names[labels[row]]
        assert one["dense"] == names[dense[row].argmax()] != one["model"]


def test_the_dense_model_differs_nowhere(sst_dir, found):
    answers, folders, *_ = found(registry.get("sst-2"), sst_dir)
    assert answers.of(folders[0])["different"] == {"number": 0, "examples": []}
    # A folder is looked at once.
    assert answers.of(folders[1]) is answers.of(folders[1])


def test_scores_of_pairs(pairs_dir, found):
    columns = {"text_columns": "first,second", "label_column": "score", "label_type": "number"}
    task = registry.get("tsv", data_dir=pairs_dir, **columns)
    answers, folders, examples, (dense, smaller) = found(task, pairs_dir)
    report = answers.of(folders[1])
    assert report["classes"] == []
    assert report["different"]["number"] == len(examples)
    one, *_, last = report["different"]["examples"]
    row = np.argmax(np.abs(dense - smaller)[:, 0])
    assert one["texts"] == [examples.texts_a[row], examples.texts_b[row]]
    assert one["label"] == examples.labels[row]
    assert (one["dense"], one["model"]) == pytest.approx((dense[row, 0], smaller[row, 0]))
    assert one["difference"] >= last["difference"]


def test_a_model_of_another_task(sst_dir, found):
    answers, folders, *_ = found(registry.get("sst-2"), sst_dir)
    config = dataclasses.replace(TINY, num_labels=3)
    other = f"{folders[0]}-other"
    model_dir.save(other, BertModel(config), model_dir.read(folders[0]).tokenizer())
    with pytest.raises(ValueError, match="needs head='classifier' and num_labels=2, but the model"):
        answers.of(other)


def test_spans_have_scores_alone(tmp_path, found):
    answer = {"text": "good", "answer_start": 13}
    question = {"id": "1", "question": "the film", "answers": [answer]}
    paragraph = {"context": "the film was good and the cast was great", "qas": [question]}
    data = {"version": "1.1", "data": [{"title": "film", "paragraphs": [paragraph]}]}
    (tmp_path / "dev-v1.1.json").write_text(json.dumps(data))
    task = registry.get("squad", max_query_length=3, doc_stride=4)
    answers, folders, *_ = found(task, str(tmp_path))
    report = answers.of(folders[1])
    assert report["scores"].keys() == {"eval_loss", "exact_match", "f1"}
    assert (report["classes"], report["different"]) == ([], None)
