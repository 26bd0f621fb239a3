"""Progress on stderr: a bar that moves smoothly where someone watches, and few lines in a log."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(shown: bool, unit: str, **options: Any) -> Any:
    """Return a bar for steps of some unit; one that is not shown costs nothing."""
    if not hasattr(sys.stderr, "write"):  # as in programs without a console
        return tqdm(disable=True, **options)
    interval = 0.1 if somebody_watches() else 10.0
    return tqdm(disable=not shown, mininterval=interval, unit=unit, dynamic_ncols=True, **options)


def somebody_watches() -> bool:
    """Whether stderr is a terminal or a notebook, where a line can be written over."""
    stream: Any = sys.stderr
    is_notebook = type(stream).__module__.startswith("ipykernel")  # which does not call itself a terminal
    return is_notebook or (hasattr(stream, "isatty") and stream.isatty())


def say(message: str) -> None:
    """Print a line on stderr, where there is one."""
    if hasattr(sys.stderr, "write"):
        print(message, file=sys.stderr)
