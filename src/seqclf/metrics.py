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


def confusion_matrix(
    labels: Indices, predictions: Indices, num_classes: int, weights: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[Any]:
    """Count each pair of a true class (row) and a predicted one (column): int64, or float64 with weights, (C, C)."""
    cells = labels * num_classes + predictions
    return np.bincount(cells, weights, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_metrics(matrix: npt.NDArray[Any]) -> list[ClassMetrics]:
    """Return precision, recall, F1 and support of each class of a confusion matrix."""
    hits = np.diag(matrix)
    predicted, support = matrix.sum(0), matrix.sum(1)
    precision = _ratio(hits, predicted)
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, predicted + support)
    rows: list[tuple[Any, ...]] = list(zip(*(part.tolist() for part in (precision, recall, f1, support)), strict=True))
    return [ClassMetrics(*row) for row in rows]


def macro_f1(matrix: npt.NDArray[Any]) -> float:
    """Return the mean F1 of the classes that occur, as a true label or as a prediction; each counts the same.

    Source:
        The value of scikit-learn's `f1_score(average="macro", zero_division=0)`.
    """
    occurs = (matrix.sum(0) + matrix.sum(1)) > 0
    f1 = np.array([metrics.f1 for metrics in class_metrics(matrix)])
    return float(f1[occurs].mean())


def _ratio(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    ratio: npt.NDArray[np.float64]
    ratio = np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
    return ratio


def calibration_error(confidences: npt.NDArray[np.float64], hits: npt.NDArray[np.bool_], bins: int) -> float:
    """Return how far confidence and accuracy are apart: |mean of both's difference| in bins of confidence, weighted.

    Source:
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
