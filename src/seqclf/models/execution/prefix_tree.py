"""Which sequences begin alike: the tree of their distinct prefixes, level by level, by arithmetic on whole arrays.

The state after a prefix is the same for all sequences that begin with it, so it need be computed only once. Legend: n
sequences; a level holds one node for each distinct prefix of one length.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
# What gives the symbols of some sequences at one step: (indices of the sequences, step) to ids.
ReadStep = Callable[[Ids, int], Ids]

_LARGEST_TABLE = 64  # entries for each sequence, of a table of all pairs that could occur; beyond, they are sorted
_WORTH_SHARING = 0.9  # of the sequences that go on, a level's nodes must be fewer than this; else sharing has ended


@dataclass(frozen=True)
class Level:
    """The distinct prefixes of one length.

    Attributes:
        symbols: The last symbol of each, (nodes,).
        parents: The node, one level up, of what stands before that symbol, (nodes,); zeros on the first level.
        ended: The indices of the sequences that end here.
        ends: The node of each of these.
    """

    symbols: Ids
    parents: Ids
    ended: Ids
    ends: Ids


@dataclass(frozen=True)
class PrefixTree:
    """The prefixes of some sequences, as deep as sharing them pays; and what goes on below.

    Attributes:
        levels: The levels, that of one symbol first.
        rest: The indices of the sequences that go on below the last level, the longest first.
        starts: The node on the last level of each of these.
        saved: How many steps need not be computed, as others share them.
    """

    levels: list[Level]
    rest: Ids
    starts: Ids
    saved: int


def build_tree(read: ReadStep, lengths: Ids) -> PrefixTree:
    """Find the distinct prefixes of sequences.

    Args:
        read: Gives the symbols at a step.
        lengths: The length of each sequence, (n,). Empty ones have no part in the tree.
    """
    order = np.argsort(-lengths, kind="stable")
    lengths = lengths[order]  # so that those that go on are the first ones
    nodes = np.zeros(len(order), np.int64)
    levels: list[Level] = []
    saved = 0
    count = int(np.searchsorted(-lengths, 0))
    while count:
        step = len(levels)
        symbols = read(order[:count], step)
        parents, own, found = _number(nodes[:count], symbols)
        if len(own) > _WORTH_SHARING * count:
            break
        saved += count - len(own)
        nodes = found
        going_on = int(np.searchsorted(-lengths[:count], -step - 1))  # those longer than step + 1
        levels.append(Level(own, parents, order[going_on:count], nodes[going_on:]))
        count = going_on
    return PrefixTree(levels, order[:count], nodes[:count], saved)


def _number(nodes: Ids, symbols: Ids) -> tuple[Ids, Ids, Ids]:
    """Return the node and the symbol of each distinct pair of both, and which of the pairs each one is."""
    width = int(symbols.max()) + 1
    pairs = nodes * width + symbols
    size = (int(nodes.max()) + 1) * width
    if size > _LARGEST_TABLE * len(pairs):
        distinct, found = np.unique(pairs, return_inverse=True)
    else:
        occurs = np.zeros(size, np.bool_)
        occurs[pairs] = True
        distinct = np.flatnonzero(occurs)
        numbers = np.empty(size, np.int64)
        numbers[distinct] = np.arange(len(distinct))
        found = numbers[pairs]
    return distinct // width, distinct % width, found.reshape(-1)
