import json
import math

import numpy as np
import pytest

from bert_tf.studies.tickets import ticket_scores, tickets_report


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
    rows = ticket_scores.curves(points)
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
    (row,) = ticket_scores.curves(dense)
    assert row["seeds"] == [0, 1, 2]
    rows = ticket_scores.curves([*dense, point(0.7), point(0.6, "random", seed=1)])
    assert rows[0]["kind"] == "dense" and rows[0]["seeds"] == [0, 1]
    assert rows[0]["mean"] == pytest.approx(0.65)
    assert ticket_scores.super_tickets(rows)["RTE"]["kind"] == "winning"


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
    found = ticket_scores.super_tickets(ticket_scores.curves(points))
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
        ticket_scores.curves([{**point(0.5), **changes}])


def test_a_point_without_a_field():
    wrong = point(0.5)
    del wrong["seed"], wrong["level"]
    with pytest.raises(ValueError, match=r"\['level', 'seed'\] is missing"):
        ticket_scores.curves([wrong])


def test_a_point_twice():
    with pytest.raises(ValueError, match=r"received two of \('RTE', 'winning', 1, 0\)"):
        ticket_scores.curves([point(0.5), point(0.6)])


def test_the_interval_is_students():
    # The quantile of Student's t with 4 degrees of freedom is 2.776, and n is 5.
    found = ticket_scores.over_seeds([0.5, 0.6, 0.7, 0.8, 0.9])
    deviation = math.sqrt(0.025)
    assert found["mean"] == pytest.approx(0.7) and found["deviation"] == pytest.approx(deviation)
    assert found["interval"] == pytest.approx(2.776 * deviation / math.sqrt(5), abs=1e-4)


def test_one_seed_has_no_spread():
    assert ticket_scores.over_seeds([0.5]) == {"mean": 0.5, "deviation": None, "interval": None}


def row(method, kind, trained, score, seed=0, share=0.5):
    names = ("task", "method", "kind", "trained", "score", "seed", "share_kept")
    return dict(zip(names, ("RTE", method, kind, trained, score, seed, share), strict=True))


ROWS = [
    row("lottery", "good", True, 0.6),
    row("lottery", "good", True, 0.7, seed=1, share=0.6),
    row("lottery", "good", False, 0.5),
    row("magnitude", "good", True, 0.75, share=0.7),
    row("magnitude", "bad", True, 0.4),
    row("super", "winning", True, 0.9),
    row(None, "dense", True, 0.9),
    row(None, "dense", True, 0.8, seed=1),
    row(None, "dense", True, 0.1, seed=2),  # Without subnetworks.
]


def test_means():
    found = ticket_scores.subnetworks(ROWS)
    assert [(each["method"], each["kind"], each["way"]) for each in found] == [
        ("structured", "good", "retrained"),
        ("structured", "good", "pruned"),
        ("magnitude", "good", "retrained"),
        ("magnitude", "bad", "retrained"),
        (None, "dense", "retrained"),
    ]
    assert found[0]["seeds"] == [0, 1] and round(found[0]["mean"], 6) == 0.65
    assert round(found[0]["share_kept"], 6) == 0.55


def test_the_table():
    found = tickets_report.subnetwork_table(
        ticket_scores.subnetworks(ROWS), {"RTE": 0.53}, {"RTE": "eval_accuracy"}
    )
    assert found == [
        {
            "task": "RTE",
            "metric": "eval_accuracy",
            "majority": "0.5300",
            "whole model": "0.8500 ± 0.0707 (2)",
            "subnetwork": "good",
            "weights left": "55.0% (structured), 70.0% (magnitude)",
            "structured pruned": "0.5000 (1)",
            "structured retrained": "0.6500 ± 0.0707 (2)",
            "magnitude retrained": "0.7500 (1)",
        },
        {
            **{"task": "RTE", "metric": "eval_accuracy", "majority": "0.5300"},
            **{"whole model": "0.8500 ± 0.0707 (2)", "subnetwork": "bad"},
            **{"weights left": "50.0% (magnitude)", "structured pruned": "-"},
            **{"structured retrained": "-", "magnitude retrained": "0.4000 (1)"},
        },
    ]
    assert tickets_report.subnetwork_table([], {}, {}) == []
