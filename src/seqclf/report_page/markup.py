"""HTML that cannot be broken by what it shows: text is escaped when it becomes part of a page, and only once."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

_VOID = {"br", "link", "meta"}
_JOINERS = "\u200c\u200d"  # without which scripts and emoji fall apart; they change the order of nothing
_LABEL = 40  # characters of a label or symbol that a page shows
_MOST_ROWS = 40  # of a table, of which more scroll
_TOLD = 200  # of them that it tells where it shows a part


class Markup(str):
    """HTML that is ready. Any other string is text, and is escaped where it is put into a page.

    Example:
        >>> from seqclf.report_page.markup import tag
        >>> print(tag("p", "1 < 2", tag("b", "&"), class_="note"))
        <p class="note">1 &lt; 2<b>&amp;</b></p>
    """

    __slots__ = ()


def visible(value: Any) -> str:
    r"""Return a value as text of which every character can be seen.

    Control characters, marks that turn the direction of text round, and halves of surrogate pairs, which no file in
    UTF-8 can hold, become what Python writes for them.

    Example:
        >>> print(visible("a\nb\u202e"), visible("é"))
        a\nb\u202e é
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in _JOINERS else one.encode("unicode_escape").decode() for one in text
    )


def cut(text: str, most: int) -> str:
    """Return a text of `most` characters at most; an ellipsis says that it goes on."""
    return text if len(text) <= most else text[: most - 1] + "…"


def escape(value: Any) -> Markup:
    """Return a value as HTML: `Markup` as it is, anything else as text."""
    return value if isinstance(value, Markup) else Markup(html.escape(visible(value)))


def join(parts: Iterable[Any], between: str = "") -> Markup:
    """Return the parts one behind the other."""
    return Markup(escape(between).join(map(escape, parts)))


def tag(element: str, *children: Any, **attributes: Any) -> Markup:
    """Return an element; `class_` and `aria_label` are the attributes class and aria-label, and None is left out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(visible(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{element}{written}>" + ("" if element in _VOID else f"{join(children)}</{element}>"))


def name_of(value: Any) -> Markup:
    """Return a label or symbol in an element of its own, so that its direction does not reach what is beside it."""
    text = str(value)
    return tag("bdi", cut(text, _LABEL), title=cut(text, _TOLD) if len(text) > _LABEL else None)


def scroll_box(name: str, content: Markup, *, is_tall: bool = False) -> Markup:
    """Return a box that scrolls by itself, with a keyboard too: sideways, and up and down where it is tall."""
    kind = "scroll tall" if is_tall else "scroll"
    return tag("div", content, class_=kind, tabindex=0, role="region", aria_label=name)


def table(caption: str, header: Sequence[Any], rows: Iterable[Sequence[Any]], kind: str | None = None) -> Markup:
    """Return a table in a box that scrolls; the first cell of each row is its name."""
    head = tag("tr", *(tag("th", cell, scope="col") for cell in header))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    whole = tag("table", tag("caption", tag("span", caption)), tag("thead", head), tag("tbody", *body), class_=kind)
    return scroll_box(caption, whole, is_tall=len(body) > _MOST_ROWS)


def section(anchor: str, heading: str, *content: Any) -> Markup:
    """Return a section of the page, which the navigation can point to."""
    return tag("section", tag("h2", heading), *content, id=anchor)


def percent(part: float) -> str:
    """Return a part of 1 in percent."""
    return f"{100 * part:.1f} %"


def in_percent(part: float) -> str:
    """Return a round part of 1 in percent, as scales have it."""
    return f"{100 * part:.0f} %"


def between(low: float, high: float) -> str:
    """Return an interval of parts of 1 in percent."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things in words: "1 class", "2 classes"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
