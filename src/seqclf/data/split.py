"""Splitting into two parts: at random, keeping class shares, and never with one sequence on both sides."""

from collections import Counter

import numpy as np

from seqclf.errors import InvalidArgumentError


def check_test_size(test_size: float, count: int) -> float:
    """Return what part of `count` samples is meant, or raise."""
    if isinstance(test_size, int) and not isinstance(test_size, bool) and 0 < test_size < count:
        return test_size / count
    if isinstance(test_size, float) and 0 < test_size < 1:
        return test_size
    raise InvalidArgumentError(
        f"test_size must be a part between 0 and 1, or a number of samples below {count}; got {test_size!r}."
    )


def choose_groups(groups: list[list[int]], strata: list[int], share: float, seed: int) -> list[int]:
    """Choose whole groups whose members make up about `share` of every stratum.

    The groups are visited in random order, and each goes to the side where it brings the counts of its strata nearer
    to the wanted ones, until no single group would: so without groups of several, every stratum is within one of its
    share, and otherwise as near as moving any one group can bring it.

    Args:
        groups: The members of each group.
        strata: The stratum (class) of each member.
        share: The wanted part, between 0 and 1.
        seed: The seed of the order in which the groups are visited.

    Returns:
        The chosen members, ascending.
    """
    missing = {stratum: share * count for stratum, count in Counter(strata).items()}  # how many are still wanted
    counts = [Counter(strata[member] for member in group) for group in groups]
    chosen = [False] * len(groups)
    moved = True
    while moved:
        moved = False
        for number in np.random.default_rng(seed).permutation(len(groups)).tolist():
            sign = -1 if chosen[number] else 1
            if _gain(missing, counts[number], sign) > 1e-9:
                for stratum, count in counts[number].items():
                    missing[stratum] -= sign * count
                chosen[number] = not chosen[number]
                moved = True
    return sorted(member for group, taken in zip(groups, chosen, strict=True) if taken for member in group)


def _gain(missing: dict[int, float], counts: Counter[int], sign: int) -> float:
    """Return by how much moving a group lowers the total distance from the wanted counts."""
    return sum(abs(missing[stratum]) - abs(missing[stratum] - sign * count) for stratum, count in counts.items())
