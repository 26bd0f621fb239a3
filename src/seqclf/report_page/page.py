"""The page around the sections: one file that asks for nothing else, in light and dark, on a phone and on paper."""

import re
from collections.abc import Sequence
from importlib.resources import files

from seqclf.report_page.markup import Markup, join, tag

# Nothing is loaded and no script runs, whatever the data might smuggle in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

HEAT_LEVELS, STEP_LEVELS = 9, 5  # of shades: of a confusion matrix, and of what a step contributed


def _levels(selector: str, colour: str, count: int) -> str:
    """Return rules for `count` strengths of a background, of which the strongest still lets text be read."""
    return "".join(
        f"{selector}{level}{{background:rgba(var(--{colour}),{0.6 * level / count:.2f})}}"
        for level in range(1, count + 1)
    )


def _underlines(selector: str, colour: str, line: str) -> str:
    """Return a rule that underlines all but the weakest steps, for those who do not see the colour."""
    strong = ",".join(f".steps {selector}{level},.legend {selector}{level}" for level in range(2, STEP_LEVELS + 1))
    return f"{strong}{{border-bottom:3px {line} rgb(var(--{colour}))}}"


def style_sheet() -> str:
    """Return the styles of the page."""
    levels = _levels(".h", "heat", HEAT_LEVELS) + _levels(".p", "for", STEP_LEVELS)
    levels += _levels(".n", "against", STEP_LEVELS)
    levels += _underlines(".p", "for", "solid") + _underlines(".n", "against", "dotted")
    text = files("seqclf.report_page").joinpath("style.css").read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|(?<=\n)\s+|\n(?=\s)", "", text, flags=re.DOTALL).replace("LEVELS", levels)


def build_page(title: str, under_title: Markup, sections: Sequence[tuple[str, str, Markup]], footer: Markup) -> str:
    """Return the whole page.

    Args:
        title: The heading, and what the browser's tab says.
        under_title: What comes under it.
        sections: The anchor, the short name for the navigation, and the content of each.
        footer: What comes last.
    """
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(style_sheet())),
    ]
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]
    body = [
        tag("a", "Skip to the content", class_="skip", href="#content"),
        tag("header", tag("h1", title), under_title),
        tag(
            "div",
            tag("nav", tag("ul", *links), aria_label="Sections"),
            tag("main", *(content for _, _, content in sections), id="content"),
            class_="columns",
        ),
        tag("footer", footer),
    ]
    page = tag("html", tag("head", join(head, Markup("\n"))), tag("body", join(body, Markup("\n"))), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"
