"""N-grams of ids as numbers: the ids are the digits, to a base that no id reaches.

Legend: B sequences, T steps, N steps in all.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from seqclf.data.ragged import Ragged


def keys_of_windows(ids: Tensor, order: int, base: int) -> Tensor:
    """Return the number of the n-gram that ends at each step of ids (B, T), int64; -1 where there is none.

    Padding, id 0, is part of none.
    """
    rows, steps = ids.shape
    if steps < order:
        return ids.new_full((rows, steps), -1, dtype=torch.int64)
    windows = ids.long().unfold(1, order, 1)  # (B, T - order + 1, order)
    powers = torch.tensor([base**i for i in reversed(range(order))], device=ids.device)
    keys = torch.where((windows != 0).all(-1), (windows * powers).sum(-1), -1)
    return functional.pad(keys, (order - 1, 0), value=-1)


def ngram_keys(sequences: Ragged, order: int, base: int) -> Tensor:
    """Return the number of the n-gram that ends at each step of all sequences, int64 (N,); -1 where there is none."""
    steps = torch.arange(sequences.total) - torch.repeat_interleave(sequences.offsets[:-1], sequences.lengths)
    keys = keys_of_windows(sequences.values[None], order, base)[0]
    return torch.where(steps >= order - 1, keys, -1)


def count_ngrams(sequences: Ragged, orders: tuple[int, ...], base: int, min_freq: int, most: int) -> Tensor:
    """Return the numbers of the n-grams that occur at least so often, ascending: the `most` most frequent, (M,)."""
    found: list[npt.NDArray[np.int64]] = []
    counts: list[npt.NDArray[np.int64]] = []
    for order in orders:
        keys = ngram_keys(sequences, order, base).numpy()
        unique, count = np.unique(keys[keys >= 0], return_counts=True)
        found.append(unique[count >= min_freq])
        counts.append(count[count >= min_freq])
    keys, often = np.concatenate(found), np.concatenate(counts)
    return torch.from_numpy(np.sort(keys[np.lexsort((keys, -often))[:most]]))
