"""Any text as Markdown and HTML: names of others are shown, not taken for formats."""

import json

import pytest

from bert_tf.presentation import pages

HOSTILE = [
    ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
    ("a|b", "a\\|b"),
    ("a\\|b", "a\\\\\\|b"),
    ("two\r\nlines\u2028and more", "two lines and more"),
    ("[x](javascript:alert)", "\\[x\\](javascript:alert)"),
    ("`rm` *all*", "\\`rm\\` \\*all\\*"),
    ("_it_ model_dir __x", "\\_it\\_ model_dir \\_\\_x"),
    ("&lt;b", "&amp;lt;b"),
    ("\ud800 alone", "? alone"),
    ("RTE/lr5e-5-seed0/gated-0.6", "RTE/lr5e-5-seed0/gated-0.6"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_markdown(text, shown):
    assert pages.escaped(text) == shown
    page = pages.markdown(text, [(text, "", [{text: text}])])
    title, _, heading, _, names, _, cells = page.splitlines()
    assert (title, heading) == (f"# {shown}", f"## {shown}")
    assert names.strip("| ") == cells.strip("| ") == shown


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE])
def test_html(text):
    parts = [pages.section(text, text, [{text: text}]), pages.picture(f'{text}"', b"png")]
    page = pages.page(text, text, parts)
    assert "<script" not in page and '"" src' not in page
    assert page.encode().decode() == page


def test_a_table_formats_by_field_format_or_function():
    records = [
        {"task": "RTE", "seeds": [0, 1], "mean": 0.5, "share": 0.25, "p": None, "number": 3},
        {"task": "QQP", "seeds": [], "mean": 2e-11, "share": None, "p": 0.0, "number": 40000},
    ]
    columns = {
        **{"task": "task", "seeds": "seeds", "mean": "mean", "p": "p"},
        "left": ("share", "{:.1%}"),
        "number": ("number", "{:,}"),
        "both": lambda row: f"{row['task']} {len(row['seeds'])}",
    }
    found = pages.table(records, columns)
    assert [list(row) for row in found] == [list(columns)] * 2
    assert [list(row.values()) for row in found] == [
        ["RTE", "0, 1", "0.5000", "-", "25.0%", "3", "RTE 2"],
        ["QQP", "", "2.0e-11", "0.0000", "-", "40,000", "QQP 0"],
    ]


def test_a_report_is_four_kinds_of_files(tmp_path):
    sections = [("Scores", "A note.", [{"task": "RTE"}])]
    pictures = {"RTE: kept, over seeds": b"png"}
    text = pages.write(tmp_path / "out", "diffs", "Title", {"a": 1}, sections, pictures)
    assert (tmp_path / "out/diffs.md").read_text() == text == pages.markdown("Title", sections)
    assert json.loads((tmp_path / "out/diffs.json").read_text()) == {"a": 1}
    assert (tmp_path / "out/figures/rte-kept-over-seeds.png").read_bytes() == b"png"
    page = (tmp_path / "out/diffs.html").read_text()
    assert page.count("<section>") == 2 and "<title>Title</title>" in page
    pages.write(tmp_path, "own", "Title", {}, sections, parts=["<hr>"], window="Window")
    page = (tmp_path / "own.html").read_text()
    assert "<section>" not in page and "<hr>" in page and "<title>Window</title>" in page
    assert not (tmp_path / "figures").exists()
