"""Products: what matrix products of many sizes take, each in the fastest way that `torch.mm` offers for it."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Run = Callable[[], Tensor]

_LEAST_REPEATS, _MOST_REPEATS, _ENOUGH_SECONDS = 3, 20, 1e-3


def best_seconds(run: Run) -> float:
    """Return the least seconds of several runs: a floor is what the machine can do, not what it did while disturbed."""
    run()
    found: list[float] = []
    while len(found) < _LEAST_REPEATS or (len(found) < _MOST_REPEATS and sum(found) < _ENOUGH_SECONDS):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


class Products:
    """Products of one kind, of many sizes.

    How fast a small product is depends much on which operands are stored transposed, and a second thread may cost more
    than it brings. Which way is the fastest is tried once for each power of two that sizes lie between.

    Args:
        ways: Each makes, from a size, what computes the product of that size.
        threads: How many threads there are.
    """

    def __init__(self, ways: Sequence[Callable[[int], Run]], threads: int) -> None:
        self.ways = [(way, count) for way in ways for count in sorted({1, threads})]
        self.threads = threads
        self.fastest: dict[int, int] = {}

    def seconds(self, counts: Counter[int]) -> float:
        """Time every size once, and add up as often as each occurs.

        A product can be had as a part of a larger one, so none counts more than those that are larger.
        """
        total, least = 0.0, math.inf
        for size in sorted(counts, reverse=True):
            least = min(least, self._measure(size)) if size else 0.0
            total += counts[size] * least
        return total

    def _measure(self, size: int) -> float:
        power = size.bit_length()
        if power not in self.fastest:
            self.fastest[power] = min(range(len(self.ways)), key=lambda number: self._time(number, size))
        return self._time(self.fastest[power], size)

    def _time(self, number: int, size: int) -> float:
        way, threads = self.ways[number]
        torch.set_num_threads(threads)
        try:
            return best_seconds(way(size))
        finally:
            torch.set_num_threads(self.threads)


def rows_times(rows: Tensor, weight: Tensor, threads: int) -> Products:
    """Return the products of the first n rows (n, K) with a weight (K, M), for any n."""
    weight = weight.contiguous()
    rows_t, weight_t = rows.t().contiguous(), weight.t().contiguous()

    def mm(one: Tensor, other: Tensor) -> Run:
        out = torch.empty(one.shape[0], other.shape[1])
        return lambda: torch.mm(one, other, out=out)

    return Products(
        [
            lambda n: mm(rows[:n], weight),
            lambda n: mm(rows[:n], weight_t.t()),
            lambda n: mm(weight_t, rows[:n].t()),
            lambda n: mm(weight_t, rows_t[:, :n]),
        ],
        threads,
    )


def sums_of_products(one: Tensor, other: Tensor, threads: int) -> Products:
    """Return the products (K, n) times (n, M) of the first n rows of both, for any n."""

    def mm(left: Tensor, right: Tensor) -> Run:
        out = torch.empty(left.shape[1], right.shape[1])
        return lambda: torch.mm(left.t(), right, out=out)

    return Products([lambda n: mm(one[:n], other[:n]), lambda n: mm(other[:n], one[:n])], threads)
