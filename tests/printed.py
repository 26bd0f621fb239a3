"""Does code print what a page says? And: put into a page what its code prints.

    python -m tests.printed docs/training.md ...

writes below each block of Python what it prints, as a block of text, where that is not what the page shows already. In
such a block `...` stands for any text: use it for what differs from run to run, such as seconds.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

_FIGURE = re.compile(r"\d\.\d{3,}")  # of a model; what is counted is written with fewer digits, and must be the same

# Trained models may differ from one processor to another: figures with a point may be off by so much of themselves, or
# by so much in all. What is counted must be the same.
RELATIVE, ABSOLUTE = 0.1, 0.05
_NUMBER = r"-?\d[\d,]*\.\d+(?:e[-+]?\d+)?"
_PIECE = re.compile(rf"(\.\.\.\n?|{_NUMBER}|(?<= )[+-]+$)", re.MULTILINE)  # the last are the bars of an explanation
_BLOCK = re.compile(r"^(?P<skipped><!-- skip: next -->\n\n)?```python\n(?P<code>.*?)^```\n(?P<shown>\n```text\n.*?^```\n)?", re.DOTALL | re.MULTILINE)


def is_shown(page: str, printed: str) -> bool:
    """Tell whether the lines of a page stand in what was printed, one after another; `...` is any number of lines."""
    parts = [re.escape(part).replace("FIGURE", r"\d\.\d+") for part in _FIGURE.sub("FIGURE", page).split("...\n")]
    return re.search(r"(?:.*\n)*?".join(parts), printed, re.MULTILINE) is not None


def is_all_shown(page: str, printed: str) -> bool:
    """Tell whether a page shows all that was printed, figures up to the tolerance; `...` is any text."""
    pieces = _PIECE.split(page)
    numbers = [piece for piece in pieces[1::2] if piece[-1].isdigit()]
    pattern = re.escape(pieces[0])
    for piece, plain in zip(pieces[1::2], pieces[2::2], strict=True):
        pattern += f"({_NUMBER})" if piece[-1].isdigit() else ".*?" if "." in piece else "[+-]*"
        pattern += re.escape(plain)
    found = re.fullmatch(pattern, printed, re.DOTALL)
    return found is not None and all(_is_near(*pair) for pair in zip(numbers, found.groups(), strict=True))


def _is_near(shown: str, printed: str) -> bool:
    one, other = (float(text.replace(",", "")) for text in (shown, printed))
    return abs(one - other) <= max(RELATIVE * abs(one), ABSOLUTE)


def run_captured(code: str, namespace: dict[str, Any]) -> str:
    """Run code, and return what it printed, without blanks at the ends of lines."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        exec(compile(code, "<page>", "exec", dont_inherit=True), namespace)  # the project's own pages
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


def fill_in(text: str) -> str:
    """Return a page with what its blocks print below them."""
    namespace: dict[str, Any] = {}

    def block(match: re.Match[str]) -> str:
        if match["skipped"]:
            return match[0]
        printed = run_captured(match["code"], namespace)
        shown = (match["shown"] or "").removeprefix("\n```text\n").removesuffix("```\n")
        if is_all_shown(shown, printed):
            return match[0]
        code = f"```python\n{match['code']}```\n"
        return code + (f"\n```text\n{printed}```\n" if printed else "")

    return _BLOCK.sub(block, text)


def main(names: list[str]) -> None:
    """Fill in the pages that are named."""
    pages = [Path(name).resolve() for name in names]
    for page in pages:
        before = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            after = fill_in(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"{page}: now shows what its code prints")


if __name__ == "__main__":
    main(sys.argv[1:])
