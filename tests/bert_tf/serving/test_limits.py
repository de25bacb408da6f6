"""At which figures a format is left out."""

import pytest

from bert_tf.serving import formats
from bert_tf.serving.formats.limits import Limits

GOOD = {
    "largest_difference": 0.9,
    "percentile_99": 0.1,
    "median_difference": 0.01,
    "largest_angle": None,
    "flips": None,
    "scores": {},
    "lost_points": None,
}
LIMITS = Limits(
    largest_difference=0.9, percentile_99=0.2, largest_angle=0.1, flips=0.01, lost_points=0.5
)


@pytest.mark.parametrize(
    ("changes", "num_examples", "far"),
    [
        ({}, 1, ""),
        (
            {"largest_difference": 0.91},
            1,
            "a logit differs by 9.10e-01 of the largest one, above 0.9",
        ),
        (
            {"percentile_99": 0.21},
            1,
            "1 % of the logits differ by 2.10e-01 of the largest one or more, above 0.2",
        ),
        ({"largest_difference": None, "percentile_99": None}, 1, "a logit is no finite number"),
        ({"largest_angle": 0.1}, 1000, ""),
        ({"largest_angle": 0.11}, 100, "a vector has turned by 1.10e-01 in 1 - cos, above 0.1"),
        ({"flips": 0.01, "lost_points": 0.5}, 1000, ""),
        ({"flips": 0.011}, 1000, "1.10 % of the labels are other ones, above 1 %"),
        ({"lost_points": 0.51}, 400, "0.51 points of the score are lost, above 0.5"),
        ({"lost_points": -3.0}, 400, ""),
        # Four examples of fewer than 400 may flip.
        ({"flips": 4 / 67}, 67, ""),
        ({"flips": 5 / 67}, 67, "7.46 % of the labels are other ones, above 5.97 %"),
        ({"lost_points": 2.1}, 100, "2.10 points of the score are lost, above 2"),
    ],
)
def test_what_is_too_far_off(changes, num_examples, far):
    assert LIMITS.exceeded({**GOOD, **changes}, num_examples) == far


def test_fewer_bits_are_not_judged_by_their_largest_difference():
    """The figures of a model in int8 that loses nothing: one sentence of 600 is far off."""
    figures = {
        "largest_difference": 0.851,
        "percentile_99": 0.069,
        "median_difference": 0.0017,
        "largest_angle": None,
        "flips": 0.005,
        "lost_points": 0.5,
    }
    assert formats.FORMATS["litert_int8"].limits.exceeded(figures, 600) == ""
    assert "2.00 % of the labels" in formats.FORMATS["litert_int8"].limits.exceeded(
        {**figures, "flips": 0.02}, 600
    )
    for name in ("saved_model", "litert_float32", "onnx"):
        assert "a logit differs by" in formats.FORMATS[name].limits.exceeded(figures, 600)
