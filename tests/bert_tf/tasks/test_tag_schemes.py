"""Tags of words: BIO, BIOES, IOB1 and plain ones."""

import pytest

from bert_tf.tasks import tag_schemes


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["I-a", "I-a", "O", "I-b", "I-a"], ["B-a", "I-a", "O", "B-b", "B-a"]),
        (["I-a", "B-a", "I-a"], ["B-a", "B-a", "I-a"]),  # IOB1 keeps its B- between two of a type.
        (["B-a", "I-a", "B-a"], ["B-a", "I-a", "B-a"]),
        (["S-a", "I-a", "E-a", "E-b"], ["S-a", "B-a", "E-a", "S-b"]),
        (["NOUN", "O", "X"], ["NOUN", "O", "X"]),
        ([], []),
    ],
)
def test_begins(tags, expected):
    assert tag_schemes.with_begins(tags) == expected
    assert tag_schemes.with_begins(expected) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"B-b": 1, "B-a-c": 2}, ("O", "B-a-c", "I-a-c", "B-b", "I-b")),
        (["O", "S-a"], ("O", "B-a", "I-a", "E-a", "S-a")),
        (["X", "O", "A", "B-"], ("O", "A", "B-", "X")),
        (["b", "a"], ("a", "b")),
    ],
)
def test_all_tags(tags, expected):
    assert tag_schemes.all_tags(tags) == expected


def test_parts_of_entities_next_to_plain_tags():
    with pytest.raises(ValueError, match="or none that do, received 'B-a' and 'NOUN'"):
        tag_schemes.all_tags(["B-a", "O", "NOUN"])
