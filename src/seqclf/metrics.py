"""Metrics: functions of true and predicted class indices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassMetrics:
    """How one class fared.

    Attributes:
        precision: The part of the predictions of this class that are right; 0 where there are none.
        recall: The part of the members of this class that are found; 0 where there are none.
        f1: The harmonic mean of the two; 0 where both are 0.
        support: The number of true members.
    """

    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(labels: Indices, predictions: Indices, num_classes: int) -> npt.NDArray[np.int64]:
    """Count each pair of a true class (row) and a predicted one (column): (C, C)."""
    cells = labels * num_classes + predictions
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """How often each class was right, predicted, and true: (C,) each. The square of all pairs is not needed."""

    hits: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    support: npt.NDArray[Any]


def count_classes(
    labels: Indices, predictions: Indices, num_classes: int, weights: npt.NDArray[np.float64] | None = None
) -> ClassCounts:
    """Count: in integers, or with weights in floats; of class indices (n,), or of 0 and 1 for each class, (n, C)."""
    if labels.ndim == 2:
        own = np.ones(len(labels), np.int64) if weights is None else weights
        return ClassCounts(own @ (labels & predictions), own @ predictions, own @ labels)
    hits = labels == predictions
    return ClassCounts(
        np.bincount(labels[hits], None if weights is None else weights[hits], minlength=num_classes),
        np.bincount(predictions, weights, minlength=num_classes),
        np.bincount(labels, weights, minlength=num_classes),
    )


def class_metrics(counts: ClassCounts) -> list[ClassMetrics]:
    """Return precision, recall, F1 and support of each class."""
    hits, predicted, support = counts.hits, counts.predicted, counts.support
    precision = _ratio(hits, predicted)
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, predicted + support)
    rows: list[tuple[Any, ...]] = list(zip(*(part.tolist() for part in (precision, recall, f1, support)), strict=True))
    return [ClassMetrics(*row) for row in rows]


def macro_f1(counts: ClassCounts) -> float:
    """Return the mean F1 of the classes that occur, as a true label or as a prediction; each counts the same.

    References:
        The value of scikit-learn's `f1_score(average="macro", zero_division=0)`.
    """
    together = counts.predicted + counts.support
    return float(_ratio(2 * counts.hits, together)[together > 0].mean())


def micro_f1(counts: ClassCounts) -> float:
    """Return the F1 of all labels of all sequences together; 0 where there are none."""
    together = float(counts.predicted.sum() + counts.support.sum())
    return 2 * float(counts.hits.sum()) / together if together else 0.0


def average_precision(labels: Indices, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each class (C,) the mean precision at its members, by falling score (n, C); NaN without members.

    References:
        The value of scikit-learn's `average_precision_score`, in which equal scores come together.
    """
    found = np.full(labels.shape[1], np.nan)
    for place in np.flatnonzero(labels.any(0)):
        order = np.argsort(-scores[:, place], kind="stable")
        hits, ranked = np.cumsum(labels[order, place]), scores[order, place]
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of those with one score
        recall = np.diff(hits[last], prepend=0) / hits[-1]
        found[place] = float(recall @ (hits[last] / (last + 1)))
    return found


def _ratio(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    ratio: npt.NDArray[np.float64]
    ratio = np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
    return ratio


def calibration_error(confidences: npt.NDArray[np.float64], hits: npt.NDArray[np.bool_], bins: int) -> float:
    """Return how far confidence and accuracy are apart: |mean of both's difference| in bins of confidence, weighted.

    References:
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    counts, confidence, accuracy = reliability(confidences, hits, bins)
    return float(counts @ np.abs(confidence - accuracy) / len(hits))


def reliability(
    confidences: npt.NDArray[np.float64], hits: npt.NDArray[np.bool_], bins: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return for each bin of confidence how many there are, the mean confidence, and the part that is right."""
    places = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = (np.bincount(places, values, minlength=bins) for values in (confidences, hits))
    confidence, accuracy = (_ratio(one, counts) for one in sums)
    return counts, confidence, accuracy
