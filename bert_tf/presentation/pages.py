"""Tables and pictures as Markdown and as one HTML page that needs no other file.

A section is `(title, note, rows)`: rows are dicts of text by column, the note may be empty.
"""

import base64
import html
import os
import re

import pandas as pd

from flop_tf import files

_STYLE = """
:root { color-scheme: light dark; --text: #222; --line: #ccc; --band: #f3f3f3; --page: #fff }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --line: #555; --band: #2a2a2e; --page: #18181b }
}
body { font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em;
  color: var(--text); background: var(--page) }
table { border-collapse: collapse; margin: 1em 0; font-size: 14px }
th, td { border: 1px solid var(--line); padding: .25em .6em; text-align: left; white-space: nowrap }
th { background: var(--band) }
section { overflow-x: auto }
img { max-width: 100% }
pre { white-space: pre-wrap; font-size: 13px }
"""
# The characters that Markdown takes for a format; an underscore inside of a word is none.
_MARKS = re.compile(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])")


def write(folder, name, title, data, sections, pictures=None, parts=None, window=None):
    """Writes a report: `NAME.json`, `NAME.md`, `NAME.html`, and `figures/TITLE.png` of pictures.

    Args:
      folder: path of the report's folder; made where it is missing.
      name: of the files, without an ending.
      title: of the report, any text.
      data: the report as plain data, for the JSON file.
      sections: list of sections, see the module.
      pictures: dict by title of the bytes of a PNG; None for a report without PNG files.
      parts: list of pieces of HTML that make the page; None takes the sections, then the pictures.
      window: title of the page's window; None takes `title`.

    Returns:
      The report as Markdown.

    Raises:
      OSError: if a file cannot be written.
    """
    pictures = pictures or {}
    if parts is None:
        parts = [section(*one) for one in sections]
        parts += [picture(*one) for one in pictures.items()]
    for label, png in pictures.items():
        file = re.sub(r"\W+", "-", label).strip("-").lower()
        files.write_bytes(os.path.join(folder, "figures", f"{file}.png"), png)
    text = markdown(title, sections)
    files.write_json(os.path.join(folder, f"{name}.json"), data)
    files.write_text(os.path.join(folder, f"{name}.md"), text)
    files.write_text(os.path.join(folder, f"{name}.html"), page(window or title, title, parts))
    return text


def table(records, columns):
    """Returns records as rows of text.

    Args:
      records: iterable of dicts of plain data.
      columns: dict by title of the name of a field, of `(field, format)` with a format string such
        as "{:.1%}", or of a function that takes a record. None becomes "-", a list its entries
        with commas between them, a float the result of `number`.

    Returns:
      List of dicts of text by title.
    """
    return [
        {title: _cell(record, column) for title, column in columns.items()} for record in records
    ]


def number(value):
    """Returns a float as text of four digits, below 1e-4 in scientific notation; None as "-".

    Args:
      value: float or None.
    """
    if value is None:
        return "-"
    return f"{value:.1e}" if 0 < abs(value) < 1e-4 else f"{value:.4f}"


def markdown(title, sections):
    """Returns a Markdown text of a title and a list of sections.

    Args:
      title: any text.
      sections: list of sections, see the module.
    """
    parts = [f"# {escaped(title)}\n"]
    return "\n".join([*parts, *(markdown_section(*one) for one in sections)])


def markdown_section(title, note, rows):
    """Returns a section as Markdown.

    Args:
      title: any text.
      note: Markdown below the title, may be empty.
      rows: list of dicts of text by column; none is shown as "None.".
    """
    title = escaped(title)
    if not rows:
        return f"## {title}\n\nNone.\n"
    return "\n\n".join(part for part in (f"## {title}", note, markdown_table(rows)) if part)


def markdown_table(rows):
    """Returns rows, a list of dicts of text by column, as a Markdown table.

    Args:
      rows: list of dicts of text by column, at least one.
    """
    return f"{_frame(rows, escaped).to_markdown(index=False, disable_numparse=True)}\n"


def escaped(text):
    """Returns any text as Markdown that shows it, on one line.

    Args:
      text: any text, of any number of lines.
    """
    text = " ".join(_encodable(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\g<0>", text)


def page(title, heading, parts, style=""):
    """Returns an HTML page.

    Args:
      title: of the window, any text.
      heading: of the page, any text.
      parts: list of pieces of HTML, such as `section` and `picture` return.
      style: CSS of this page in addition to the style of all; default none.
    """
    body = "\n".join([f"<h1>{html.escape(heading)}</h1>", *parts])
    return _encodable(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def section(title, note, rows):
    """Returns a section as HTML.

    Args:
      title: any text.
      note: any text, may be empty.
      rows: list of dicts of text by column; none is shown as "None.".
    """
    with pd.option_context("display.max_colwidth", None):
        frame = _frame(rows, _encodable)
        shown = frame.to_html(index=False, border=0) if rows else "<p>None.</p>"
    title, note = html.escape(title), html.escape(note)
    return f"<section>\n<h2>{title}</h2>\n<p>{note}</p>\n{shown}\n</section>"


def picture(title, png):
    """Returns a section with a picture, the bytes of a PNG, as HTML.

    Args:
      title: any text.
      png: the bytes of a PNG.
    """
    data = base64.b64encode(png).decode("ascii")
    title = html.escape(title)
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f"<section>\n<h2>{title}</h2>\n{image}\n</section>"


def _cell(record, column):
    if callable(column):
        return column(record)
    field, form = (column, None) if isinstance(column, str) else column
    value = record[field]
    if value is None:
        return "-"
    if form:
        return form.format(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return number(value) if isinstance(value, float) else str(value)


def _frame(rows, change):
    return pd.DataFrame(
        [{change(name): change(cell) for name, cell in row.items()} for row in rows]
    )


def _encodable(text):
    """Returns text without the halves of characters that names of files or JSON may hold."""
    return text.encode(errors="replace").decode()
