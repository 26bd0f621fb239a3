"""What a model confuses, and whether it is as sure as it is right."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqclf.checks import check_int
from seqclf.errors import InvalidArgumentError
from seqclf.plotting.style import MARKERS, PALETTE, new_figure, plain_text
from seqclf.training.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_confusion(result: Evaluation, *, title: str = "") -> "Figure":
    """Draw the confusion matrix: each row is a true class, shaded by the share of each predicted class.

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
        >>> from seqclf import Evaluation
        >>> from seqclf.plotting import plot_confusion
        >>> result = Evaluation(np.full(4, 0.5), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ("cat", "dog"))
        >>> figure = plot_confusion(result)
        >>> figure.axes[0].get_xlabel()
        'predicted class'
    """
    size = len(result.classes)
    figure = new_figure(width=3.2 + 0.42 * size, height=2.4 + 0.38 * size)
    axes = figure.subplots()
    matrix = result.confusion_matrix
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            shade = "white" if share > 0.55 else "black"
            axes.text(column, row, f"{share * 100:.0f}", ha="center", va="center", fontsize=8, color=shade)
    names = [plain_text(label) for label in result.classes]
    axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), [f"{name} ({total:,})" for name, total in zip(names, matrix.sum(1), strict=True)])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (number of sequences)")
    axes.set_title(title or f"accuracy {result.accuracy:.1%}, macro-F1 {result.macro_f1:.3f}, n = {result.n:,}")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure


def plot_calibration(result: Evaluation | Mapping[Any, Evaluation], *, bins: int = 15, title: str = "") -> "Figure":
    """Draw a reliability diagram: how often answers are right, by how sure the model is of them.

    A model whose probabilities can be believed lies on the diagonal; below it, it is surer than it is right. Under the
    diagram stands how many of the answers each bin of confidence has; bins without any are left out.

    Args:
        result: What `evaluate` returned; or several results by name, such as those before and after `calibrate`.
        bins: How many bins of equal width the confidences are put into.
        title: What stands above.

    Returns:
        A matplotlib figure; `figure.savefig(path)` writes it.

    Raises:
        InvalidArgumentError: There is no result, `bins` is not a number from 1 up, or confidences are not known.
        MissingDependencyError: matplotlib is not installed.

    References:
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, section 2.

    Example:
        >>> import numpy as np
        >>> from seqclf import Evaluation
        >>> from seqclf.plotting import plot_calibration
        >>> labels, sure = np.array([0, 0, 1, 1]), np.array([0.9, 0.9, 0.6, 0.6])
        >>> result = Evaluation(np.full(4, 0.5), labels, np.array([0, 0, 0, 1]), ("cat", "dog"), confidences=sure)
        >>> figure = plot_calibration(result, bins=10)
        >>> figure.axes[0].get_ylabel()
        'part that is right (%)'
    """
    results = {"": result} if isinstance(result, Evaluation) else dict(result)
    if not results:
        raise InvalidArgumentError("result must hold at least one evaluation; got none. Pass what evaluate returned.")
    edges = 100 * np.linspace(0, 1, check_int("bins", bins) + 1)
    figure = new_figure(width=5.2, height=6.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 100], [0, 100], color="0.6", linestyle="--", linewidth=1)
    for number, (name, one) in enumerate(results.items()):
        counts, confidence, accuracy = one.reliability(bins)
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        label = f"{plain_text(name) + ', ' if name != '' else ''}calibration error {one.calibration_error(bins):.3f}"
        x, y = (100 * part[counts > 0] for part in (confidence, accuracy))
        upper.plot(x, y, marker=marker, markersize=5, label=label, clip_on=False, color=colour)
        lower.stairs(100 * counts / counts.sum(), edges, fill=len(results) == 1, linewidth=1.5, color=colour)
    upper.set_ylabel("part that is right (%)")
    upper.legend(loc="upper left", frameon=False)
    lower.set_xlabel("how sure the model is (%)")
    lower.set_ylabel("answers (%)")
    for axes in (upper, lower):
        axes.set_xlim(0, 100)
        axes.grid(alpha=0.3)
    upper.set_ylim(0, 100)
    figure.suptitle(title)
    return figure
