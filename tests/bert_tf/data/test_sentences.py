"""Files of sentences: columns and JSON lines, and what is refused in them."""

import json

import pytest

from bert_tf.data.sentences import SentenceFile

WORDS = [["New", "York", "#1"], ["x"]]
TAGS = [["B-a", "I-a", "O"], ["O"]]


def read(tmp_path, text, file="dev.conll", **settings):
    path = tmp_path / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return SentenceFile(file, **settings).read(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "New\tB-a\nYork\tI-a\n#1\tO\n\nx\tO\n",
        "New B-a\nYork I-a\n#1 O\n\n\n\nx O",
        "\ufeffNew  NNP   B-a \r\nYork NNP I-a\r\n#1 CD O\r\n \r\nx X O\r\n\r\n",
        "-DOCSTART- -X- O\n\nNew NNP B-a\nYork NNP I-a\n#1 CD O\n-DOCSTART- -X- O\nx X O\n",
        "# id = 1\n# text = New York\nNew B-a\nYork I-a\n#1 O\n\n# newpar id = 2\nx O\n",
        "-DOCSTART-\n\n# newdoc\nNew\tB-a\nYork\tI-a\n#1\tO\n\n# of\n#newpar\nx\tO\n",
        "# newdoc\nNew B-a\nYork I-a\n#1 O\n\n# newpar\nx O\n",
    ],
)
def test_columns(tmp_path, text):
    found = read(tmp_path, text)
    assert (found.words, found.tags) == (WORDS, TAGS) and len(found) == 2
    lines = text.split("\n")
    for words, numbers in zip(found.words, found.lines, strict=True):
        assert all(word in lines[n - 1] for word, n in zip(words, numbers, strict=True))
    assert found.take([1]).words == [["x"]] and found.take([1]).tags == [["O"]]


def test_named_columns_and_rows_of_conll_u_that_are_no_words(tmp_path):
    text = "# text = du pain\n1-2\tdu\t_\t_\n1\tde\tde\tADP\n2\tle\tle\tDET\n2.1\tx\tx\tX\n"
    text += "3\tpain cuit\tpain\tNOUN\n"
    found = read(tmp_path, text, word_column="2", tag_column="4")
    assert found.words == [["de", "le", "pain cuit"]] and found.tags == [["ADP", "DET", "NOUN"]]


def test_odd_words(tmp_path):
    found = read(tmp_path, "a\u00a0b O\n\u200b O\n# O\n")
    assert found.words == [["a\u00a0b", "\u200b", "#"]]
    assert read(tmp_path, "\tO\n").words == [[""]]


def test_a_comment_with_a_tab(tmp_path):
    found = read(tmp_path, "# id 52\tdomain=en\nthe _ _ O\nEU _ _ B-x\n")
    assert found.words == [["the", "EU"]] and found.tags == [["O", "B-x"]]
    assert read(tmp_path, "#\tO\nx\tN\n").words == [["#", "x"]]


def test_a_lone_carriage_return(tmp_path):
    with pytest.raises(ValueError, match="by LF or CRLF, received a lone CR in line 1; save it"):
        read(tmp_path, "a\tB-X\rb\tO\r\n")
    assert read(tmp_path, "a\tN\r\nb\tN\r\n").words == [["a", "b"]]


def test_test_files_may_lack_tags(tmp_path):
    found = read(tmp_path, "#x\ny\n\nz\n", tags_are_optional=True)
    assert found.words == [["#x", "y"], ["z"]] and found.tags is None
    assert found.take([0]).tags is None
    found = read(tmp_path, "x N\n", tags_are_optional=True, tag_column="3")
    assert found.words == [["x"]] and found.tags is None


@pytest.mark.parametrize("keys", [("tokens", "tags"), ("words", "labels"), ("w", "t")])
def test_json_lines(tmp_path, keys):
    rows = [dict(zip(keys, row, strict=True)) for row in zip(WORDS, TAGS, strict=True)]
    text = "\n\n".join(map(json.dumps, rows))
    named = {"word_column": "w", "tag_column": "t"} if keys[0] == "w" else {}
    found = read(tmp_path, text, "dev.jsonl", **named)
    assert (found.words, found.tags, found.lines) == (WORDS, TAGS, [[1, 1, 1], [3]])
    without = "\n".join(json.dumps({keys[0]: words}) for words in [*WORDS, []])
    found = read(tmp_path, without, "dev.jsonl", tags_are_optional=True, **named)
    assert found.tags is None and found.words == [*WORDS, []]


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        ("", {}, "dev.conll' has no words"),
        ("\n# only = a comment\n", {}, "has no words"),
        ("a O\nb O X\n", {}, "must have 2 columns in each row, .* received 3 in line 2; take tabs"),
        ("a\nb\n", {}, "words in column 1 and tags in another one, the last, received rows of 1 "),
        ("a O\n", {"tag_column": "3"}, "tags in another one, 3, received rows of 2 columns"),
        ("a O\n", {"word_column": "3", "tags_are_optional": True}, "words in column 3"),
        ("a O\n", {"word_column": "w"}, "`word_column` must be the number .* from 1, received 'w'"),
        ("a O\n", {"tag_column": "0"}, "`tag_column` must be the number .* from 1, received '0'"),
        (b"\xff O\n", {}, "must be UTF-8, received the byte 0xFF in line 1"),
    ],
)
def test_columns_that_are_refused(tmp_path, text, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path, text, **settings)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (['{"tokens": ["a"]}'], r"Line 1 of .* must have the key 'tags' or .*, received \['tokens"),
        (['{"text": "a"}'], "Line 1 of .* must have the key 'tokens' or 'words', received"),
        (['{"tokens": "a", "tags": ["O"]}'], "Line 1 of .* must have a list of texts at 'tokens'"),
        (['{"tokens": ["a"], "ner_tags": [0]}'], "must have a list of texts at 'ner_tags'"),
        (
            ['{"tokens": ["a"], "tags": []}'],
            "must have a tag for each word, received 0 for 1 words",
        ),
        (["", '{"tokens"'], "Line 2 of the data file .* must be JSON"),
        (['["a"]'], "Line 1 of the data file .* is damaged or of another kind"),
        (['{"tokens": [], "tags": []}'], "has no words"),
    ],
)
def test_json_lines_that_are_refused(tmp_path, rows, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path, "\n".join(rows), "dev.jsonl")


def test_tags_in_some_lines(tmp_path):
    text = '{"tokens": ["a"], "tags": ["O"]}\n{"tokens": ["b"]}\n'
    with pytest.raises(ValueError, match="tags in all of its lines or in none, .* sentence 2"):
        read(tmp_path, text, "test.jsonl", tags_are_optional=True)


def test_two_files_of_a_split(tmp_path):
    (tmp_path / "dev.txt").write_text("a O\n")
    with pytest.raises(ValueError, match="must have one of dev.conll and dev.txt, received both"):
        read(tmp_path, "a O\n", excludes=("dev.txt",))
