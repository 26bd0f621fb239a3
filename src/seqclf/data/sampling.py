"""Samplers: which sequences make up each batch, and in which order."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Sampler

from seqclf.checks import check_int, check_seed
from seqclf.errors import InvalidArgumentError

__all__ = ["BucketBatchSampler"]

IndexArray = npt.NDArray[np.int64]

_POOL = 1 << 18  # how many indices, at most, are shuffled one by one
_BLOCK = 1 << 9  # where there are more, how many neighbours go into one pool together


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of sequences of similar length, in random order: little padding, and no bias from the order.

    The indices are shuffled, cut into windows of `window` batches, sorted by length inside each window, cut into
    batches, and the batches are shuffled. Each index comes once an epoch. Use it as `batch_sampler` of a `DataLoader`.

    Each pass over the sampler is a new epoch with a new order, fully determined by (seed, epoch). `set_epoch` says
    which epoch comes next.

    Of more than 262,144 sequences, so many at a time are drawn and treated in this way: as 512 blocks of 512
    neighbours, from anywhere. So memory does not grow with the data, and a store on a disk is read in pieces.

    Args:
        lengths: The length of each sequence, shape (n,), for instance `SequenceDataset.lengths`.
        batch_size: The number of sequences in a batch; the last batch of the cut may be smaller.
        max_tokens: The most steps that a batch may hold, padding included: sequences times the length of the longest.
            Batches of long sequences then have fewer than `batch_size`. None is no limit.
        shuffle: Whether to shuffle. Otherwise the batches come sorted by length, the same in every epoch.
        seed: The seed of the orders.
        window: How many batches a window spans. 1 means no bucketing: plain shuffled batches.
        drop_last: Whether to leave out a batch that is not full.

    Raises:
        InvalidArgumentError: `lengths` is empty or not of one dimension; a number is out of its range; a sequence is
            longer than `max_tokens`; or `drop_last` is given with it.

    Example:
        >>> sampler = BucketBatchSampler([5, 1, 4, 2, 5, 1], batch_size=2, seed=0)
        >>> len(sampler), sorted(index for batch in sampler for index in batch)
        (3, [0, 1, 2, 3, 4, 5])
        >>> list(BucketBatchSampler([5, 1, 4, 2], batch_size=2, shuffle=False))
        [[1, 3], [2, 0]]
        >>> list(BucketBatchSampler([5, 1, 4, 2], batch_size=4, max_tokens=6, shuffle=False))
        [[1, 3], [2], [0]]
    """

    def __init__(
        self,
        lengths: Tensor | npt.ArrayLike,
        batch_size: int,
        *,
        max_tokens: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        window: int = 50,
        drop_last: bool = False,
    ) -> None:
        self.lengths = torch.as_tensor(lengths).cpu().numpy()
        if self.lengths.ndim != 1 or len(self.lengths) == 0:
            raise InvalidArgumentError(
                f"lengths must have the shape (n,) with n at least 1; got {self.lengths.shape}. Pass dataset.lengths."
            )
        self.batch_size = check_int("batch_size", batch_size)
        self.max_tokens = None if max_tokens is None else self._check_max_tokens(max_tokens, drop_last)
        self.shuffle = shuffle
        self.seed = check_seed("seed", seed)
        self.window = check_int("window", window)
        self.drop_last = drop_last
        self.epoch = 0

    def _check_max_tokens(self, max_tokens: int, drop_last: bool) -> int:
        check_int("max_tokens", max_tokens)
        longest = int(self.lengths.argmax())
        if self.lengths[longest] > max_tokens:
            raise InvalidArgumentError(
                f"max_tokens must be at least the length of every sequence; got {max_tokens} for one of "
                f"{self.lengths[longest]} steps (sequence {longest}). Allow more, or cut long sequences."
            )
        if drop_last:
            raise InvalidArgumentError(
                "drop_last must be False with max_tokens, by which no batch size is the full one; got True."
            )
        return max_tokens

    def __repr__(self) -> str:
        bound = "" if self.max_tokens is None else f", max_tokens={self.max_tokens}"
        return (
            f"BucketBatchSampler({len(self.lengths):,} sequences, {len(self):,} batches of at most {self.batch_size}"
            f"{bound}, epoch {self.epoch})"
        )

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch, from 0, the next pass is."""
        self.epoch = check_int("epoch", epoch, minimum=0)

    def __len__(self) -> int:
        """Return the number of batches of the next pass; with `max_tokens` it is counted, by going through them."""
        if self.max_tokens is not None:
            return sum(1 for _ in self._batches(self.epoch))
        full, rest = divmod(len(self.lengths), self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.arrays():
            yield batch.tolist()

    def arrays(self) -> Iterator[IndexArray]:
        """Yield the batches of the next epoch as arrays of indices."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._batches(epoch)

    def _batches(self, epoch: int) -> Iterator[IndexArray]:
        if not self.shuffle:
            yield from self._cut(np.argsort(self.lengths, kind="stable"), is_last=True)
            return
        rng = np.random.default_rng([self.seed, epoch])
        count, seen, rest = len(self.lengths), 0, np.empty(0, np.int64)
        for pool in self._pools(rng):
            seen += len(pool)
            order = np.concatenate([rest, pool])
            if self.window > 1:
                windows = np.arange(len(order)) // (self.window * self.batch_size)
                order = order[np.lexsort((self.lengths[order], windows))]  # by window, then by length
            batches = self._cut(order, is_last=seen == count)
            rest = order[sum(map(len, batches)) :]  # goes into the next pool
            for number in rng.permutation(len(batches)):
                yield batches[number]

    def _pools(self, rng: np.random.Generator) -> Iterator[IndexArray]:
        """Yield all indices, shuffled, about `_POOL` at a time."""
        count = len(self.lengths)
        if count <= _POOL:
            yield rng.permutation(count)
            return
        firsts = rng.permutation(-(-count // _BLOCK)) * _BLOCK
        for start in range(0, len(firsts), _POOL // _BLOCK):
            chosen = firsts[start : start + _POOL // _BLOCK, None] + np.arange(_BLOCK)
            yield rng.permutation(chosen[chosen < count])

    def _cut(self, order: IndexArray, *, is_last: bool) -> list[IndexArray]:
        """Cut an order into batches; one at the end that is not full only where nothing follows."""
        if self.max_tokens is None:
            starts = list(range(0, len(order), self.batch_size))
        else:
            starts = self._starts_by_tokens(order, self.max_tokens)
        batches = np.split(order, starts[1:])
        if (self.drop_last or not is_last) and len(batches[-1]) < self.batch_size:
            batches.pop()
        return batches

    def _starts_by_tokens(self, order: IndexArray, max_tokens: int) -> list[int]:
        """Return where batches begin that hold as much as they may."""
        starts = [0]
        while True:
            lengths = self.lengths[order[starts[-1] : starts[-1] + self.batch_size]]
            steps = np.maximum.accumulate(lengths) * np.arange(1, len(lengths) + 1)
            start = starts[-1] + int(np.searchsorted(steps, max_tokens, side="right"))
            if start >= len(order):
                return starts
            starts.append(start)
