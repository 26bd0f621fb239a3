"""N-grams of ids as numbers: the ids are the digits, to a base that no id reaches.

Legend: B sequences, T steps, N steps in all.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqclf.data.ragged import Ragged

MOST_KEYS = 1 << 63  # numbers that fit into 64 bits
_BLOCK_STEPS = 1 << 22  # steps that are counted at once: some hundred megabytes


def keys_of_windows(ids: Tensor, order: int, base: int) -> Tensor:
    """Return the number of the n-gram that ends at each step of ids (B, T), int64; -1 where there is none.

    Padding, id 0, is part of none.
    """
    rows, steps = ids.shape
    if steps < order:
        return ids.new_full((rows, steps), -1, dtype=torch.int64)
    keys = ids.new_zeros((rows, steps - order + 1), dtype=torch.int64)  # of windows that begin at each step
    is_whole = torch.ones_like(keys, dtype=torch.bool)
    for place in range(order):
        digits = ids[:, place : steps - order + 1 + place].long()
        keys.mul_(base).add_(digits)
        is_whole &= digits != 0
    return functional.pad(keys.masked_fill_(~is_whole, -1), (order - 1, 0), value=-1)


def rekey(keys: Tensor, base: int, larger: int) -> Tensor:
    """Return the numbers of n-grams to a larger base, in the same order."""
    left, place, found = keys.clone(), 1, torch.zeros_like(keys)
    while bool((left > 0).any()):
        found += left % base * place
        left //= base
        place *= larger
    return found


def ngram_keys(sequences: Ragged, order: int, base: int) -> Tensor:
    """Return the number of the n-gram that ends at each step of all sequences, int64 (N,); -1 where there is none."""
    steps = torch.arange(sequences.total) - torch.repeat_interleave(sequences.offsets[:-1], sequences.lengths)
    keys = keys_of_windows(sequences.values[None], order, base)[0]
    return torch.where(steps >= order - 1, keys, -1)


def count_ngrams(sequences: Ragged, orders: tuple[int, ...], base: int, min_freq: int, most: int) -> Tensor:
    """Return the numbers of the n-grams that occur at least so often, ascending: the `most` most frequent, (M,)."""
    counts: dict[int, int] = {}
    for block in _blocks(sequences):
        for order in orders:
            keys = ngram_keys(block, order, base).numpy()
            for key, count in zip(*map(np.ndarray.tolist, np.unique(keys[keys >= 0], return_counts=True)), strict=True):
                counts[key] = counts.get(key, 0) + count
    kept = sorted((-count, key) for key, count in counts.items() if count >= min_freq)[:most]
    return torch.tensor(sorted(key for _, key in kept), dtype=torch.int64)


def _blocks(sequences: Ragged) -> Iterator[Ragged]:
    """Yield the sequences some at a time, so that memory does not grow with the data."""
    ends = sequences.offsets[1:].numpy()
    start = 0
    while start < len(sequences):
        before = int(sequences.offsets[start])
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK_STEPS, side="right")))
        values = sequences.values[before : int(sequences.offsets[stop])]
        yield Ragged(values, sequences.offsets[start : stop + 1] - before)
        start = stop
