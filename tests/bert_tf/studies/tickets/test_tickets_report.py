import base64
import io
import json
import re

import matplotlib.image
import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.presentation import pages
from bert_tf.studies.tickets import tickets_report

for package in ("statsmodels", "krippendorff"):
    pytest.importorskip(package, reason="The extra `analysis` is not installed.")

CONFIG = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
)
PATTERNS = {
    "RTE super": {"block": 0.25, "other": 0.75},
    "nothing left": None,
    "RTE, norms": {"Block": 1.0},
}


@pytest.fixture(scope="module")
def masks():
    generator = np.random.default_rng(0)
    return {
        task: {
            seed: {"heads": generator.random([2, 2]) < 0.6, "ffn": generator.random([2]) < 0.6}
            for seed in (0, 1)
        }
        for task in ("RTE", "a|<b>")
    }


@pytest.fixture(scope="module")
def points():
    names = ("task", "kind", "level", "share_kept", "seed", "score")
    rows = [
        ("RTE", kind, level, 1 - level / 10, seed, start - level * slope + seed / 50)
        for kind, start, slope in (("winning", 0.7, 0.02), ("losing", 0.65, 0.1))
        for level in (1, 2)
        for seed in (0, 1)
    ]
    rows.append(("RTE", "dense", None, 1.0, 0, 0.66))
    return [dict(zip(names, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def report(masks, points):
    return tickets_report.gather(
        masks,
        points,
        config=CONFIG,
        baselines={"RTE": 0.527},
        patterns=PATTERNS,
        metrics={"RTE": "eval_accuracy"},
    )


def test_a_report_is_plain_data(report):
    assert report["super_tickets"]["RTE"]["level"] == 1
    assert len(report["curves"]) == 5 and len(report["sizes"]) == 4
    assert set(report["patterns"]) == {"RTE super", "RTE, norms"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def cells(markdown, title):
    lines = markdown.split(f"## {title}\n")[1].split("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def test_files(report, tmp_path):
    text = tickets_report.write(report, tmp_path / "report")
    assert (tmp_path / "report/tickets.md").read_text() == text
    assert json.loads((tmp_path / "report/tickets.json").read_text()) == report
    # (.68 + .70) / 2 against .66 of the dense model.
    assert cells(text, "Super tickets") == [
        ["RTE", "winning", "1", "eval_accuracy", "90.0%", "0.6900"]
        + ["0.0141", "0.1271", "0, 1", "0.5270"]
    ]
    dense = cells(text, "Scores")[-1]
    assert dense == ["RTE", "dense", "-", "eval_accuracy", "100.0%", "0.6600", "-", "-", "0"]
    assert [row[:2] for row in cells(text, "Agreement of seeds")] == [
        *[["RTE", "heads"], ["RTE", "ffn"], ["a\\|&lt;b>", "heads"], ["a\\|&lt;b>", "ffn"]]
    ]
    assert cells(text, "Labels alone") == [["RTE", "eval_accuracy", "0.5270"]]
    assert len(cells(text, "Size of the subnetworks")) == 4
    assert len(list((tmp_path / "report/figures").glob("*.png"))) == 9
    assert [row[0] for row in cells(text, "Survival over tasks")] == ["heads", "ffn"]
    assert [row[1] for row in cells(text, "Overlap of tasks")] == ["RTE, a\\|&lt;b>"] * 2
    assert cells(text, "Patterns of attention") == [
        ["RTE super", "25.0%", "75.0%", "-"],
        ["RTE, norms", "-", "-", "100.0%"],
    ]


def test_the_page_needs_no_other_file(report, tmp_path):
    tickets_report.write(report, tmp_path)
    page = (tmp_path / "tickets.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page
    assert "<b>" not in page and "a|&lt;b&gt;" in page
    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)">', page)
    assert [title for title, _ in pictures] == [
        "RTE: score against weights left",
        "Survival over tasks",
        "Overlap of tasks: heads",
        "Overlap of tasks: ffn",
        *(f"RTE: Jaccard index of seeds, {component}" for component in ("heads", "ffn")),
        *(f"a|&lt;b&gt;: Jaccard index of seeds, {name}" for name in ("heads", "ffn")),
        "Patterns of attention",
    ]
    for _, data in pictures:
        image = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))
        assert len(np.unique(image)) > 20


def test_masks_alone_and_points_alone(masks, points, tmp_path):
    text = tickets_report.write(tickets_report.gather(masks, []), tmp_path)
    titles = ["Agreement of seeds", "Survival over tasks", "Overlap of tasks"]
    assert re.findall("^## (.*)", text, re.M) == titles
    text = tickets_report.write(tickets_report.gather({}, points), tmp_path)
    assert re.findall("^## (.*)", text, re.M) == ["Super tickets", "Scores"]
    assert cells(text, "Super tickets")[0][-1] == "-" and "| score" in text


def test_dense_scores_alone(points, tmp_path):
    text = tickets_report.write(tickets_report.gather({}, points[-1:]), tmp_path)
    assert re.findall("^## (.*)", text, re.M) == ["Scores"]


def test_what_is_kept_of_weights(tmp_path):
    seeds = {
        0: {"heads": np.array([[0.5, 1.0]]), "ffn": np.array([0.25])},
        1: {"heads": np.array([[0.7, 0.8]]), "ffn": np.array([0.25])},
    }
    report = tickets_report.gather({}, [], kept={"RTE": seeds})
    found = report["kept"]["RTE"]
    assert found["seeds"] == [0, 1] and report["between_tasks"] == {}
    np.testing.assert_allclose(found["heads"]["mean"], [[0.6, 0.9]])
    np.testing.assert_allclose(found["heads"]["deviation"], [[0.02**0.5, 0.02**0.5]])
    text = tickets_report.write(report, tmp_path)
    assert re.findall("^## (.*)", text, re.M) == ["Kept by each head and FFN"]
    (heads, ffn) = cells(text, "Kept by each head and FFN")
    assert heads[3:] == ["0.7500", "0.6000", "0.9000", "0.1414"]
    assert ffn[1:] == ["ffn", "0, 1", "0.2500", "0.2500", "0.2500", "0.0000"]
    assert (tmp_path / "figures/rte-kept-over-seeds.png").is_file()


def test_small_numbers_keep_their_digits():
    assert [pages.number(x) for x in (None, 0.0, 2e-11, -0.25)] == [
        *("-", "0.0000", "2.0e-11", "-0.2500")
    ]


def test_nothing_to_report():
    with pytest.raises(ValueError, match="`masks`, `points` and `kept` must not all be empty"):
        tickets_report.gather({}, [])
