"""The curves of a study over its seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from seqclf.checks import check_choice
from seqclf.errors import InvalidArgumentError
from seqclf.plotting.style import MARKERS, PALETTE, new_figure
from seqclf.study.result import StudyResult, Summary, plain
from seqclf.study.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

View = Literal["epoch", "updates", "seconds"]
_VIEWS = {"epoch": "epoch", "updates": "updates (log)", "seconds": "training time (s, log)"}


def plot_study(
    result: StudyResult, by: str, *, views: Sequence[View] = ("epoch", "updates", "seconds"), title: str = ""
) -> "Figure":
    """Draw the curves of a study over its seeds: train and test loss, and test accuracy, for each value of an option.

    There is one row of panels for each view: by epoch, by number of updates, which is what a model has been changed by,
    and by seconds of training, the last two on logarithmic axes. Lines are means over the seeds, bands go from the
    least to the greatest. Seconds depend on the machine, and on what else ran on it.

    Args:
        result: What `run_study` returned with `curves=True` and `test_data`.
        by: The option that tells the lines apart, such as `"batch_size"`.
        views: What the horizontal axes show: of `"epoch"`, `"updates"` and `"seconds"`.
        title: What stands above.

    Returns:
        A matplotlib figure; `figure.savefig(path)` writes it.

    Raises:
        InvalidArgumentError: The study has no curves, or several rows of one value of the option.
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> from seqclf import SequenceDataset, run_study
        >>> from seqclf.plotting import plot_study
        >>> data = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 4)
        >>> grid = {"batch_size": [2, 8], "seed": [0, 1]}
        >>> base = {"hidden_size": 4, "epochs": 3}
        >>> result = run_study(data, grid, base=base, test_data=data, curves=True, progress=False)
        >>> figure = plot_study(result, "batch_size", views=["epoch"])
        >>> [axes.get_ylabel() for axes in figure.axes[:2]]
        ['mean NLL (nats)', 'test accuracy (%)']
    """
    rows = _check_study(result, by)
    if not views:
        raise InvalidArgumentError("views must name at least one view; got none. Pass, for instance, ['epoch'].")
    for view in views:
        check_choice("views", view, get_args(View))
    figure = new_figure(width=10.5, height=1.2 + 3.3 * len(views))
    panels = figure.subplots(len(views), 2, squeeze=False)
    for (left, right), view in zip(panels, views, strict=True):
        _draw_view(left, right, view, rows, by)
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(rows), frameon=False)
    seeds = min(row.n for row in rows)
    figure.suptitle(title or f"lines: mean over {seeds} seeds; bands: from the least to the greatest")
    return figure


def _draw_view(left: "Axes", right: "Axes", view: View, rows: list[Summary], by: str) -> None:
    """Draw the losses and the accuracies of all rows over one kind of horizontal axis."""
    for number, row in enumerate(rows):
        x = _positions(row, view)
        style = {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}
        name = f"{by.replace('_', ' ')} {_value(row, by)}"
        _draw_band(left, x, _curves(row, "train_loss"), f"{name}, train", linestyle="--", **style)
        _draw_band(left, x, _curves(row, "test_loss"), f"{name}, test", **style)
        _draw_band(right, x, 100 * _curves(row, "test_accuracy"), name, **style)
    left.set_ylabel("mean NLL (nats)")
    left.set_ylim(bottom=0)
    right.set_ylabel("test accuracy (%)")
    error = right.secondary_yaxis("right", functions=(_from_100, _from_100))
    error.set_ylabel("test error (%)")
    for axes in (left, right):
        _set_horizontal(axes, view)
        axes.grid(alpha=0.3)


def _from_100(percent: Any) -> Any:
    return 100 - percent


def _set_horizontal(axes: "Axes", view: View) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415  # optional

    axes.set_xlabel(_VIEWS[view])
    if view == "epoch":
        axes.locator_params(axis="x", integer=True)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _check_study(result: StudyResult, by: str) -> list[Summary]:
    """Return the rows to draw, those whose runs all broke off left out."""
    rows = result.summarise()
    if by == "seed" or by not in result.runs[0].options or len({str(_value(row, by)) for row in rows}) < len(rows):
        raise InvalidArgumentError(
            f"by must be an option that tells all rows of the study apart; got {by!r}, where "
            f"{', '.join(result.axes) or 'nothing'} varies. Study one option at a time, over seeds."
        )
    rows = [row for row in rows if row.n]
    if not all("train_loss" in run.history and "test_loss" in run.history for row in rows for run in _whole(row)):
        raise InvalidArgumentError(
            "result must have curves of train and test data; got none. Call run_study with curves=True and test_data."
        )
    if not rows:
        raise InvalidArgumentError("result must have a run that went well; got none. Lower the learning rate.")
    return rows


def _value(row: Summary, by: str) -> Any:
    return plain(row.runs[0].options[by])


def _whole(row: Summary) -> list[Run]:
    return [run for run in row.runs if run.error is None]


def _curves(row: Summary, measure: str) -> npt.NDArray[np.float64]:
    """Return a measure by epoch of each run that went well, cut to the shortest: shape (seeds, epochs)."""
    runs = [run.history[measure] for run in _whole(row)]
    shortest = min(map(len, runs))
    return np.array([values[:shortest] for values in runs])


def _positions(row: Summary, view: View) -> npt.NDArray[np.float64]:
    """Return where the epochs of a row stand on the horizontal axis."""
    if view == "epoch":
        return np.arange(1.0, 1 + _curves(row, "loss").shape[1])
    return np.cumsum(_curves(row, "steps" if view == "updates" else "seconds").mean(0))


def _draw_band(axes: "Axes", x: Any, values: npt.NDArray[np.float64], name: str, **style: Any) -> None:
    axes.plot(x, values.mean(0), label=name, markersize=3, **style)
    axes.fill_between(x, values.min(0), values.max(0), color=style["color"], alpha=0.18, linewidth=0)
