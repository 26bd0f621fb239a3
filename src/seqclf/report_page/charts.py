"""Charts as SVG within the page: colours come from its style sheet, so that they are right in the dark too.

Every chart has a title and a description for those who do not see it, and tells its lines apart by dashes as well.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from seqclf.report_page.markup import Markup, in_percent, join, tag

Floats = npt.NDArray[np.float64]

MOST_FEATURES = 3  # of measurements that are drawn
_WIDTH, _HEIGHT = 400, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 12, 36
_MOST_POINTS = 300  # of a line, more than a screen shows
_MOST_BARS = 80  # of a strip of scores


@dataclass(frozen=True)
class Line:
    """A line of a chart: y over x, of which what is not finite is a gap."""

    name: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Axes:
    """The scales of a chart: from data to places on it."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Return how far from the left a value stands."""
        low, high = self.x_range
        return round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        """Return how far from the top a value stands."""
        low, high = self.y_range
        return round(_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from `low` to `high`, evenly spaced.

    Example:
        >>> ticks(0, 2.3)
        [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def svg(anchor: str, title: str, description: str, *content: Markup, height: int = _HEIGHT) -> Markup:
    """Return a picture with what to say of it to those who do not see it."""
    told = (tag("title", title, id=f"{anchor}-t"), tag("desc", description, id=f"{anchor}-d"))
    labels = f"{anchor}-t {anchor}-d"
    return tag("svg", *told, *content, viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_labelledby=labels)


def line_chart(
    anchor: str,
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    written: Callable[[float], str] = "{:g}".format,
    mark: tuple[float, str] | None = None,
    lowest: float | None = None,
) -> Markup:
    """Return a figure of lines over one horizontal axis.

    Args:
        anchor: What its parts are named by in the page.
        title: What it shows.
        lines: Three at most.
        x_label: What the horizontal axis is.
        written: How a value of the vertical axis is written.
        mark: Where a vertical line stands, and what it means.
        lowest: Where the vertical axis begins; by default under the lowest value.
    """
    lines = [_thinned(line) for line in lines]
    known = np.concatenate([line.y[np.isfinite(line.y)] for line in lines])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    low = low if lowest is None else min(lowest, low)
    high = high if high > low else low + (abs(low) or 1.0)
    first, last = (float(end(end(line.x) for line in lines)) for end in (min, max))
    axes = Axes((first, last if last > first else first + 1), (low, high + 0.04 * (high - low)))
    drawn = [_grid(axes, x_label, written), *(_path(axes, line, number) for number, line in enumerate(lines, 1))]
    if mark is not None:
        x = axes.x(mark[0])
        drawn.append(tag("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="mark"))
    description = "; ".join(_in_words(line, written) for line in lines)
    keys = [(f"k{number}", line.name) for number, line in enumerate(lines, 1)] if len(lines) > 1 else []
    keys += [] if mark is None else [("km", mark[1])]
    return _figure(title, keys, svg(anchor, title, f"{description}.", *drawn))


def reliability_chart(anchor: str, counts: npt.NDArray[np.int64], confidence: Floats, accuracy: Floats) -> Markup:
    """Return a reliability diagram: how often answers are right by how sure they are, and how many are so sure."""
    axes, filled = Axes((0, 1), (0, 1)), counts > 0
    bars = [
        tag(
            "rect",
            x=axes.x(place / len(counts)),
            y=axes.y(0.25 * share),
            width=round(axes.x(1 / len(counts)) - axes.x(0) - 1, 1),
            height=round(axes.y(0) - axes.y(0.25 * share), 1),
            class_="bar",
        )
        for place, share in enumerate(counts / counts.max())
        if share
    ]
    diagonal = tag("line", x1=axes.x(0), y1=axes.y(0), x2=axes.x(1), y2=axes.y(1), class_="mark")
    line = Line("accuracy", confidence[filled], accuracy[filled])
    dots = [tag("circle", cx=axes.x(x), cy=axes.y(y), r=3.5, class_="dot") for x, y in zip(line.x, line.y, strict=True)]
    grid = _grid(axes, "how sure the model is", in_percent, in_percent)
    title = "How often answers are right, by how sure the model is"
    keys = [("k1", "accuracy"), ("km", "as sure as right"), ("kb", "share of answers")]
    told = "; ".join(
        f"sure {in_percent(x)}, right {in_percent(y)}, {number:,} answers"
        for x, y, number in zip(line.x, line.y, counts[filled].tolist(), strict=True)
    )
    drawn = svg(anchor, title, f"{told}.", grid, *bars, diagonal, _path(axes, line, 1), *dots)
    return _figure(title, keys, drawn)


def histogram(anchor: str, title: str, parts: dict[str, npt.NDArray[np.int64]], x_label: str) -> Markup:
    """Return how whole numbers are spread in each part, as outlines that share bins, in percent of the part."""
    least, most = (int(end(end(values) for values in parts.values())) for end in (min, max))
    width = max(1, math.ceil((most - least + 1) / 40))
    edges = np.arange(least, most + width + 1, width)
    lines = []
    for name, values in parts.items():
        shares = np.histogram(values, edges)[0] / len(values)
        x = np.repeat(edges, 2).astype(float)
        lines.append(Line(name, x - 0.5, np.concatenate([[0.0], np.repeat(shares, 2), [0.0]])))
    return line_chart(anchor, title, lines, x_label=x_label, written=in_percent, lowest=0.0)


def series_chart(anchor: str, values: Floats, scores: Floats | None) -> Markup:
    """Return a picture of measurements (T, F), and under it what each step says: up is for the class, down against."""
    steps, height = len(values), 96
    x = np.linspace(2, _WIDTH - 2, steps) if steps > 1 else np.array([_WIDTH / 2])
    drawn = []
    for number, feature in enumerate(values.T[:MOST_FEATURES], 1):
        known = feature[np.isfinite(feature)]
        low, spread = (known.min(), np.ptp(known) or 1.0) if len(known) else (0.0, 1.0)
        line = _thinned(Line("", x, height - 4 - (feature - low) / spread * (height - 8)))
        drawn.append(_polyline(zip(line.x.round(1), line.y.round(1), strict=True), f"s{number}"))
    if scores is None:
        return svg(anchor, "The sequence", f"{steps:,} steps.", *drawn, height=height)
    summed = _summed(scores)
    width, largest = _WIDTH / len(summed), float(np.abs(summed).max()) or 1.0
    for place, score in enumerate(summed / largest):
        size = round(22 * abs(float(score)), 1)
        top = 122 - size if score > 0 else 122
        if size >= 0.2:
            kind = "for" if score > 0 else "against"
            drawn.append(
                tag("rect", x=round(place * width, 1), y=top, width=round(0.9 * width, 1), height=size, class_=kind)
            )
    drawn.append(tag("line", x1=0, x2=_WIDTH, y1=122, y2=122, class_="axis"))
    strongest = int(np.abs(scores).argmax())
    told = f"{steps:,} steps; the strongest contribution is {scores[strongest]:+.3f}, at step {strongest + 1:,}."
    return svg(anchor, "The sequence, and what each step contributed", told, *drawn, height=146)


def _summed(scores: Floats) -> Floats:
    """Return the sums of scores over neighbours, so few that they can be drawn."""
    places = np.arange(len(scores)) * min(_MOST_BARS, len(scores)) // len(scores)
    return np.bincount(places, weights=scores).astype(np.float64)


def _thinned(line: Line) -> Line:
    if len(line.x) <= _MOST_POINTS:
        return line
    kept = np.unique(np.linspace(0, len(line.x) - 1, _MOST_POINTS).round().astype(np.int64))
    return Line(line.name, line.x[kept], line.y[kept])


def _grid(
    axes: Axes, x_label: str, written: Callable[[float], str], written_x: Callable[[float], str] | None = None
) -> Markup:
    """Return the lines behind the data, with their numbers, and the name of the horizontal axis."""
    drawn = []
    for value in ticks(*axes.y_range, most=5):
        y = axes.y(value)
        drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        drawn.append(tag("text", written(value), x=_LEFT - 6, y=y + 4, class_="end"))
    for value in ticks(*axes.x_range):
        if written_x is not None or value.is_integer():  # epochs and lengths have no halves
            name = f"{value:,.0f}" if written_x is None else written_x(value)
            drawn.append(tag("text", name, x=axes.x(value), y=_HEIGHT - _BOTTOM + 16, class_="mid"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    drawn.append(tag("text", x_label, x=middle, y=_HEIGHT - 4, class_="mid"))
    drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_HEIGHT - _BOTTOM, y2=_HEIGHT - _BOTTOM, class_="axis"))
    return join(drawn)


def _path(axes: Axes, line: Line, number: int) -> Markup:
    points = [(axes.x(x), axes.y(y) if math.isfinite(y) else math.nan) for x, y in zip(line.x, line.y, strict=True)]
    return _polyline(points, f"s{number}")


def _polyline(points: Sequence[tuple[float, float]] | zip, kind: str) -> Markup:  # type: ignore[type-arg]
    """Return points joined by lines; what is not finite parts them, and one alone is a dot."""
    runs = [list(run) for known, run in groupby(points, key=lambda point: bool(np.isfinite(point[1]))) if known]
    drawn = []
    for run in runs:
        if len(run) == 1:
            drawn.append(tag("circle", cx=run[0][0], cy=run[0][1], r=3, class_=f"dot {kind}"))
        else:
            drawn.append(tag("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in run), class_=kind))
    return join(drawn)


def _in_words(line: Line, written: Callable[[float], str]) -> str:
    known = np.flatnonzero(np.isfinite(line.y))
    if not len(known):
        return f"{line.name}: nothing that is finite"
    return f"{line.name}: from {written(float(line.y[known[0]]))} to {written(float(line.y[known[-1]]))}"


def _figure(title: str, keys: Sequence[tuple[str, str]], drawn: Markup) -> Markup:
    """Return a picture under its title and what its lines mean."""
    named = [tag("span", tag("i", class_=kind), name) for kind, name in keys]
    return tag("figure", tag("figcaption", title, tag("div", *named, class_="keys")), drawn)
