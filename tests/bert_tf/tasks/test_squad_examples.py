"""Tests of bert_tf.tasks.squad_examples on a few articles."""

import copy
import json
import os

import pytest

from bert_tf.tasks import squad_examples


def article(title, *paragraphs):
    """A paragraph is `(context, (id, question, answer...), ...)`; answers are found in it."""
    return {
        "title": title,
        "paragraphs": [
            {
                "context": context,
                "qas": [
                    {
                        "id": name,
                        "question": question,
                        "answers": [{"text": a, "answer_start": context.index(a)} for a in answers],
                    }
                    for name, question, *answers in questions
                ],
            }
            for context, *questions in paragraphs
        ],
    }


ARTICLES = [
    article(
        "One",
        ("The cat sat.", ("a", "Who?", "cat", "The cat"), ("b", "What?", "sat")),
        ("It was red.", ("c", "How?", "red")),
    ),
    article("Two", ("Dogs bark.", ("d", "Who barks?", "Dogs"))),
    article("Three", ("Birds sing.", ("e", "Who?", "Birds"), ("f", "What?", "sing"))),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "squad.json"


def write(path, articles):
    path.write_text(json.dumps({"version": "1.1", "data": articles}), "utf-8")


def ids(examples):
    return [question["id"] for _, question in examples.questions()]


def test_read_and_write(path, tmp_path):
    data = copy.deepcopy(ARTICLES)
    data[0]["paragraphs"][0]["qas"][0]["is_impossible"] = False
    write(path, data)
    examples = squad_examples.read(path)
    assert examples.articles == ARTICLES
    assert len(examples) == 6 and examples.is_labelled
    context, question = next(examples.questions())
    assert context == "The cat sat." and question["question"] == "Who?"
    examples.write(tmp_path / "again.json")
    assert squad_examples.read(tmp_path / "again.json") == examples


def test_questions_without_answers(path):
    data = copy.deepcopy(ARTICLES[1:2])
    del data[0]["paragraphs"][0]["qas"][0]["answers"]
    write(path, data)
    assert not squad_examples.read(path).is_labelled


def test_take_leaves_out_what_has_no_question():
    examples = squad_examples.SquadExamples(ARTICLES)
    assert ids(examples.take(range(2))) == ["a", "b"]
    taken = examples.take([5, 2])
    assert ids(taken) == ["c", "f"]
    assert [len(article["paragraphs"]) for article in taken.articles] == [1, 1]
    assert len(examples.take([])) == 0


def test_first_answers():
    first = squad_examples.SquadExamples(ARTICLES).with_first_answers()
    assert [[a["text"] for a in q["answers"]] for _, q in first.questions()] == [
        ["cat"],
        ["sat"],
        ["red"],
        ["Dogs"],
        ["Birds"],
        ["sing"],
    ]


def test_answers_that_are_displaced(tmp_path):
    """A few are left out when they are read as words; of most the file must be wrong."""
    paragraph = {"context": "the cat sat on it", "qas": []}
    for number, start in enumerate([4, 5, 6]):
        answer = {"text": "cat", "answer_start": start}
        paragraph["qas"].append({"id": str(number), "question": "?", "answers": [answer]})
    articles = [{"title": "One", "paragraphs": [paragraph]}]
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"version": "1.1", "data": articles}))
    with pytest.raises(ValueError, match="2 of 3 elsewhere, such as 'cat' at 5 for '1'; `answer_s"):
        squad_examples.read(path)
    paragraph["qas"][1]["answers"][0]["answer_start"] = 4
    path.write_text(json.dumps({"version": "1.1", "data": articles}))
    assert len(squad_examples.read(path)) == 3


@pytest.mark.parametrize("num_examples", range(4))
def test_no_article_is_on_both_sides(num_examples):
    examples = squad_examples.SquadExamples(ARTICLES)
    for seed in range(5):
        rest, held = examples.split_by_article(num_examples, seed)
        assert len(rest) + len(held) == 6
        assert (len(held) >= num_examples) and bool(held.articles) == bool(num_examples)
        titles = [[a["title"] for a in part.articles] for part in (rest, held)]
        assert sorted(sum(titles, [])) == ["One", "Three", "Two"]
        assert len(held) < num_examples + 3  # The largest article has three questions.
    assert examples.split_by_article(2, 7) == examples.split_by_article(2, 7)
    assert len({str(examples.split_by_article(1, seed)) for seed in range(9)}) == 3


def test_an_article_must_be_left():
    examples = squad_examples.SquadExamples(ARTICLES)
    with pytest.raises(ValueError, match="must leave an article of the 3 with 6 .*, received 6"):
        examples.split_by_article(6, 0)


def change(path, value):
    """Returns the articles with another value at `path`; None takes the key away."""
    data = copy.deepcopy(ARTICLES)
    *steps, last = path
    node = data
    for step in steps:
        node = node[step]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return data


QAS = (0, "paragraphs", 0, "qas")


@pytest.mark.parametrize(
    ("articles", "sentence"),
    [
        (
            change((0, "paragraphs"), None),
            "must have the form of SQuAD, .* the key 'paragraphs' at '.data",
        ),
        (change((*QAS, 0, "question"), None), "expected the key 'question' at"),
        (change((*QAS, 0, "question"), 3), "expected 'str', received 'int' at '.*question'"),
        (change((*QAS, 0), "x"), "expected 'object', received 'str' at '.*qas"),
        (
            change((*QAS, 0, "answers", 0, "answer_start"), "x"),
            "expected 'int', received 'str' at '.*answer_start'",
        ),
        ({"a": 1}, "expected 'array', received 'object'"),
        (
            change((*QAS, 0, "question"), "\ud83d"),
            r"must be JSON: '\\ud83d' is half of a surrogate pair",
        ),
        ([], "has no questions"),
        (change((*QAS, 1, "id"), "a"), "must have each id once, received 'a' twice"),
        (change((*QAS, 1, "answers"), []), "an answer to each question, .* none for 'b'; .* 2.0"),
        (
            change((*QAS, 1, "answers", 0, "answer_start"), 10),
            "inside their context, received 'sat' at 10 of 12 characters for 'b'",
        ),
        (change((*QAS, 1, "answers", 0, "answer_start"), -1), "received 'sat' at -1 of 12"),
        (change((*QAS, 1, "answers", 0, "text"), " "), "received ' ' at 8 of 12"),
    ],
)
def test_what_does_not_fit(path, articles, sentence):
    write(path, articles)
    with pytest.raises(ValueError, match=sentence):
        squad_examples.read(path)


@pytest.mark.parametrize("data", [b"{", b'"\xe9"', b"", b'{"data":' + b"[" * 10**5])
def test_what_is_no_json(path, data):
    path.write_bytes(data)
    with pytest.raises(ValueError, match="squad.json' must be JSON"):
        squad_examples.read(path)


def test_no_file(path):
    with pytest.raises(ValueError, match="The data file '.*' does not exist"):
        squad_examples.read(path)


def test_no_regular_file(path):
    os.mkfifo(path)
    with pytest.raises(ValueError, match="must be a regular file, received a FIFO"):
        squad_examples.SquadFile(path.name).read(path.parent)


def test_real_file(shared):
    examples = squad_examples.read(shared / "data" / "squad" / "xquad.en.json")
    assert (len(examples), len(examples.articles)) == (1190, 48)
    rest, held = examples.split_by_article(200, seed=0)
    assert (len(rest), len(held)) == (978, 212)
