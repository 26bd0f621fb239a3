"""Pictures of what training and evaluation measured. They need the extra `plot` (matplotlib)."""

from typing import TYPE_CHECKING

import numpy as np

from seqclf.errors import MissingDependencyError
from seqclf.training.evaluate import Evaluation
from seqclf.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_confusion", "plot_history"]

# Okabe and Ito's palette: told apart by people with any kind of colour vision.
_TRAIN, _VALIDATION = "#0072B2", "#D55E00"


def plot_confusion(result: Evaluation, *, title: str = "") -> "Figure":
    """Draw the confusion matrix: each row a true class, shaded by the part of it that got each predicted class.

    The number in a cell is that part in percent; cells under half a percent are left empty. The number of true members
    stands behind each class.

    Args:
        result: What `evaluate` returned.
        title: What stands above; by default accuracy and macro-F1.

    Returns:
        A matplotlib figure; `figure.savefig(path)` writes it.

    Raises:
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from seqclf import Evaluation, plot_confusion
        >>> result = Evaluation(np.full(4, 0.5), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ("cat", "dog"))
        >>> figure = plot_confusion(result)
        >>> figure.axes[0].get_xlabel()
        'predicted class'
    """
    size = len(result.classes)
    figure = _figure(width=3.2 + 0.42 * size, height=2.4 + 0.38 * size)
    axes = figure.subplots()
    matrix = result.confusion_matrix
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            shade = "white" if share > 0.55 else "black"
            axes.text(column, row, f"{share * 100:.0f}", ha="center", va="center", fontsize=8, color=shade)
    names = [str(label) for label in result.classes]
    axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), [f"{name} ({total:,})" for name, total in zip(names, matrix.sum(1), strict=True)])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (number of sequences)")
    axes.set_title(title or f"accuracy {result.accuracy:.1%}, macro-F1 {result.macro_f1:.3f}, n = {result.n:,}")
    figure.colorbar(image, ax=axes, label="part of the true class", shrink=0.8)
    return figure


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
        >>> from seqclf import History, plot_history
        >>> figure = plot_history(History({"loss": [2.0, 1.0], "accuracy": [0.2, 0.6]}))
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['mean NLL (nats)', 'accuracy (%)']
    """
    figure = _figure(width=9, height=3.6)
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


def _figure(width: float, height: float) -> "Figure":
    """Return an empty figure that belongs to no window and no global state."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # optional, so imported where it is needed
    except ImportError as error:
        raise MissingDependencyError(
            "matplotlib must be installed to draw; got no such package. Run pip install 'seqclf[plot]'."
        ) from error
    return Figure(figsize=(width, height), layout="constrained", dpi=150)
