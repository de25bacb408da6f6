"""Tests of bert_tf.data.table_rows: what spreadsheets and pandas write, and what only looks so."""

import csv

import pandas as pd
import pytest

from bert_tf.data import table_rows


def rows(tmp_path, content, quoting="minimal", file="a.tsv"):
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(table_rows.read(path, quoting))


@pytest.mark.parametrize(
    "content, expected",
    [
        ('"He said ""no"" and left"\tx\n', [(1, ['He said "no" and left', "x"])]),
        ('"a\tb"\tx', [(1, ["a\tb", "x"])]),
        ('a 5" pipe\tx\n', [(1, ['a 5" pipe', "x"])]),
        ('"a\nb\r\nc"\tx\nd\ty\n', [(1, ["a\nb\r\nc", "x"]), (4, ["d", "y"])]),
        ("a\tb\r\nc\td\r\n", [(1, ["a", "b"]), (2, ["c", "d"])]),
        ('\ufeff"a"\t"b"\n', [(1, ["a", "b"])]),
        ("a\u2028b\x85c\x0bd\x0ce\tx\n", [(1, ["a\u2028b\x85c\x0bd\x0ce", "x"])]),
        ('"a\rb"\tx\n', [(1, ["a\rb", "x"])]),
        ("a\tb\n\n  \n\t\nc\td\n\n\n", [(1, ["a", "b"]), (5, ["c", "d"])]),
        ('""\n', [(1, [""])]),
        ("'a\tb'\n", [(1, ["'a", "b'"])]),
    ],
)
def test_quoted(tmp_path, content, expected):
    assert rows(tmp_path, content) == expected


def test_without_quoting(tmp_path):
    content = '"a ""b"""\tx\n\n"c\ty\u2028\r\n'
    assert rows(tmp_path, content, "none") == [(1, ['"a ""b"""', "x"]), (3, ['"c', "y\u2028"])]


def test_commas(tmp_path):
    assert rows(tmp_path, '"a, b",c\td\n', file="a.csv") == [(1, ["a, b", "c\td"])]


@pytest.mark.parametrize("file, sep", [("a.tsv", "\t"), ("a.csv", ",")])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_pandas_writes(tmp_path, file, sep, quoting):
    texts = ['"', '""', 'a "b" c', "a\tb,c", "a\nb", " a ", "", "'", "\\", '\\"', "a\u2028b", "NA"]
    frame = pd.DataFrame({"text": texts, "label": "x"})
    frame.to_csv(tmp_path / file, sep=sep, quoting=quoting, index=False)
    header, *found = table_rows.read(tmp_path / file, "minimal")
    assert header == (1, ["text", "label"])
    assert [fields for _, fields in found] == [[text, "x"] for text in texts]


def test_a_document(tmp_path):
    assert rows(tmp_path, f'"{"a" * 200_000}"\tx\n')[0][1][0] == "a" * 200_000


def test_line_breaks_are_reported(tmp_path, caplog):
    with caplog.at_level("INFO", "absl"):
        rows(tmp_path, 'a\n"b\nc"\nd\n"e\n\nf"\n')
    assert (
        "a.tsv: line breaks inside of quotes in 2 rows, the first one begins in line 2."
        in (caplog.messages[0])
    )


@pytest.mark.parametrize(
    "content, message",
    [
        (
            'a\tx\n"b\ty\nc\tz\n',
            "a quote that no other one closes in the row .* in line 2; pass --q",
        ),
        (
            'a\n"b" c\n',
            "two quotes for one inside of a field, received characters after .* line 2;",
        ),
        (
            'a\n"b\nc" d\n',
            "after a closing quote in line 3, in the row that begins in line 2; pass",
        ),
        ("a\tb\rc\td\r", r"must end its lines by LF or CRLF, received a lone CR in line 1; save"),
        ("a\nb\rc\n", "received a lone CR in line 2"),
        (b"a\n\xe9\n", "must be UTF-8, received the byte 0xE9 in line 2"),
        ('"a\n\0"\n', "received a NUL byte in line 2"),
        ("a\tb\n".encode("utf-16"), "must be UTF-8, received UTF-16; save it as UTF-8"),
        ("a\tb\n".encode("utf-16-le"), "received a NUL byte in line 1"),
    ],
)
def test_what_is_no_table(tmp_path, content, message):
    with pytest.raises(ValueError, match=f"^The data file '.*a.tsv' .*{message}"):
        rows(tmp_path, content)


def test_old_line_ends_without_quoting(tmp_path):
    with pytest.raises(ValueError, match="received a lone CR in line 1"):
        rows(tmp_path, "a\tb\rc\td\r", "none")
    assert rows(tmp_path, "a\nb\rc\n", "none") == [(1, ["a"]), (2, ["b\rc"])]


@pytest.mark.parametrize("name, line", [("RTE", 25), ("STS-B", 700)])
def test_published_files_are_not_quoted(shared, name, line):
    path = shared / "data" / "glue" / name / "dev.tsv"
    with pytest.raises(ValueError, match=f"line {line}; pass --quoting=none"):
        list(table_rows.read(path, "minimal"))
