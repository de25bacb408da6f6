from bert_tf.studies.subnetworks import subnetwork_table


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
    found = subnetwork_table.means(ROWS)
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
    found = subnetwork_table.table(
        subnetwork_table.means(ROWS), {"RTE": 0.53}, {"RTE": "eval_accuracy"}
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
    assert subnetwork_table.table([], {}, {}) == []
