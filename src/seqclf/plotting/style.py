"""What all pictures share: colours, markers, and a figure that belongs to no window."""

from typing import TYPE_CHECKING

from seqclf.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by people with any kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")


def plain_text(label: object) -> str:
    """Return a label as text in which dollars are no formula."""
    return str(label).replace("$", r"\$")


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure that belongs to no window and no global state."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # optional, so imported where it is needed
    except ImportError as error:
        raise MissingDependencyError(
            "matplotlib must be installed to draw; got no such package. Run pip install 'seqclf[plot]'."
        ) from error
    return Figure(figsize=(width, height), layout="constrained", dpi=150)
