"""compare: whether one model is better than another on the same sequences, or may just have been lucky."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqclf.errors import InvalidArgumentError
from seqclf.training.evaluation import Evaluation
from seqclf.training.interval import Interval, bootstrap

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        difference: The accuracy of the second minus that of the first, with its interval from the paired bootstrap.
        only_first_right: How many sequences the first alone got right.
        only_second_right: How many sequences the second alone got right.
        p_value: How probable a difference of this size or more, either way, is if neither is better.

    Example:
        >>> from seqclf.training.interval import Interval
        >>> Comparison(Interval(0.02, -0.01, 0.05, 0.95), 10, 12, 0.832)
        Comparison(difference=+2.0 %, 95 %: -1.0 to +5.0 %, only right: 10 and 12, p=0.832)
    """

    difference: Interval
    only_first_right: int
    only_second_right: int
    p_value: float

    def __repr__(self) -> str:
        value, low, high = (100 * end for end in (self.difference.value, self.difference.low, self.difference.high))
        return (
            f"Comparison(difference={value:+.1f} %, {100 * self.difference.level:.4g} %: {low:+.1f} to {high:+.1f} %, "
            f"only right: {self.only_first_right} and {self.only_second_right}, p={self.p_value:.3g})"
        )


def compare(
    first: Evaluation, second: Evaluation, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Compare two evaluations on the same sequences by a paired test: McNemar's, in its exact form.

    Only the sequences that one of the two alone got right tell them apart. If neither is better, each of these fell to
    one side or the other as a fair coin does. Where sequences are equal, they count as one throw, with the weight of
    their number, for equal sequences get equal answers; without any, the test is McNemar's.

    The p-value holds for two models that were chosen before these sequences were looked at. It tells nothing about how
    much either would vary with another seed.

    Args:
        first: What `evaluate` returned for one model.
        second: What it returned for the other, on the same dataset.
        level: The probability that the interval of the difference is to have.
        resamples: How many samples the bootstrap draws.
        seed: The seed of the draws.

    Raises:
        InvalidArgumentError: The two evaluations are not of the same sequences; `level` or `resamples` is out of range.

    References:
        McNemar, Note on the Sampling Error of the Difference between Correlated Proportions or Percentages,
        Psychometrika 12(2), 1947; Dietterich, Approximate Statistical Tests for Comparing Supervised Classification
        Learning Algorithms, Neural Computation 10(7), 1998.

    Example:
        >>> import numpy as np
        >>> from seqclf import Evaluation, compare
        >>> labels = np.zeros(8, dtype=np.int64)
        >>> first = Evaluation(np.ones(8), labels, np.array([1, 1, 1, 1, 1, 1, 0, 0]), ("cat", "dog"))
        >>> second = Evaluation(np.ones(8), labels, np.array([0, 0, 0, 0, 0, 0, 0, 1]), ("cat", "dog"))
        >>> result = compare(first, second)
        >>> result.only_first_right, result.only_second_right, round(result.p_value, 6)
        (1, 6, 0.125)
    """
    for name, result in (("first", first), ("second", second)):
        if not isinstance(result, Evaluation):
            raise InvalidArgumentError(
                f"{name} must be an Evaluation; got {type(result).__name__}. Pass what evaluate returned."
            )
    same = first.classes == second.classes and np.array_equal(first.labels, second.labels)
    if not (same and np.array_equal(first.groups, second.groups)):
        raise InvalidArgumentError(
            f"both evaluations must be of the same sequences, in the same order; got {first.n} and {second.n} that "
            "differ. Evaluate both models on one dataset."
        )
    gains = second.hits.astype(int) - first.hits.astype(int)  # (n,): 1, 0 or -1
    per_group = np.bincount(first.groups, weights=gains).astype(int)
    return Comparison(
        difference=bootstrap(
            lambda weights: float(gains @ weights / weights.sum()),
            first.groups,
            level=level,
            resamples=resamples,
            seed=seed,
        ),
        only_first_right=int((gains < 0).sum()),
        only_second_right=int((gains > 0).sum()),
        p_value=_sign_flip_test(per_group),
    )


def _sign_flip_test(gains: npt.NDArray[np.int64]) -> float:
    """Return how probable a sum as far from 0 as that of `gains` is, if the sign of each were that of a fair coin.

    The law of the sum is worked out exactly: gains of one size make up a binomial law, and these are convolved.
    """
    law = np.ones(1)  # of the sum, counted from its smallest possible value in steps of 1
    for size, number in sorted(Counter(np.abs(gains[gains != 0]).tolist()).items()):
        wider = np.zeros(len(law) + 2 * size * number)
        for heads, probability in enumerate(_fair_coins(number)):
            wider[2 * size * heads : 2 * size * heads + len(law)] += probability * law
        law = wider
    sums = np.abs(np.arange(len(law)) - len(law) // 2)
    return min(1.0, float(law[sums >= abs(int(gains.sum()))].sum()))


def _fair_coins(number: int) -> npt.NDArray[np.float64]:
    """Return the probabilities of 0 to `number` heads."""
    logs = [math.lgamma(number + 1) - math.lgamma(k + 1) - math.lgamma(number - k + 1) for k in range(number + 1)]
    return np.exp(np.array(logs) - number * math.log(2))
