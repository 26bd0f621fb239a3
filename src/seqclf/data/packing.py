"""Packed batches straight from the ragged store: many at a time, without work for each sequence.

Legend: B sequences in a batch, T steps of the longest of them, F features a step, N steps in all.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqclf.data.batch import Batch
from seqclf.data.ragged import Ragged

IndexArray = npt.NDArray[np.int64]

_CHUNK_STEPS = 1 << 16  # how many steps, about, are laid out at once: so many that a batch costs no more than a slice


def pack_batches(
    store: Ragged,
    labels: Tensor | None,
    batches: Iterable[IndexArray],
    device: torch.device | str = "cpu",
    *,
    skip: int = 0,
) -> Iterator[Batch]:
    """Yield a packed `Batch` for each array of indices; in each the longest sequence comes first.

    That order is part of the batch: `batch.indices` tells it, and lengths and labels have it too, so that nobody needs
    to sort or to put anything back. Where some sequence of the store is empty, which a packed batch cannot hold, the
    batches are padded, in the order of their indices.

    Args:
        store: The sequences.
        labels: Their class indices, (len,), if there are any.
        batches: The indices of each batch.
        device: Where inputs and labels shall be. Many batches go there in one copy.
        skip: How many batches to leave out at the beginning. All others lie in memory as they would without.
    """
    lengths = store.sizes.numpy()
    if not lengths.all():
        for indices in islice(batches, skip, None):
            yield _pad(store, labels, torch.from_numpy(indices)).to(device)
        return
    for chunk in _chunks(batches, lengths):
        if skip < len(chunk):
            yield from islice(_pack(store, labels, chunk, lengths, device), skip, None)
        skip = max(0, skip - len(chunk))


def _pad(store: Ragged, labels: Tensor | None, indices: Tensor) -> Batch:
    inputs, lengths = store.pad(indices)
    context = None if store.context is None else store.context[indices]
    return Batch(inputs, lengths, None if labels is None else labels[indices].long(), indices, context)


def _chunks(batches: Iterable[IndexArray], lengths: IndexArray) -> Iterator[list[IndexArray]]:
    """Yield as many batches together as hold about `_CHUNK_STEPS` steps."""
    chunk: list[IndexArray] = []
    steps = 0
    for indices in batches:
        chunk.append(indices)
        steps += int(lengths[indices].sum())
        if steps >= _CHUNK_STEPS:
            yield chunk
            chunk, steps = [], 0
    if chunk:
        yield chunk


def _pack(
    store: Ragged,
    labels: Tensor | None,
    batches: list[IndexArray],
    all_lengths: IndexArray,
    device: torch.device | str,
) -> Iterator[Batch]:
    """Lay out several batches, one behind the other, by arithmetic on whole arrays; then cut them apart."""
    counts = np.array([len(indices) for indices in batches])
    number = np.repeat(np.arange(len(batches)), counts)  # of the batch of each sequence
    indices = np.concatenate(batches)
    order = np.lexsort((-all_lengths[indices].astype(np.int64), number))
    indices = indices[order]
    lengths = all_lengths[indices].astype(np.int64)
    rank = np.arange(len(indices)) - np.repeat(counts.cumsum() - counts, counts)

    sequence = np.repeat(np.arange(len(indices)), lengths)  # of each step
    step = np.arange(len(sequence)) - np.repeat(lengths.cumsum() - lengths, lengths)
    longest = int(lengths.max())
    cell = number[sequence] * longest + step  # batches by steps, as a table
    sizes = np.bincount(cell, minlength=len(batches) * longest)
    source = np.empty(len(step), np.int64)  # where the row of the packed batches stands in the store
    source[(sizes.cumsum() - sizes)[cell] + rank[sequence]] = store.offsets.numpy()[indices[sequence]] + step

    values = store.steps(torch.from_numpy(source)).to(device)
    table = torch.from_numpy(sizes.reshape(len(batches), longest))
    chosen, lengths_of = torch.from_numpy(indices), torch.from_numpy(lengths)
    labels_of = None if labels is None else labels[chosen].long().to(device)
    context_of = None if store.context is None else store.context[chosen].to(device)
    row = start = 0
    for batch, (count, steps) in enumerate(zip(counts.tolist(), table.sum(1).tolist(), strict=True)):
        batch_sizes = table[batch, : lengths[start]]
        yield Batch(
            PackedSequence(values[row : row + steps], batch_sizes),
            lengths_of[start : start + count],
            None if labels_of is None else labels_of[start : start + count],
            chosen[start : start + count],
            None if context_of is None else context_of[start : start + count],
        )
        row, start = row + steps, start + count
