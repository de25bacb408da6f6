"""SQuAD 2.0: questions without an answer, and the official program as oracle."""

import json
import random

import numpy as np
import pytest
from official.nlp.tools import squad_evaluate_v2_0

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions
from bert_tf.models.bert import BertModel
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.tasks import model_task, registry, squad_examples
from bert_tf.tasks.squad2 import best_threshold
from bert_tf.tasks.squad_examples import SquadExamples
from bert_tf.tokenizers.tokenization import Tokenizer

COLOURS = "red green blue".split()
FILLING = "the a film plot was and very so".split()
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "which", "colour", "?", *COLOURS, *FILLING]
SETTINGS = {"doc_stride": 4, "max_query_length": 3, "n_best_size": 5, "max_answer_length": 2}
CONTEXT = "the red film was so very blue"


def question(name, *texts, impossible=None):
    answers = [{"text": text, "answer_start": CONTEXT.index(text)} for text in texts]
    impossible = not texts if impossible is None else impossible
    return {"id": name, "question": "Which?", "answers": answers, "is_impossible": impossible}


def examples(*qas):
    return SquadExamples([{"title": "", "paragraphs": [{"context": CONTEXT, "qas": list(qas)}]}])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "words.txt"
    path.write_text("\n".join(VOCAB) + "\n", "utf-8")
    return Tokenizer(str(path))


@pytest.fixture(scope="module")
def answered(tokenizer):
    """Four questions, two without an answer; logits point at a span, and by so much at [CLS]."""
    data = examples(question("0", "red film"), question("1", "blue"), question("2"), question("3"))
    task = registry.get("squad2", **SETTINGS)
    encoded = task.encode(data, tokenizer, 20)
    assert encoded.lengths.tolist() == [12] * 4
    logits = np.full([4, 2, 20], -1e9, np.float32)
    logits[:, :, :12] = 0
    # [CLS] which ? [SEP] the red ...: the paragraph begins at 4.
    spans = [(5, 6), (9, 10), (5, 5), (10, 10)]
    for row, ((start, end), none) in enumerate(zip(spans, (1, 3, 4, 9), strict=True)):
        logits[row, 0, start] = logits[row, 1, end] = 3.0
        logits[row, :, 0] = none
    return task, encoded, logits


def test_windows_without_an_answer(tokenizer):
    task = registry.get("squad2", **SETTINGS)
    data = examples(question("0", "red film"), question("1"))
    for training in (True, False):
        encoded = task.encode(data, tokenizer, 10, training)
        assert encoded.labels.tolist() == [[5, 6], [0, 0], [0, 0], [0, 0]]
    # Whatever the form, an answer that is in no words is not one that is impossible.
    lost = question("2", "red film")
    lost["answers"][0]["text"] = "blue film"
    encoded = task.encode(examples(*data.articles[0]["paragraphs"][0]["qas"], lost), tokenizer, 20)
    assert len(encoded) == 3
    trained = task.encode(
        examples(*data.articles[0]["paragraphs"][0]["qas"], lost), tokenizer, 20, True
    )
    assert len(trained) == 2


def test_scores_are_the_official_ones(answered):
    task, encoded, logits = answered
    scores = task.score(logits, encoded)
    # By a threshold of 0, question 1 (0 more for [CLS]) is answered, wrongly only "2" and "3" not.
    texts, differences = {"0": "red film", "1": "very blue", "2": "", "3": ""}, [-4, 0, 2, 12]
    official = squad_evaluate_v2_0.evaluate(encoded.articles, texts)
    assert scores["exact_match"] == pytest.approx(official["exact"] / 100) == 0.75
    for name in ("f1", "HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1"):
        assert scores[name] == pytest.approx(official[name] / 100)
    assert scores["HasAns_f1"] == pytest.approx((1 + 2 / 3) / 2) and scores["NoAns_f1"] == 1.0
    assert set(scores) == {"eval_loss", *task.metrics}
    *_, found = task._found(logits, encoded)
    assert list(found.values()) == pytest.approx(differences)


def test_the_threshold_is_tuned(answered):
    task, encoded, logits = answered
    # [CLS] has 3 more everywhere: 0 would answer "0" alone.
    logits = logits.copy()
    logits[:, :, 0] += 1.5
    assert task.score(logits, encoded)["HasAns_exact"] == 0.5
    tuned = task.tuned(logits, encoded)
    assert tuned.null_score_diff_threshold == 4.0  # Between 3 and 5.
    scores = tuned.score(logits, encoded)
    assert scores["f1"] == pytest.approx((1 + 2 / 3 + 2) / 4)
    assert scores["null_score_diff_threshold"] == 4.0
    assert registry.from_dict(tuned.to_dict()) == tuned
    assert task.tuned_as({"task": tuned.to_dict()}) == tuned and task.tuned_as({}) == task
    found, _ = model_task.find_task({"task": tuned.to_dict()}, null_score_diff_threshold=0.0)
    assert found.null_score_diff_threshold == 0.0
    fixed = registry.get("squad2", null_score_diff_threshold=-1)
    assert fixed.tuned(logits, encoded) is fixed


