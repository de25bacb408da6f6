"""Targets as users write them, and what they allow."""

import pytest

from bert_tf.methods.compress import targets
from bert_tf.methods.compress.targets import Target


@pytest.mark.parametrize(
    ("text", "cost", "names", "amounts"),
    [
        ("0.5,.33", "latency", ["0.5", "0.33"], [20.0, 13.2]),
        ("1", "bytes", ["1"], [40.0]),
        ("20ms, 12.5 ms", "latency", ["20ms", "12.5ms"], [0.02, 0.0125]),
        ("8MB", "bytes", ["8MB"], [8e6]),
        ("120M,66M", "parameters", ["120M", "66M"], [120e6, 66e6]),
        ("2.5G", "multiplications", ["2.5G"], [2.5e9]),
    ],
)
def test_shares_and_amounts(text, cost, names, amounts):
    found = targets.parse(text, cost)
    assert [str(target) for target in found] == names
    assert [target.amount(40.0) for target in found] == pytest.approx(amounts)
    assert found[0].times(0.5).amount(40.0) == pytest.approx(amounts[0] / 2)


@pytest.mark.parametrize(
    ("text", "cost", "sentence"),
    [
        ("", "latency", "must be shares such as .5,.33, or amounts in ms, MB, M, G .* received ''"),
        (".5,,.3", "latency", "must be shares such as .* received '.5,,.3'"),
        (".3,.5", "latency", "must fall from one to the next, .* '.3,.5'"),
        ("5ms,5ms", "latency", "must fall from one to the next"),
        ("0", "latency", r"must be in \(0, 1\], received 0"),
        ("1.5", "latency", r"must be in \(0, 1\], received 1.5"),
        ("nan", "latency", "must be shares such as .* received 'nan'"),
        ("1e999", "latency", r"must be in \(0, 1\], received inf"),
        ("x ms,20ms", "latency", "must be shares such as .* received 'x ms,20ms'"),
        ("5\n5", "latency", "must be shares such as"),
        ("-3ms", "latency", "must be above 0, received -3.0"),
        ("20ms,.5", "latency", "must be shares or have one unit, received '20ms,.5'"),
        ("20ms,8MB", "latency", "must be shares or have one unit"),
        ("20s", "latency", "must be shares such as .* received '20s'"),
        ("8MB", "latency", "in MB must come with the cost 'bytes', received 'latency'"),
        ("8ms", "bytes", "in ms must come with the cost 'latency', received 'bytes'"),
    ],
)
def test_errors(text, cost, sentence):
    with pytest.raises(ValueError, match=f"Argument `targets` {sentence}"):
        targets.parse(text, cost)


def test_a_target_is_plain():
    assert Target(0.5) == Target(0.5, "") and str(Target(0.25).times(0.5)) == "0.125"
