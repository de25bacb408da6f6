"""Rows of tables in text files: fields between tabs, in `.csv` files between commas, or JSON.

The `csv` module reads them and not pandas, whose rows have no line numbers once a field holds a
line break or a blank line was skipped, so that no error could name the line. pandas also fills
short rows with NaN and takes a field too many for an index.
"""

import csv
import json

from absl import logging

from flop_tf.files import json_file
from flop_tf.files.text_files import iterate_lines

#: How a file quotes its fields: as spreadsheets and pandas do where a field needs it, or never.
QUOTINGS = ("minimal", "none")


def delimiter(path):
    """Returns the character between the fields of a file: a comma in `.csv` files, else a tab.

    Args:
      path: of the file.
    """
    return "," if str(path).endswith(".csv") else "\t"


def read(path, quoting):
    r"""Yields `(line number, fields)` for each row of a table; blank lines are no rows.

    With `quoting="minimal"` a field may stand in quotes, with two of them for one inside, and may
    then hold the delimiter and line breaks. With "none" a quote is a character as any other.

    Of a `.jsonl` file, an object a line, the keys of the first one are the first row; numbers and
    truth values become texts, null an empty one and lists tuples; objects stay. A key that a later
    line lacks is None.

    Args:
      path: the file.
      quoting: one of `QUOTINGS`, not of JSON lines.

    Raises:
      ValueError: if the file cannot be read as text, its quotes do not fit, or a line is no object.
    """
    if str(path).endswith(".jsonl"):
        yield from _objects(path)
    elif quoting == "none":
        yield from _unquoted(path)
    else:
        yield from _quoted(path)


def _objects(path):
    keys = None
    for number, line in enumerate(iterate_lines(path, "data file"), 1):
        if not line.strip():
            continue
        subject = f"Line {number} of the data file {str(path)!r}"
        found = json_file.parse(line, json_file.Object, subject, unique_keys=True)
        if keys is None:
            keys = list(found)
            if not keys:
                raise ValueError(f"{subject} must have the keys of all others, received none.")
            yield number, keys
        yield number, [_text(found[key]) if key in found else None for key in keys]


def _text(value):
    """Returns a value as a text, that of none is empty, or a list as a tuple, or an object."""
    if value is None:
        return ""
    if isinstance(value, list):
        return tuple(value)
    return value if isinstance(value, str | dict) else json.dumps(value)


def _unquoted(path):
    separator = delimiter(path)
    for number, line in enumerate(iterate_lines(path, "data file"), 1):
        line = line.removesuffix("\n").removesuffix("\r")
        if number == 1 and "\r" in line:  # Later ones are characters of texts.
            raise ValueError(_reason(path, 1, 1, "new-line character"))
        if line.strip():
            yield number, line.split(separator)


def _quoted(path):
    csv.field_size_limit(2**31 - 1)  # Some documents are longer than the default, 131,072.
    reader = csv.reader(iterate_lines(path, "data file"), delimiter=delimiter(path), strict=True)
    number, long_rows = 1, []
    try:
        for fields in reader:
            # Spreadsheets add lines of blank fields; a line of two quotes is an empty text.
            if fields == [""] or any(map(str.strip, fields)):
                yield number, fields
            if reader.line_num > number:
                long_rows.append(number)
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(_reason(path, number, reader.line_num, str(error))) from error
    if long_rows:
        logging.info(
            "%s: line breaks inside of quotes in %d rows, the first one begins in line %d.",
            path,
            len(long_rows),
            long_rows[0],
        )


def _reason(path, first, last, error):
    origin = f"The data file {str(path)!r}"
    if error.startswith("new-line character"):
        return (
            f"{origin} must end its lines by LF or CRLF, received a lone CR in line {last}; save "
            "it with line ends of Unix, and put texts with line breaks in quotes."
        )
    if error.startswith("unexpected end"):
        what = f"a quote that no other one closes in the row that begins in line {first}"
    else:
        what = f"characters after a closing quote in line {last}"
        what += f", in the row that begins in line {first}" if first < last else ""
    return (
        f"{origin} must quote fields as spreadsheets do, with two quotes for one inside of a field,"
        f" received {what}; pass --quoting=none if quotes have no meaning in it."
    )
