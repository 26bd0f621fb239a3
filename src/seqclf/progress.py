"""Progress on stderr: a bar that moves smoothly where someone watches, and few lines in a log."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(shown: bool, unit: str, **options: Any) -> Any:
    """Return a bar for steps of some unit; one that is not shown costs nothing."""
    is_notebook = type(sys.stderr).__module__.startswith("ipykernel")  # which does not call itself a terminal
    interval = 0.1 if sys.stderr.isatty() or is_notebook else 10.0
    return tqdm(disable=not shown, mininterval=interval, unit=unit, dynamic_ncols=True, **options)
