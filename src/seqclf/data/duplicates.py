"""Which sequences are equal: groups by content, found without Python work for each sequence."""

import numpy as np
import numpy.typing as npt

from seqclf.data.ragged import Ragged

Groups = npt.NDArray[np.int64]


def duplicate_groups(sequences: Ragged) -> Groups:
    """Number each sequence by its content: equal ones get the same number, in order of first appearance from 0.

    Sequences are sorted by a 64-bit hash, and each is then compared with the first of its group, so that the answer is
    exact; should two different sequences ever share a hash, another hash function is tried.
    """
    steps = _as_words(sequences)  # (N, W): each step as machine words
    offsets = sequences.offsets.numpy()
    if sequences.context is not None:
        steps, offsets = _with_context(steps, offsets, sequences.context.numpy())
    seed, exact = 0, False
    while not exact:
        _, first, groups = np.unique(_hash(steps, offsets, seed), return_index=True, return_inverse=True)
        seed, exact = seed + 1, _all_equal(steps, offsets, first[groups])
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first, kind="stable")] = np.arange(len(first))
    numbers: Groups = order[groups]
    return numbers


def members(groups: Groups) -> list[list[int]]:
    """Return the members of each group, ascending, in the order of the groups' numbers."""
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    return [part.tolist() for part in np.split(order, ends[:-1])]


def join_groups(first: Groups, second: Groups) -> Groups:
    """Number what either of two groupings holds together, directly or through others."""
    joined = first.copy()
    while True:  # each round gives a group the least number that any of its members has in the other grouping
        before = joined
        for numbers in (second, first):
            least = np.full(int(numbers.max(initial=-1)) + 1, len(joined) + int(first.max(initial=0)))
            np.minimum.at(least, numbers, joined)
            joined = least[numbers]
        if (joined == before).all():
            _, compact = np.unique(joined, return_inverse=True)
            return compact.astype(np.int64)


def _as_words(sequences: Ragged) -> npt.NDArray[np.uint64]:
    raw = sequences.values.numpy()
    if not sequences.is_tokens:
        raw = raw.view(f"u{raw.itemsize}")  # the bits of floats: equal means equal bits
    return (raw[:, None] if raw.ndim == 1 else raw).astype(np.uint64)


def _with_context(
    steps: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], context: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Put one step more before each sequence, that tells which sequences have the same context."""
    rows = np.ascontiguousarray(context).view(np.uint64)
    _, numbers = np.unique(rows, axis=0, return_inverse=True)
    first = np.repeat(numbers.reshape(-1, 1).astype(np.uint64), steps.shape[1], axis=1)
    return np.insert(steps, offsets[:-1], first, axis=0), offsets + np.arange(len(offsets))


def _hash(steps: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint64]:
    """Return a hash of each sequence: its steps, scrambled, as the digits of a number in a random odd base."""
    longest = int(np.diff(offsets).max())
    base, *columns = np.random.default_rng(seed).integers(0, 2**63, 1 + steps.shape[1], dtype=np.uint64) * 2 + 1
    powers = np.multiply.accumulate(np.full(longest, base, dtype=np.uint64))
    digits = _scramble((steps + np.uint64(1)) @ np.array(columns, dtype=np.uint64))
    positions = np.arange(len(steps)) - np.repeat(offsets[:-1], np.diff(offsets))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(digits * powers[positions], dtype=np.uint64)])
    hashes: npt.NDArray[np.uint64] = sums[offsets[1:]] - sums[offsets[:-1]]  # modulo 2^64; 0 for an empty sequence
    return hashes


def _scramble(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread the bits of each word over all of it.

    References:
        The finaliser of splitmix64: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def _all_equal(steps: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> bool:
    """Tell whether each sequence i equals sequence `other[i]`."""
    lengths = np.diff(offsets)
    if (lengths != lengths[other]).any():
        return False
    shift = np.repeat(offsets[other] - offsets[:-1], lengths)
    return bool((steps == steps[np.arange(len(steps)) + shift]).all())
