"""How results look in a notebook."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

_LEFT, _RIGHT = "text-align:left", "text-align:right"


def html_table(caption: Iterable[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as HTML: lines of text above it, names to the left, figures to the right; text is escaped."""
    lines = "<br>".join(html.escape(line) for line in caption)
    head = _row("th", header)
    body = "".join(_row("td", row) for row in rows)
    return f"<p>{lines}</p><table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(tag: str, cells: Sequence[Any]) -> str:
    styled = zip(cells, [_LEFT] + [_RIGHT] * (len(cells) - 1), strict=True)
    return (
        "<tr>" + "".join(f'<{tag} style="{style}">{html.escape(str(cell))}</{tag}>' for cell, style in styled) + "</tr>"
    )
