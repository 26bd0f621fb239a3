"""Does a command print what a page says? The page may leave lines out, and figures of trained models may differ."""

import re

_FIGURE = re.compile(r"\d\.\d{3,}")  # of a model; what is counted is written with fewer digits, and must be the same


def is_shown(page: str, printed: str) -> bool:
    """Tell whether the lines of a page stand in what was printed, one after another; `...` is any number of lines."""
    parts = [re.escape(part).replace("FIGURE", r"\d\.\d+") for part in _FIGURE.sub("FIGURE", page).split("...\n")]
    return re.search(r"(?:.*\n)*?".join(parts), printed, re.MULTILINE) is not None
