"""The curves of a training run."""

from typing import TYPE_CHECKING

import numpy as np

from seqclf.plotting.style import PALETTE, new_figure
from seqclf.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRAIN, _VALIDATION = PALETTE[:2]


def plot_history(history: History, *, title: str = "") -> "Figure":
    """Draw loss and accuracy by epoch: for training, and for validation where there is one.

    Args:
        history: What `fit` returned.
        title: What stands above.

    Returns:
        A matplotlib figure; `figure.savefig(path)` writes it.

    Raises:
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> from seqclf import History
        >>> from seqclf.plotting import plot_history
        >>> figure = plot_history(History({"loss": [2.0, 1.0], "accuracy": [0.2, 0.6]}))
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['mean NLL (nats)', 'accuracy (%)']
    """
    figure = new_figure(width=9, height=3.6)
    left, right = figure.subplots(1, 2)
    _draw_curves(left, history, "loss", 1.0)
    left.set_ylabel("mean NLL (nats)")
    left.set_ylim(bottom=0)
    _draw_curves(right, history, "accuracy", 100.0)
    right.set_ylabel("accuracy (%)")
    figure.suptitle(title)
    return figure


def _draw_curves(axes: "Axes", history: History, measure: str, scale: float) -> None:
    for name, label, colour in ((measure, "training", _TRAIN), (f"val_{measure}", "validation", _VALIDATION)):
        if name in history:
            values = scale * np.asarray(history[name])
            axes.plot(np.arange(1, len(values) + 1), values, label=label, color=colour, marker="o", markersize=3)
    if history.best_epoch is not None:
        axes.axvline(history.best_epoch + 1, color="0.6", linestyle="--", linewidth=1, label="best epoch")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
