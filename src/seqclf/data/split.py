"""Splitting at random: by size and by the shares of classes, and never with one group on both sides."""

from collections import Counter

import numpy as np

from seqclf.errors import InvalidArgumentError
from seqclf.reading.plain import plain

Group = list[int]

ALL = -1  # the stratum of all members, beside those of their labels, where each may have several


def check_size(name: str, size: float, count: int) -> int:
    """Return how many of `count` samples are meant by a part or a number; raise where that is none, or all."""
    size = plain(size)
    if isinstance(size, int) and not isinstance(size, bool) and 0 < size < count:
        return size
    if isinstance(size, float) and 0 < size < 1:
        return round(size * count)
    raise InvalidArgumentError(
        f"{name} must be a part between 0 and 1, or a number of samples below {count}; got {size!r}."
    )


def choose_groups(groups: list[Group], strata: list[tuple[int, ...]], wanted: int, seed: int) -> list[int]:
    """Choose whole groups that have `wanted` members together, and of every stratum about its share.

    Groups are visited in random order, and each goes to the side where it brings the counts of its strata nearer to
    what `share_out` wants, until no single group would. Where groups have one member each, that meets the size and the
    shares; otherwise groups go on moving as long as that brings the size nearer.

    Args:
        groups: The members of each group.
        strata: The stratum (class) of each member; or `ALL`, and each of its labels.
        wanted: How many members to choose.
        seed: The seed of the order in which the groups are visited.

    Returns:
        The chosen members, ascending.
    """
    choice = _Choice(groups, strata, wanted)
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    while sum(choice.move(number) for number in order if choice.gain(number) > 0 and choice.may_move(number)):
        pass  # each move may make others worth while
    while movable := [number for number in order if choice.nears_size(number) and choice.may_move(number)]:
        choice.move(max(movable, key=lambda number: choice.gain(number) / len(groups[number])))
    return sorted(member for group, taken in zip(groups, choice.chosen, strict=True) if taken for member in group)


class _Choice:
    """Which groups are chosen, and what is still missing of each stratum."""

    def __init__(self, groups: list[Group], strata: list[tuple[int, ...]], wanted: int) -> None:
        self.groups, self.chosen = groups, [False] * len(groups)
        self.counts = [Counter(one for member in group for one in strata[member]) for group in groups]
        self.left: Counter[int] = Counter()  # of each, those not chosen
        for counts in self.counts:
            self.left.update(counts)
        self.has_several = ALL in self.left
        self.missing = share_of_each(self.left, wanted) if self.has_several else share_out(self.left, wanted)

    def gain(self, number: int) -> int:
        """Return by how much moving a group lowers the distance from the wanted counts."""
        sign, missing = self._sign(number), self.missing
        return sum(abs(missing[one]) - abs(missing[one] - sign * count) for one, count in self.counts[number].items())

    def may_move(self, number: int) -> bool:
        """Tell whether something of each stratum stays behind."""
        return self.chosen[number] or all(self.left[one] > count for one, count in self.counts[number].items())

    def nears_size(self, number: int) -> bool:
        """Tell whether moving a group brings the size nearer, without going past it."""
        lacking = self._sign(number) * (self.missing[ALL] if self.has_several else sum(self.missing.values()))
        return len(self.groups[number]) <= lacking

    def move(self, number: int) -> bool:
        """Move a group to the other side."""
        for stratum, count in self.counts[number].items():
            self.missing[stratum] -= self._sign(number) * count
            self.left[stratum] -= self._sign(number) * count
        self.chosen[number] = not self.chosen[number]
        return True

    def _sign(self, number: int) -> int:
        return -1 if self.chosen[number] else 1


def share_of_each(counts: Counter[int], wanted: int) -> dict[int, int]:
    """Return how many of each label are its share of `wanted` members, who may have several; never all of it."""
    part = wanted / counts[ALL]
    return {one: wanted if one == ALL else min(round(part * count), count - 1) for one, count in counts.items()}


def share_out(counts: Counter[int], wanted: int) -> dict[int, int]:
    """Return how many of each stratum make up `wanted`: its share, by the largest remainders, and never all of it.

    References:
        The method of largest remainders, after Hare and Hamilton, as seats are given out by votes.
    """
    total = sum(counts.values())
    most = {stratum: count - 1 for stratum, count in counts.items()}  # one stays behind
    exact = {stratum: wanted * count / total for stratum, count in counts.items()}
    shares = {stratum: min(int(share), most[stratum]) for stratum, share in exact.items()}
    by_remainder = sorted(counts, key=lambda stratum: (shares[stratum] - exact[stratum], stratum))
    while sum(shares.values()) < wanted:
        spare = [stratum for stratum in by_remainder if shares[stratum] < most[stratum]]
        if not spare:
            return shares
        for stratum in spare[: wanted - sum(shares.values())]:
            shares[stratum] += 1
    return shares
