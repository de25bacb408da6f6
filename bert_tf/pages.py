"""Tables and pictures as Markdown and as one HTML page that needs no other file.

A section is `(title, note, rows)`: rows are dicts of text by column, the note may be empty.
"""

import base64
import html

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


def markdown(title, sections):
    """Returns a Markdown text of a title and sections."""
    parts = [f"# {_plain(title)}\n"]
    return "\n".join([*parts, *(markdown_section(*section) for section in sections)])


def markdown_section(title, note, rows):
    """Returns a section as Markdown."""
    if not rows:
        return f"## {title}\n\nNone.\n"
    table = pd.DataFrame(rows).map(_plain).to_markdown(index=False, disable_numparse=True)
    return "\n\n".join(part for part in (f"## {title}", note, f"{table}\n") if part)


def page(title, heading, parts):
    """Returns an HTML page.

    Args:
      title: of the window, any text.
      heading: of the page, any text.
      parts: pieces of HTML, such as `section` and `picture` return.
    """
    body = "\n".join([f"<h1>{html.escape(heading)}</h1>", *parts])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def section(title, note, rows):
    """Returns a section as HTML."""
    with pd.option_context("display.max_colwidth", None):
        table = pd.DataFrame(rows).to_html(index=False, border=0) if rows else "<p>None.</p>"
    title, note = html.escape(title), html.escape(note)
    return f"<section>\n<h2>{title}</h2>\n<p>{note}</p>\n{table}\n</section>"


def picture(title, png):
    """Returns a section with a picture, the bytes of a PNG, as HTML."""
    data = base64.b64encode(png).decode("ascii")
    title = html.escape(title)
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f"<section>\n<h2>{title}</h2>\n{image}\n</section>"


def _plain(text):
    """Returns text that Markdown shows as it is inside a table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
