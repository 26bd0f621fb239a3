"""The sections on what the model came to: headline, classes, confusions, calibration, baseline.

Legend: C classes.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.report_page.charts import reliability_chart
from seqclf.report_page.findings import findings_of
from seqclf.report_page.markup import (
    Markup,
    between,
    count,
    in_percent,
    name_of,
    percent,
    scroll_box,
    section,
    table,
    tag,
)
from seqclf.report_page.material import Material, calibration, frequent_confusions, recall_bounds
from seqclf.report_page.page import HEAT_LEVELS
from seqclf.training.evaluation import Evaluation

_WHOLE_MATRIX = 60  # classes up to which all pairs are shown
_MOST_CLASSES = 500  # rows of the table of classes
_NONE = "n/a"
_FEW_PAIRS, _MANY_PAIRS = 10, 30


def headline(material: Material) -> Markup:
    """Return the accuracy with its interval, what to compare it with, and what is to be known of both."""
    result, own = material.result, material.interval(material.result)
    measure = "of the test sequences have exactly the right labels" if result.multi_label else "accuracy on test data"
    figures = tag(
        "div",
        tag("p", percent(own.value), class_="big"),
        tag("p", measure, tag("br"), f"95 %: {between(own.low, own.high)}", class_="soft"),
        tag("p", _other_figures(result), class_="small soft"),
    )
    rows = [("model", own.value, own.low, own.high)]
    if material.baseline is not None:
        other = material.interval(material.baseline)
        rows.append(("linear baseline", other.value, other.low, other.high))
    rows.append(("majority", result.majority, math.nan, math.nan))
    scale = _scale(rows)
    beside = table(
        "Accuracy, and what a model has to beat",
        ("", "accuracy", "95 % interval", f"from {in_percent(scale[0])} to {in_percent(scale[1])}"),
        [
            (
                name,
                percent(value),
                "" if math.isnan(low) else between(low, high),
                track(value, low, high, scale, is_other=name != "model"),
            )
            for name, value, low, high in rows
        ],
        kind="fill",
    )
    told = [tag("h3", "What to know first"), findings_of(material)]
    return section("summary", "Summary", tag("div", figures, beside, class_="lead"), *told)


def _other_figures(result: Evaluation) -> str:
    figures = [f"macro-F1 {result.macro_f1:.3f}", f"loss {result.loss:.3f}", count(result.n, "sequence")]
    if result.multi_label:
        figures.insert(0, f"micro-F1 {result.micro_f1:.3f}")
        figures.insert(2, f"average precision {result.average_precision:.3f}")
    return " · ".join(figures)


def _scale(rows: Sequence[tuple[str, float, float, float]]) -> tuple[float, float]:
    """Return the tenths between which all values and intervals are, which leaves room to tell them apart."""
    ends = [one for row in rows for one in row[1:] if math.isfinite(one)]
    return max(0.0, math.ceil(10 * min(ends) - 1) / 10), min(1.0, math.floor(10 * max(ends) + 1) / 10)


def track(
    value: float, low: float, high: float, scale: tuple[float, float] = (0, 1), *, is_other: bool = False
) -> Markup:
    """Return a value and its interval as a mark and a bar on a scale; the numbers themselves stand beside it."""

    def place(one: float) -> float:
        return 100 * (one - scale[0]) / (scale[1] - scale[0])

    parts = []
    if math.isfinite(low):
        parts.append(tag("i", style=f"left:{place(low):.1f}%;width:{place(high) - place(low):.1f}%"))
    if math.isfinite(value):
        parts.append(tag("b", style=f"left:{place(value):.1f}%"))
    drawn = tag("div", *parts, class_="track", aria_hidden="true")
    return tag("div", drawn, class_="other") if is_other else drawn


def classes_section(material: Material) -> Markup:
    """Return the figures of each class, those with the most test sequences first."""
    result, bounds = material.result, recall_bounds(material.result)
    figures = list(result.per_class.values())
    trained = list(material.of_train.class_counts.values())
    order = sorted(range(len(figures)), key=lambda place: -figures[place].support)
    rows = []
    for place in order[:_MOST_CLASSES]:
        one = figures[place]
        low, high = (math.nan, math.nan) if bounds is None else bounds[place].tolist()
        is_tested = one.support > 0
        rows.append(
            (
                name_of(result.classes[place]),
                f"{trained[place]:,}",
                f"{one.support:,}",
                f"{one.precision:.3f}",
                f"{one.recall:.3f}" if is_tested else _NONE,
                f"{low:.2f} to {high:.2f}" if math.isfinite(low) else _NONE,
                track(one.recall if is_tested else math.nan, low, high),
                f"{one.f1:.3f}",
            )
        )
    header = ("class", "train", "test", "precision", "recall", "95 %", "from 0 to 1", "F1")
    notes = ["Recall is the part of a class that is found, precision the part of its predictions that are right."]
    if bounds is None:
        notes.append(" Intervals are left out, as there are too many answers to resample.")
    if len(order) > _MOST_CLASSES:
        notes.append(f" The {_MOST_CLASSES} largest of {len(order):,} classes are shown.")
    shown = table("Figures of each class, the largest in the test data first", header, rows)
    return section("classes", "Figures of each class", tag("p", *notes), shown)


def confusion_section(material: Material) -> Markup:
    """Return what is taken for what: all pairs of a few classes, or the most frequent ones of many."""
    result = material.result
    if result.multi_label:
        told = "A sequence may have several labels here, so there are no pairs of a true and a predicted class."
        return section("confusions", "Confusions", tag("p", told, " See the figures of each class."))
    is_small = len(result.classes) <= _WHOLE_MATRIX
    content: list[Markup] = []
    if is_small:
        told = "How often each true class (row) was predicted as each class (column), shaded by the part of the row."
        content = [tag("p", told), _matrix(result)]
    pairs = frequent_confusions(result, _FEW_PAIRS if is_small else _MANY_PAIRS)
    if not pairs:
        return section("confusions", "Confusions", *content, tag("p", "No class is taken for another."))
    support = np.bincount(result.labels, minlength=len(result.classes))
    rows = [
        (name_of(result.classes[true]), name_of(result.classes[taken]), f"{number:,}", percent(number / support[true]))
        for true, taken, number in pairs
    ]
    if not is_small:
        told = f"Of {len(result.classes):,} classes only the pairs that are confused most often are shown."
        content.append(tag("p", told))
    caption = "The classes that are confused most often"
    content.append(table(caption, ("true", "predicted as", "times", "of the true class"), rows, kind="pairs"))
    return section("confusions", "Confusions", *content)


def _matrix(result: Evaluation) -> Markup:
    matrix = result.confusion_matrix
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    shades = np.ceil(HEAT_LEVELS * shares).astype(int)
    names = [name_of(label) for label in result.classes]
    head = tag("tr", tag("th", "true class", scope="col"), *(tag("th", name, scope="col") for name in names))
    rows = [
        tag(
            "tr",
            tag("th", names[row], scope="row"),
            *(_cell(matrix, shades, row, place) for place in range(len(names))),
        )
        for row in range(len(names))
    ]
    caption = "Confusion matrix"
    whole = tag("table", tag("caption", tag("span", caption)), tag("thead", head), tag("tbody", *rows), class_="heat")
    return scroll_box(caption, whole)


def _cell(matrix: npt.NDArray[Any], shades: npt.NDArray[Any], row: int, column: int) -> Markup:
    kinds = ([f"h{shades[row, column]}"] if shades[row, column] else []) + (["right"] if row == column else [])
    number = matrix[row, column]
    return tag("td", f"{number:,}" if number else "", class_=" ".join(kinds) or None)


def calibration_section(material: Material) -> Markup:
    """Return whether the model is as sure as it is right."""
    measured = calibration(material.result)
    if measured is None:
        why = "Left out: the probabilities of the answers are not known, or are no numbers."
        return section("calibration", "Calibration", tag("p", why))
    counts, confidence, accuracy, error = measured
    of_what = "Each answer for each label counts. " if material.result.multi_label else ""
    told = (
        f"{of_what}The expected calibration error (ECE) is {error:.3f}: the average gap between how sure the model is "
        "and how often it is right. On the dashed line the two are equal; under it, the model is too sure."
    )
    chart = reliability_chart("reliability", counts, confidence, accuracy)
    return section("calibration", "Calibration", tag("p", told), chart)


def baseline_section(material: Material) -> Markup:
    """Return the linear model beside the model."""
    heading = "Linear baseline"
    if material.baseline is None or material.comparison is None:
        return section("baseline", heading, tag("p", "Left out: ", material.why_no_baseline))
    told = (
        "Logistic regression over n-grams, over symbols at their places, or over summary figures of measurements, "
        "trained on the same data and not tuned: what a recurrent network has to beat."
    )
    results = {"model": material.result, "linear baseline": material.baseline}
    rows = [(name, *_row(one)) for name, one in results.items()]
    beside = table(
        "The model and the linear baseline on the test data",
        ("", "accuracy", "macro-F1", "loss", "ECE"),
        rows,
    )
    both = int((material.result.hits & material.baseline.hits).sum())
    comparison = material.comparison
    neither = material.result.n - both - comparison.only_first_right - comparison.only_second_right
    sizes = {
        "both": both,
        "only the model": comparison.only_second_right,
        "only the linear baseline": comparison.only_first_right,
        "neither": neither,
    }
    agreement = table(
        "Who is right about the test sequences",
        ("right", "sequences", "part"),
        [(name, f"{number:,}", percent(number / material.result.n)) for name, number in sizes.items()],
    )
    chance = "less than 0.001" if comparison.p_value < 0.001 else f"{comparison.p_value:.3f}"
    test = f"If neither were better, so large a difference would have a probability of {chance} (McNemar's test)."
    tables = tag("div", beside, agreement, class_="grid-of")
    return section("baseline", heading, tag("p", told), tables, tag("p", test))


def _row(result: Evaluation) -> tuple[str, ...]:
    measured = calibration(result)
    error = _NONE if measured is None else f"{measured[3]:.3f}"
    return percent(result.accuracy), f"{result.macro_f1:.3f}", f"{result.loss:.3f}", error
