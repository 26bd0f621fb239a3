"""How long the sequences of a dataset are."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidDataError
from seqclf.plotting.style import PALETTE, new_figure, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES = 40  # more rows could not be read
_MOST_BINS = 60

Counts = npt.NDArray[np.int64]


def plot_lengths(dataset: SequenceDataset, *, title: str = "") -> "Figure":
    """Draw how long the sequences are: all of them, and those of each class.

    On the left is a histogram, over powers of ten where lengths differ a hundredfold. On the right each class has a
    row, the shortest on top: a box from the lower to the upper quartile with a mark at the median, and a line from the
    5th to the 95th percentile. Where classes differ here, length alone tells something about them. Of more than 40
    classes the 40 largest are shown.

    Args:
        dataset: Any dataset with at least one sequence.
        title: What stands above; by default the quartiles.

    Returns:
        A matplotlib figure; `figure.savefig(path)` writes it.

    Raises:
        InvalidDataError: The dataset is empty.
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> from seqclf import SequenceDataset
        >>> from seqclf.plotting import plot_lengths
        >>> figure = plot_lengths(SequenceDataset.from_pairs([("ab", "x"), ("a", "y"), ("abaab", "x")]))
        >>> [text.get_text() for text in figure.axes[1].get_yticklabels()]
        ['y (1)', 'x (2)']
    """
    if len(dataset) == 0:
        raise InvalidDataError("dataset must hold at least one sequence to be drawn; got none. Check the split.")
    lengths = dataset.lengths.numpy()
    own = _by_class(dataset)
    figure = new_figure(width=9.5, height=max(3.6, 1.2 + 0.26 * len(own)))
    left, right = figure.subplots(1, 2)
    left.hist(lengths, bins=_bins(lengths), color=PALETTE[0])
    left.set_ylabel("sequences")
    _draw_classes(right, own)
    for axes in (left, right):
        axes.set_xlabel("length (steps)")
        axes.grid(alpha=0.3, axis="x")
        if _is_wide(lengths):
            axes.set_xscale("log")
        else:
            axes.locator_params(axis="x", integer=True)
    quartiles = ", ".join(f"{one:g}" for one in np.percentile(lengths, [25, 50, 75]))
    figure.suptitle(title or f"{len(dataset):,} sequences; quartiles of the length {quartiles}")
    return figure


def _by_class(dataset: SequenceDataset) -> list[tuple[str, Counts]]:
    """Return the name and the lengths of each class that has any, the shortest first; of many classes the largest."""
    lengths, labels = dataset.lengths.numpy(), dataset.labels.numpy()
    counts = np.bincount(labels, minlength=len(dataset.classes)) if labels.ndim == 1 else labels.sum(0)
    shown = [index for index in np.argsort(-counts, kind="stable")[:_MOST_CLASSES] if counts[index]]
    own = [
        (
            f"{plain_text(dataset.classes[index])} ({counts[index]:,})",
            lengths[labels == index if labels.ndim == 1 else labels[:, index] == 1],
        )
        for index in shown
    ]
    return sorted(own, key=lambda pair: float(np.median(pair[1])))


def _draw_classes(axes: "Axes", own: list[tuple[str, Counts]]) -> None:
    rows = range(1, 1 + len(own))
    least, low, middle, high, most = np.array([np.percentile(lengths, [5, 25, 50, 75, 95]) for _, lengths in own]).T
    axes.hlines(rows, least, most, color=PALETTE[0], linewidth=1)
    axes.barh(rows, high - low, left=low, height=0.65, facecolor=PALETTE[5], edgecolor=PALETTE[0])
    axes.plot(middle, rows, linestyle="", marker="|", markersize=9, markeredgewidth=2, color=PALETTE[1])
    axes.set_ylim(0.4, len(own) + 0.6)
    axes.set_yticks(rows, [name for name, _ in own])
    axes.invert_yaxis()


def _is_wide(lengths: Counts) -> bool:
    return bool(lengths.min() > 0 and lengths.max() >= 100 * lengths.min())


def _bins(lengths: Counts) -> npt.NDArray[np.floating[Any]]:
    """Return the edges of a histogram: one bin for each length, while that is not too many."""
    low, high = int(lengths.min()), int(lengths.max())
    if _is_wide(lengths):
        return np.unique(np.geomspace(low, high + 1, _MOST_BINS + 1).round()) - 0.5  # whole steps in each
    width = -(-(high - low + 1) // _MOST_BINS)
    return np.arange(low, high + 1 + width, width) - 0.5
