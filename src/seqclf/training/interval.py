"""Interval: how far a figure that was measured on a sample may be off."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqclf.checks import check_int, check_probability, check_seed
from seqclf.data.duplicates import Groups
from seqclf.errors import InvalidArgumentError

__all__ = ["Interval"]

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A measured value, and the interval that holds the true one with a probability of `level`.

    Attributes:
        value: What was measured.
        low: The lower end.
        high: The upper end.
        level: The probability.

    Example:
        >>> Interval(0.75, 0.5, 1.0, 0.95)
        Interval(0.7500, 95 %: 0.5000 to 1.0000)
    """

    value: float
    low: float
    high: float
    level: float

    def __repr__(self) -> str:
        return f"Interval({self.value:.4f}, {100 * self.level:.4g} %: {self.low:.4f} to {self.high:.4f})"


def bootstrap(
    statistic: Callable[[Weights], float], groups: Groups, *, level: float, resamples: int, seed: int
) -> Interval:
    """Estimate by the bootstrap how a statistic of a sample would vary from sample to sample.

    Whole groups are drawn with replacement, as many as there are, so that members of a group, which stand or fall
    together, do not pass for independent observations. The ends are percentiles of the statistic over the draws.

    Args:
        statistic: A function of the weights, float64 of shape (n,), that a draw gives to the members of the sample.
        groups: The group of each member, int64 of shape (n,), numbered from 0.
        level: The probability that the interval is to have.
        resamples: How many samples to draw.
        seed: The seed of the draws.

    Raises:
        InvalidArgumentError: `level` is not between 0 and 1, or `resamples` or `seed` is no such count.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3; for groups, Field and Welsh,
        Bootstrapping Clustered Data, Journal of the Royal Statistical Society B 69(3), 2007.
    """
    if check_probability("level", level) == 0:
        raise InvalidArgumentError(f"level must be a number between 0 and 1; got {level!r}. Pass, for instance, 0.95.")
    check_int("resamples", resamples)
    generator = np.random.default_rng(check_seed("seed", seed))
    count = int(groups.max()) + 1
    draws = [
        statistic(np.bincount(generator.integers(0, count, count), minlength=count).astype(float)[groups])
        for _ in range(resamples)
    ]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(statistic(np.ones(len(groups))), float(low), float(high), level)


def student_t(level: float, freedom: int) -> float:
    """Return how far from 0 Student's t with `freedom` degrees of freedom stays with a probability of `level`."""
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)

    def within(bound: float) -> float:
        # With t = sqrt(freedom) * tan(angle) the density becomes a power of a cosine, smooth and bounded.
        angles = np.linspace(0, math.atan(bound / math.sqrt(freedom)), 2001)
        density = math.exp(log_scale) * math.sqrt(freedom) * np.cos(angles) ** (freedom - 1)
        return float(2 * (density[1:] + density[:-1]).sum() / 2 * (angles[1] - angles[0]))

    low, high = 0.0, 1.0
    while within(high) < level and high < 1e9:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < level else (low, middle)
    return high
