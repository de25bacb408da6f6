import json
import math

import numpy as np
import pytest

from bert_tf.studies.subnetworks import phase_curves


def point(score, kind="winning", level=1, share=0.9, seed=0, task="RTE"):
    names = ("task", "kind", "seed", "level", "share_kept", "score")
    return dict(zip(names, (task, kind, seed, level, share, score), strict=True))


def test_mean_and_deviation_over_seeds():
    points = [
        *(point(np.float32(score), seed=seed) for seed, score in enumerate((0.5, 0.7, 0.6))),
        point(0.4, level=(28, 2), share=0.8),
        point(0.3, level=3, share=0.95),
        point(0.8, "dense", None, 1.0),
        point(0.1, task="SST-2"),
    ]
    rows = phase_curves.curves(points)
    assert [(row["task"], row["kind"], row["level"]) for row in rows] == [
        ("RTE", "winning", 3),
        ("RTE", "winning", 1),
        ("RTE", "winning", (28, 2)),
        ("RTE", "dense", None),
        ("SST-2", "winning", 1),
    ]
    assert rows[1]["mean"] == pytest.approx(0.6) and rows[1]["seeds"] == [0, 1, 2]
    assert rows[1]["deviation"] == pytest.approx(0.1)
    assert rows[1]["interval"] == pytest.approx(4.303 * 0.1 / math.sqrt(3), abs=1e-4)
    assert rows[1]["share_kept"] == pytest.approx(0.9)
    assert rows[0]["deviation"] is None
    json.dumps(rows)


def test_the_dense_model_is_of_the_seeds_that_subnetworks_have():
    dense = [point(score, "dense", None, 1.0, seed) for seed, score in enumerate((0.8, 0.5, 0.2))]
    (row,) = phase_curves.curves(dense)
    assert row["seeds"] == [0, 1, 2]
    rows = phase_curves.curves([*dense, point(0.7), point(0.6, "random", seed=1)])
    assert rows[0]["kind"] == "dense" and rows[0]["seeds"] == [0, 1]
    assert rows[0]["mean"] == pytest.approx(0.65)
    assert phase_curves.super_tickets(rows)["RTE"]["kind"] == "winning"


def test_super_tickets():
    points = [
        *(point(score, seed=seed) for seed, score in enumerate((0.5, 0.7))),
        *(point(0.6, level=2, share=0.8, seed=seed) for seed in (0, 1)),
        point(0.9, level=3, share=0.7),
        point(0.9, "random", 2, 0.8),
        point(0.5, "dense", None, 1.0),
        point(0.5, task="SST-2"),
        point(0.6, "dense", None, 1.0, task="SST-2"),
        point(0.6, "random", task="QQP"),
    ]
    found = phase_curves.super_tickets(phase_curves.curves(points))
    # Equal scores: the smaller one. Level 3 has one seed only.
    assert {task: (row["kind"], row["level"]) for task, row in found.items()} == {
        "RTE": ("winning", 2),
        "SST-2": ("dense", None),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share_kept": 1.1}, r"`share_kept` must be in \[0, 1\], received 1.1"),
        ({"share_kept": math.nan}, r"`share_kept` must be in \[0, 1\], received nan"),
        ({"score": math.inf}, "`score` must be finite, received inf"),
    ],
)
def test_points_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        phase_curves.curves([{**point(0.5), **changes}])


def test_a_point_without_a_field():
    wrong = point(0.5)
    del wrong["seed"], wrong["level"]
    with pytest.raises(ValueError, match=r"\['level', 'seed'\] is missing"):
        phase_curves.curves([wrong])


def test_a_point_twice():
    with pytest.raises(ValueError, match=r"received two of \('RTE', 'winning', 1, 0\)"):
        phase_curves.curves([point(0.5), point(0.6)])
