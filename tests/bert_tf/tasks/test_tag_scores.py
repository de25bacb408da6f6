"""Scores of tags, by hand."""

import pytest

from bert_tf.tasks import tag_scores

TAGS = ("O", "B-a", "I-a", "B-b", "I-b")


def test_entities():
    # Right: the first a. Wrong: an a that is too short, a b where there is none.
    gold = [["B-a", "I-a", "O", "B-a", "I-a"], ["O"]]
    given = [["B-a", "I-a", "O", "B-a", "O"], ["B-b"]]
    found = tag_scores.score(TAGS, gold, given)
    assert tuple(found) == tag_scores.METRICS
    assert found["precision"] == pytest.approx(1 / 3) and found["recall"] == pytest.approx(1 / 2)
    assert found["f1"] == pytest.approx(2 / 5) and found["eval_accuracy"] == pytest.approx(4 / 6)
    rows = tag_scores.by_class(TAGS, gold, given)
    assert rows == [
        {"label": "a", "examples": 2, "precision": 0.5, "recall": 0.5, "f1_score": 0.5},
        {"label": "b", "examples": 0, "precision": 0.0, "recall": 0.0, "f1_score": 0.0},
    ]


def test_an_entity_may_begin_with_i_and_does_not_reach_into_the_next_sentence():
    assert tag_scores.score(TAGS, [["B-a", "I-a"]], [["I-a", "I-a"]])["f1"] == 1
    assert tag_scores.score(TAGS, [["B-a"], ["B-a"]], [["B-a"], ["I-a"]])["f1"] == 1


def test_ends_and_singles():
    tags = ("O", "B-a", "I-a", "E-a", "S-a")
    gold = [["B-a", "E-a", "S-a", "S-a"]]
    assert tag_scores.score(tags, gold, gold)["f1"] == 1
    assert tag_scores.by_class(tags, gold, gold)[0]["examples"] == 3


def test_of_no_entities():
    found = tag_scores.score(TAGS, [["O", "O"]], [["O", "O"]])
    assert found == {"precision": 0, "recall": 0, "f1": 0, "eval_accuracy": 1}
    assert [row["examples"] for row in tag_scores.by_class(TAGS, [["O"]], [["O"]])] == [0, 0]


def test_plain_tags():
    # Of A one of two is right and one prediction of two; of N all; V does not occur.
    gold, given = [["A", "N"], ["A"]], [["A", "N"], ["N"]]
    found = tag_scores.score(("A", "N", "V"), gold, given)
    assert found["eval_accuracy"] == pytest.approx(2 / 3)
    assert found["precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    rows = tag_scores.by_class(("A", "N", "V"), gold, given)
    assert [(row["label"], row["examples"]) for row in rows] == [("A", 2), ("N", 1), ("V", 0)]
    assert rows[0]["recall"] == 0.5
