"""Any text as Markdown and HTML: names of others are shown, not taken for formats."""

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
