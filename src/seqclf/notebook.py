"""How results look in a notebook, and tables in a terminal."""

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


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Return a table as lines of text: the first `left` columns to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _row(tag: str, cells: Sequence[Any]) -> str:
    styled = zip(cells, [_LEFT] + [_RIGHT] * (len(cells) - 1), strict=True)
    return (
        "<tr>" + "".join(f'<{tag} style="{style}">{html.escape(str(cell))}</{tag}>' for cell, style in styled) + "</tr>"
    )
