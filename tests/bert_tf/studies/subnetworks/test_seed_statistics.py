import math

import pytest

from bert_tf.studies.subnetworks import seed_statistics


def test_the_interval_is_students():
    # The quantile of Student's t with 4 degrees of freedom is 2.776, and n is 5.
    found = seed_statistics.over_seeds([0.5, 0.6, 0.7, 0.8, 0.9])
    deviation = math.sqrt(0.025)
    assert found["mean"] == pytest.approx(0.7) and found["deviation"] == pytest.approx(deviation)
    assert found["interval"] == pytest.approx(2.776 * deviation / math.sqrt(5), abs=1e-4)


def test_one_seed_has_no_spread():
    assert seed_statistics.over_seeds([0.5]) == {"mean": 0.5, "deviation": None, "interval": None}
