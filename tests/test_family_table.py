"""The table of families, heads and formats has all of them."""

import family_table

from bert_tf.families.family import FAMILIES
from bert_tf.heads.head import HEADS


def test_every_family_with_every_head_has_a_row():
    named = {name for names in family_table.FOLDERS for name in names.split(", ")}
    assert named == set(FAMILIES) and family_table.TASKS.keys() == set(HEADS)
    expected = [(family, head) for family in family_table.FOLDERS for head in sorted(HEADS)]
    assert family_table.rows(family_table.GUIDE.read_text(encoding="utf-8")) == expected


def test_a_table_is_replaced():
    text = "a\n\n| family | head | x |\n|---|---|---|\n| bert | mlm | - |\n\nb\n"
    assert family_table.rows(text) == [("bert", "mlm")]
    lines = ["| family | head |", "|---|---|", "| electra | span |"]
    found = family_table.replaced(text, lines)
    assert found == "a\n\n| family | head |\n|---|---|\n| electra | span |\n\nb\n"