@pytest.mark.parametrize(
    ("differences", "gains", "expected"),
    [
        ([-1.0, 2.0, 4.0], [1, 1, -1], 3.0),
        ([-1.0, 2.0, 4.0], [1, -1, -1], 0.0),
        ([1.0, 2.0], [-1, -1], 0.0),
        ([-3.0, -2.0], [-1, -1], -4.0),
        ([2.0, 2.0, 3.0], [1, -1, 1], 4.0),
    ],
)
def test_thresholds(differences, gains, expected):
    found = best_threshold(np.array(differences), np.array(gains))
    assert found == expected


def test_predictions(answered, tmp_path):
    task, encoded, logits = answered
    task.write_predictions("dev", None, encoded, logits, tmp_path)
    names = ("predictions", "nbest_predictions", "null_odds")
    best, n_best, odds = (json.loads((tmp_path / f"{name}.json").read_text()) for name in names)
    assert best == {"0": "red film", "1": "very blue", "2": "", "3": ""}
    assert list(odds.values()) == pytest.approx([-4, 0, 2, 12])
    assert {one["text"] for one in n_best["2"]} >= {"", "red"}


@pytest.mark.parametrize(
    ("qas", "name", "sentence"),
    [
        ([question("0", "red"), question("1")], "squad", "none for '1'; .* of SQuAD 2.0, task sq"),
        (
            [question("0", "red", impossible=True)],
            "squad2",
            "to questions without `is_impossible` and to no others, received 1 for '0'",
        ),
        (
            [question("0", "red"), question("1", impossible=False)],
            "squad2",
            "`is_impossible` and to no others, received 0 for '1'",
        ),
    ],
)
def test_what_does_not_fit(tmp_path, qas, name, sentence):
    version = {"squad": "1.1", "squad2": "2.0"}[name]
    examples(*qas).write(tmp_path / f"dev-v{version}.json")
    with pytest.raises(ValueError, match=sentence):
        registry.get(name).read(tmp_path, "dev")
    assert json.loads((tmp_path / f"dev-v{version}.json").read_text())["version"] == "v2.0"


def test_files(tmp_path):
    with pytest.raises(ValueError, match="'train' from train-v2.0.json, but the folder"):
        registry.get("SQuAD2").read(tmp_path, "train")
    path = tmp_path / "dev-v2.0.json"
    examples(question("0"), question("1")).write(path)
    found = squad_examples.read(path, unanswerable=True)
    assert found.is_labelled and len(found) == 2
    data = json.loads(path.read_text())
    for qa in data["data"][0]["paragraphs"][0]["qas"]:
        del qa["is_impossible"], qa["answers"]
    path.write_text(json.dumps(data))
    assert not squad_examples.read(path, unanswerable=True).is_labelled


def test_a_whole_run(tokenizer, tmp_path):
    """A paragraph has one colour, the answer, or none."""
    rng, articles = random.Random(0), []
    for number in range(60):
        words = rng.choices(FILLING, k=rng.randint(3, 14))
        colour = rng.choice([None, *COLOURS])
        if colour:
            words.insert(rng.randint(0, len(words)), colour)
        text = " ".join(words)
        answers = []
        if colour:
            answers = [{"text": colour, "answer_start": f" {text} ".index(f" {colour} ")}]
        qa = {"id": str(number), "question": "Which colour?", "answers": answers}
        qa["is_impossible"] = not colour
        articles.append({"title": str(number), "paragraphs": [{"context": text, "qas": [qa]}]})
    SquadExamples(articles[:45]).write(tmp_path / "train-v2.0.json")
    SquadExamples(articles[45:]).write(tmp_path / "dev-v2.0.json")
    config = EncoderConfig(
        vocab_size=len(VOCAB),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=20,
        initializer_range=0.1,
    )
    model_dir.save(tmp_path / "m", BertModel(config), tokenizer)
    options = FinetuneOptions(
        task_name="squad2",
        data_dir=str(tmp_path),
        init_checkpoint=str(tmp_path / "m"),
        output_dir=str(tmp_path / "out"),
        max_seq_length=14,
        length_buckets="14",
        train_batch_size=16,
        learning_rate=1e-2,
        num_train_epochs=15,
        **SETTINGS,
    )
    scores = finetuning.finetune(options)["dev"]
    info = bert_tf.checkpoints.model_dir.load_info(options.output_dir)
    assert info["task"]["null_score_diff_threshold"] == pytest.approx(
        scores["null_score_diff_threshold"], rel=1e-6
    )
    again = stages.evaluate(EvaluateOptions(options.output_dir, output_dir=str(tmp_path / "e")))
    assert again["dev"] == pytest.approx(scores, rel=1e-5)
    predictions = json.loads((tmp_path / "e" / "predictions.json").read_text())
    official = squad_evaluate_v2_0.evaluate(articles[45:], predictions)
    assert official["f1"] / 100 == pytest.approx(scores["f1"], rel=1e-5)
    assert scores["f1"] > 0.3
