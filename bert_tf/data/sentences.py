"""Sentences of words, each perhaps with a tag: columns as of CoNLL, or JSON lines."""

import collections
import dataclasses
import os
import re

from bert_tf.data.examples import DataFile, check_alone
from flop_tf.files import json_file
from flop_tf.files.text_files import iterate_lines

#: Keys of JSON lines where none are named: of the words, and of their tags.
WORD_KEYS = ("tokens", "words")
TAG_KEYS = ("tags", "ner_tags", "labels")

# Where documents begin in the files of CoNLL-2003.
_DOCUMENT = "-DOCSTART-"
# A comment of CoNLL-U that says something, and the ids of its rows that are no words.
_NOTE = re.compile(r"#\s*(\S.*=|newdoc|newpar)")
_NO_WORD = re.compile(r"\d+[-.]\d+")


@dataclasses.dataclass(frozen=True)
class Sentences:
    """N sentences.

    Args:
      words: for each sentence the list of its words.
      tags: for each sentence the list of their tags, texts or classes, or None where the split has
        none.
      lines: for each sentence the list of the line numbers of its words.
    """

    words: list
    tags: list | None
    lines: list

    def __len__(self):
        return len(self.words)

    def take(self, indices):
        """Returns the sentences at `indices`, in that order.

        Args:
          indices: sequence of ints.
        """
        tags = None if self.tags is None else [self.tags[i] for i in indices]
        return Sentences([self.words[i] for i in indices], tags, [self.lines[i] for i in indices])


@dataclasses.dataclass(frozen=True)
class SentenceFile(DataFile):
    """A split as a file of words: an object a line in `.jsonl`, else a word a line in columns.

    Columns stand between tabs, or in lines without any between blanks. A blank line ends a
    sentence; a list without words is one. Comments of CoNLL-U and `-DOCSTART-` are left out.

    Args:
      file: path inside the data folder.
      word_column: number of the column from 1, or key of an object; "" is the first one, or one of
        `WORD_KEYS`.
      tag_column: the same of the tags; "" is the last one, or one of `TAG_KEYS`.
      tags_are_optional: whether the file may have no tags, as test files.
      excludes: files that must not lie next to it, since they could be meant as well.
    """

    word_column: str = ""
    tag_column: str = ""
    tags_are_optional: bool = False
    excludes: tuple = ()

    def read(self, data_dir):
        """Returns the `Sentences` of the file, their tags as texts.

        Args:
          data_dir: folder of the task.

        Raises:
          ValueError: if the file is missing, not UTF-8, has no words, or a row or an object that
            does not fit.
        """
        check_alone(data_dir, self.file, self.excludes)
        path = os.path.join(data_dir, self.file)
        read = self._objects if path.endswith(".jsonl") else self._columns
        words, tags, lines = read(path)
        if not any(words):
            raise ValueError(f"The data file {path!r} has no words.")
        return Sentences(words, tags, lines)

    def _columns(self, path):
        rows, size = list(_rows(path)), None
        for number, fields in rows:
            size = size or len(fields)
            if fields and len(fields) != size:
                raise ValueError(
                    f"The data file {path!r} must have {size} columns in each row, as in its first "
                    f"one, received {len(fields)} in line {number}; take tabs between the columns "
                    "if a word holds a blank."
                )
        if not size:
            return [], None, []
        columns = self._numbers(path, size)
        words, tags, lines = [[]], [[]], [[]]
        for number, fields in rows:
            if not fields:
                for parts in (words, tags, lines):
                    parts.append([])
            elif not (columns[0] and _NO_WORD.fullmatch(fields[0])):
                words[-1].append(fields[columns[0]])
                tags[-1].append(fields[columns[-1]])
                lines[-1].append(number)
        found = [[part for part in parts if part] for parts in (words, tags, lines)]
        return found if len(columns) == 2 else (found[0], None, found[2])

    def _numbers(self, path, size):
        """Returns the indexes of the columns: of the words and, if it is there, of the tags."""
        for name in ("word_column", "tag_column"):
            value = getattr(self, name)
            if value and not (value.isascii() and value.isdecimal() and int(value)):
                raise ValueError(
                    f"Argument `{name}` must be the number of a column of {path!r}, counted from "
                    f"1, received {value!r}."
                )
        word, tag = int(self.word_column or 1), int(self.tag_column or size)
        if self.tags_are_optional and word <= size and (tag > size or tag == word):
            return (word - 1,)
        if word > size or tag > size or word == tag:
            raise ValueError(
                f"The data file {path!r} must have words in column {word} and tags in another one, "
                f"{self.tag_column or 'the last'}, received rows of {size} columns; name them by "
                "`word_column` and `tag_column`."
            )
        return word - 1, tag - 1

    def _objects(self, path):
        words, tags, lines = [], [], []
        for number, line in enumerate(iterate_lines(path, "data file"), 1):
            if not line.strip():
                continue
            subject = f"Line {number} of the data file {path!r}"
            data = json_file.parse(line, json_file.Object, subject)
            own = _value(data, self.word_column, WORD_KEYS, subject)
            of_words = _value(data, self.tag_column, TAG_KEYS, subject, self.tags_are_optional)
            if of_words is not None and len(of_words) != len(own):
                raise ValueError(
                    f"{subject} must have a tag for each word, received {len(of_words)} for "
                    f"{len(own)} words."
                )
            words.append(own)
            tags.append(of_words)
            lines.append([number] * len(own))
        untagged = [number for number, one in enumerate(tags) if one is None]
        if untagged and len(untagged) < len(tags):
            raise ValueError(
                f"The data file {path!r} must have tags in all of its lines or in none, received "
                f"none for sentence {untagged[0] + 1}."
            )
        return words, None if untagged else tags, lines


def _rows(path):
    """Yields `(line number, fields)` of each row without comments.

    A blank line and the beginning of a document have no fields.
    """
    rows = []
    for number, line in enumerate(iterate_lines(path, "data file"), 1):
        if "\r" in line.rstrip("\r\n"):
            raise ValueError(
                f"The data file {path!r} must end its lines by LF or CRLF, received a lone CR in "
                f"line {number}; save it with line ends of Unix."
            )
        rows.append((number, _fields(line), line))
    sizes = collections.Counter(len(found) for _, found, line in rows if found and line[0] != "#")
    size, has_tabs = max(sizes, key=sizes.get, default=1), any("\t" in line for *_, line in rows)
    for number, found, line in rows:
        # A word may begin like a comment: #hashtag. With tabs one stands right after it.
        is_word = not line.startswith("#") or ("\t" in line and not line.startswith("# "))
        if is_word or not (has_tabs or len(found) != size or _NOTE.match(line)):
            yield number, [] if found[:1] == [_DOCUMENT] else found


def _fields(line):
    """Returns the fields of a line, none of a blank one."""
    if not line.strip():
        return []
    if "\t" in line:
        return [field.strip(" ") for field in line.rstrip("\r\n").split("\t")]
    return [field for field in line.rstrip("\r\n").split(" ") if field]


def _value(data, key, usual, subject, is_optional=False):
    """Returns the list of texts at a key of an object, or at the first usual one that it has."""
    keys = (key,) if key else usual
    found = next((one for one in keys if data.get(one) is not None), None)
    if found is None:
        if is_optional:
            return None
        raise ValueError(
            f"{subject} must have the key {' or '.join(map(repr, keys))}, received "
            f"{list(data)[:12]}."
        )
    json_file.check(data[found], list[str], f"{subject} must have a list of texts at {found!r}")
    return data[found]
