"""What a report is made of: everything that is measured, before a word of it is written.

Legend: n sequences, C classes, R resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqclf.data.dataset import SequenceDataset
from seqclf.data.report import DataReport, build_report
from seqclf.metrics import calibration_error, reliability
from seqclf.models.classifier import RNNClassifier
from seqclf.training.compare import Comparison, compare
from seqclf.training.evaluation import Evaluation
from seqclf.training.history import History
from seqclf.training.interval import Interval

Bounds = npt.NDArray[np.float64]

LEVEL = 0.95  # of every interval in a report
_MOST_DRAWN = 10**8  # numbers that all resamples of a bootstrap together read
_MOST_ANSWERS = 2 * 10**7  # about labels, of which more take long
_MOST_RESAMPLES, _FEWEST_RESAMPLES = 1000, 100


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    Attributes:
        models: The model, or those that are averaged.
        train: What it was trained on.
        test: What it was measured on, without sequences that it skips.
        result: What `evaluate` found.
        baseline: What a linear model came to on the same data; None where it is left out.
        why_no_baseline: Why it is.
        history: The course of training, where it is known.
        skipped: How many test sequences the model skips, as they are empty.
    """

    models: list[RNNClassifier]
    train: SequenceDataset
    test: SequenceDataset
    result: Evaluation
    baseline: Evaluation | None
    why_no_baseline: str
    history: History | None
    skipped: int

    @property
    def model(self) -> RNNClassifier:
        """The model, or the first of several."""
        return self.models[0]

    @cached_property
    def of_train(self) -> DataReport:
        """The report on the training data, with what of the test data occurs there."""
        return build_report(self.train, self.test, linear=False)

    @cached_property
    def of_test(self) -> DataReport:
        """The report on the test data."""
        return build_report(self.test, None)

    @cached_property
    def comparison(self) -> Comparison | None:
        """The model beside the linear baseline."""
        if self.baseline is None:
            return None
        resamples = _affordable(self.result.n)
        return compare(self.baseline, self.result, level=LEVEL, resamples=resamples)

    def interval(self, result: Evaluation) -> Interval:
        """Return the interval of an accuracy."""
        return result.interval("accuracy", level=LEVEL, resamples=_affordable(result.n))


def _affordable(size: int) -> int:
    """Return how many resamples of something of a size there can be."""
    return max(_FEWEST_RESAMPLES, min(_MOST_RESAMPLES, _MOST_DRAWN // max(size, 1)))


def recall_bounds(result: Evaluation) -> Bounds | None:
    """Return the lower and upper ends (C, 2) of the recall of each class, by the bootstrap over groups.

    A class whose recall is 0 or 1, which the bootstrap takes for certain, gets the interval of Clopper and Pearson, as
    `Evaluation.interval` does; one without members gets NaN. None where there are so many answers that it takes long.
    """
    if result.multi_label and result.labels.size > _MOST_ANSWERS:
        return None
    number, generator = int(result.groups.max()) + 1, np.random.default_rng(0)
    count = _class_counter(result)
    draws = np.full((_affordable(result.labels.size), len(result.classes)), np.nan)  # (R, C)
    for row in draws:
        drawn = np.bincount(generator.integers(0, number, number), minlength=number).astype(float)
        hits, support = count(drawn[result.groups])
        np.divide(hits, support, out=row, where=support > 0)
    bounds = np.full((len(result.classes), 2), np.nan)
    known = ~np.isnan(draws).all(0)
    bounds[known] = np.nanquantile(draws[:, known], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).T
    hits, support = count(np.ones(result.n))
    reach = 1 - ((1 - LEVEL) / 2) ** (1 / np.maximum(_distinct(result), 1))
    bounds[hits == 0, 0], bounds[hits == 0, 1] = 0.0, reach[hits == 0]
    bounds[hits == support, 0], bounds[hits == support, 1] = 1 - reach[hits == support], 1.0
    bounds[support == 0] = np.nan
    return bounds


def _class_counter(result: Evaluation) -> Callable[[Bounds], tuple[Bounds, Bounds]]:
    """Return what counts for weights (n,) the found members of each class, and all of them, (C,) each."""
    if result.multi_label:
        found, members = (one.astype(float) for one in (result.labels & result.predictions, result.labels))  # (n, C)
        return lambda weights: (weights @ found, weights @ members)
    labels, width = result.labels, len(result.classes)

    def count(weights: Bounds) -> tuple[Bounds, Bounds]:
        hits, support = (np.bincount(labels, one, minlength=width) for one in (weights * result.hits, weights))
        return hits.astype(float), support.astype(float)

    return count


def _distinct(result: Evaluation) -> Bounds:
    """Return how many groups have a member in each class, (C,)."""
    rows, classes = np.nonzero(result.labels) if result.multi_label else (np.arange(result.n), result.labels)
    pairs = np.unique(result.groups[rows] * len(result.classes) + classes)
    return np.bincount(pairs % len(result.classes), minlength=len(result.classes)).astype(float)


def frequent_confusions(result: Evaluation, most: int) -> list[tuple[int, int, int]]:
    """Return the pairs of a true and a predicted class that are confused most often, with how often.

    The square of all classes is not needed, so there may be very many.
    """
    wrong = ~result.hits
    pairs, counts = np.unique(
        result.labels[wrong] * len(result.classes) + result.predictions[wrong], return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:most]
    return [(*divmod(int(pairs[place]), len(result.classes)), int(counts[place])) for place in order]


def calibration(result: Evaluation, bins: int = 15) -> tuple[npt.NDArray[np.int64], Bounds, Bounds, float] | None:
    """Return counts, mean confidence and accuracy by bins of confidence, and the calibration error.

    Where sequences may have several labels, each answer for each label counts, by the probability of the label. None
    where probabilities are not known, or no numbers.
    """
    if result.multi_label and result.probabilities is not None:
        confidences, hits = result.probabilities.ravel(), result.labels.ravel() == 1
    elif result.confidences is not None:
        confidences, hits = result.confidences, result.hits
    else:
        return None
    if not np.isfinite(confidences).all():
        return None
    return (*reliability(confidences, hits, bins), calibration_error(confidences, hits, bins))
