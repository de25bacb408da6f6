import json

import numpy as np
import pytest

from bert_tf import timing


def test_each_round_starts_with_another_call():
    order = []
    calls = [lambda name=name: order.append(name) for name in "abc"]
    seconds = timing.interleaved(calls, rounds=3, warmup_rounds=1)
    assert "".join(order) == "abcbcacababc"
    assert seconds.shape == (3, 3) and (seconds > 0).all()


def test_rounds_out_of_range():
    with pytest.raises(ValueError, match="`rounds` must be at least 1, received 0"):
        timing.interleaved([], rounds=0)
    with pytest.raises(ValueError, match="`warmup_rounds` must be at least 0, received -1"):
        timing.interleaved([], rounds=1, warmup_rounds=-1)


def test_summary():
    seconds = np.array([[1, 2], [1, 2], [10, 20], [1, 3], [2, 4]], float)
    columns = seconds.T[..., np.newaxis]
    slow, fast = timing.summary(columns, ["dense", "pruned"], ["dense"], batch_size=4)
    assert slow["ratios"] == {"dense": 1.0}
    # The slow third round is slow for both.
    assert fast["ratios"] == {"dense": 2.0}
    assert slow["p50_ms"] == 1000 and fast["p50_ms"] == 3000
    assert slow["p90_ms"] == pytest.approx(6800)
    assert slow["spread"] == 1.0 and slow["examples_per_second"] == 4


def test_environment():
    found = json.loads(json.dumps(timing.environment()))
    assert found["device"] and found["cores"] >= 1
    assert {"python", "tensorflow", "tf_keras", "flop-tf"} <= set(found["versions"])


def test_versions_are_of_what_is_there(monkeypatch):
    asked = ("tensorflow-text", "no-such-package")
    monkeypatch.setattr(timing, "_PACKAGES", asked)
    assert list(timing.environment()["versions"]) == ["python", "tensorflow-text"]
