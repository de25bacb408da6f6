"""Tables and pictures as Markdown and as one HTML page that needs no other file.

A section is `(title, note, rows)`: rows are dicts of text by column, the note may be empty.
"""

import base64
import html
import re

import pandas as pd

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0; font-size: 14px }
th, td { border: 1px solid #ccc; padding: .25em .6em; text-align: left; white-space: nowrap }
th { background: #f3f3f3 }
section { overflow-x: auto }
img { max-width: 100% }
pre { white-space: pre-wrap; font-size: 13px }
"""
# What Markdown takes for a format; inside of words an underscore is none.
_MARKS = re.compile(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])")


def markdown(title, sections):
    """Returns a Markdown text of a title and sections."""
    parts = [f"# {escaped(title)}\n"]
    return "\n".join([*parts, *(markdown_section(*section) for section in sections)])


def markdown_section(title, note, rows):
    """Returns a section as Markdown."""
    title = escaped(title)
    if not rows:
        return f"## {title}\n\nNone.\n"
    return "\n\n".join(part for part in (f"## {title}", note, markdown_table(rows)) if part)


def markdown_table(rows):
    """Returns dicts of text by column as a Markdown table."""
    table = _frame(rows, escaped).to_markdown(index=False, disable_numparse=True)
    return f"{table}\n"


def escaped(text):
    """Returns any text as Markdown that shows it, on one line."""
    text = " ".join(_encodable(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\g<0>", text)


def page(title, heading, parts):
    """Returns an HTML page.

    Args:
      title: of the window, any text.
      heading: of the page, any text.
      parts: pieces of HTML, such as `section` and `picture` return.
    """
    body = "\n".join([f"<h1>{html.escape(heading)}</h1>", *parts])
    return _encodable(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def section(title, note, rows):
    """Returns a section as HTML."""
    with pd.option_context("display.max_colwidth", None):
        frame = _frame(rows, _encodable)
        table = frame.to_html(index=False, border=0) if rows else "<p>None.</p>"
    title, note = html.escape(title), html.escape(note)
    return f"<section>\n<h2>{title}</h2>\n<p>{note}</p>\n{table}\n</section>"


def picture(title, png):
    """Returns a section with a picture, the bytes of a PNG, as HTML."""
    data = base64.b64encode(png).decode("ascii")
    title = html.escape(title)
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f"<section>\n<h2>{title}</h2>\n{image}\n</section>"


def _frame(rows, change):
    return pd.DataFrame(
        [{change(name): change(cell) for name, cell in row.items()} for row in rows]
    )


def _encodable(text):
    """Returns text without the halves of characters that names of files or JSON may hold."""
    return text.encode(errors="replace").decode()
