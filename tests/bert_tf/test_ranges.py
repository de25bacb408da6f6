import math

import pytest

from bert_tf import ranges
from bert_tf.ranges import Range


@pytest.mark.parametrize(
    ("allowed", "text", "inside", "outside"),
    [
        (ranges.FINITE, "a finite number", [-1e30, 0], [math.inf, -math.inf, math.nan]),
        (ranges.FROM_0, "at least 0", [0, 5], [-1, math.inf]),
        (ranges.ABOVE_0, "above 0", [1e-30], [0, math.nan]),
        (Range(below=0), "below 0", [-1], [0, -math.inf]),
        (Range(at_most=100), "at most 100", [100, -1], [101]),
        (ranges.SHARE, "in [0, 1]", [0, 1], [-0.1, 1.1]),
        (ranges.SHARE_BELOW_1, "in [0, 1)", [0], [1]),
        (ranges.SHARE_ABOVE_0, "in (0, 1]", [1], [0]),
        (Range(above=0, below=1), "in (0, 1)", [0.5], [0, 1]),
    ],
)
def test_range(allowed, text, inside, outside):
    assert str(allowed) == text
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (int, "abc", "an integer"),
        (int, "", "an integer"),
        (int, "1.5", "an integer"),
        (int, "1_000", "an integer"),
        (int, "٣", "an integer"),
        (int, "９", "an integer"),
        (int, "9" * 5000, "an integer"),
        (float, "abc", "a number"),
        (float, "1_0.5", "a number"),
        (float, "१.५", "a number"),
        (int, "0", "at least 1"),
        (int, "100000000000", "at most 2147483647"),
        (float, "inf", "at least 1"),
        (float, "nan", "at least 1"),
        (float, "1e39", "at most 3.4028234663852886e+38"),
    ],
)
def test_texts_that_are_no_such_numbers(kind, text, expected):
    with pytest.raises(ValueError) as caught:
        ranges.parse("Flag `--n`", text, kind, ranges.FROM_1)
    assert str(caught.value).startswith(f"Flag `--n` must be {expected}, received ")


def test_numbers():
    assert ranges.parse("n", " 12 ", int, ranges.FROM_1) == 12
    assert ranges.parse("n", ".5", float, ranges.SHARE) == 0.5
    assert ranges.parse_list("n", "1, 2,3", int, ranges.FROM_1) == [1, 2, 3]
    assert ranges.parse_list("n", "", int, ranges.FROM_1) == []
    assert ranges.parse_list("n", "1,1.0", float, ranges.FROM_1) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,,2", "n must be integers with commas between them, received '1,,2'."),
        ("1,", "n must be integers with commas between them, received '1,'."),
        ("1;2", "n must be integers with commas between them, received '1;2'."),
        ("1,0", "n must be at least 1, received 0."),
        ("2, 1,2", "n must name each number once, received '2, 1,2'."),
    ],
)
def test_lists_of_no_such_numbers(text, sentence):
    with pytest.raises(ValueError) as caught:
        ranges.parse_list("n", text, int, ranges.FROM_1, distinct=True)
    assert str(caught.value) == sentence
