"""Samplers: which sequences make up each batch, and in which order."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Sampler

from seqclf.checks import check_int
from seqclf.errors import InvalidArgumentError

__all__ = ["BucketBatchSampler"]


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of sequences of similar length, in random order: little padding, and no order that training could feel.

    The indices are shuffled, cut into windows of `window` batches, sorted by length inside each window, cut into
    batches, and the batches are shuffled. Each index comes once an epoch. Use it as `batch_sampler` of a `DataLoader`.

    Each pass over the sampler is a new epoch with a new order, fully determined by (seed, epoch). `set_epoch` says
    which epoch comes next.

    Args:
        lengths: The length of each sequence, shape (n,), for instance `SequenceDataset.lengths`.
        batch_size: The number of sequences in a batch; the last batch of the cut may be smaller.
        shuffle: Whether to shuffle. Otherwise the batches come sorted by length, the same in every epoch.
        seed: The seed of the orders.
        window: How many batches a window spans. 1 means no bucketing: plain shuffled batches.
        drop_last: Whether to leave out a batch that is not full.

    Raises:
        InvalidArgumentError: `lengths` is empty or not of one dimension, or a number is out of its range.

    Example:
        >>> sampler = BucketBatchSampler([5, 1, 4, 2, 5, 1], batch_size=2, seed=0)
        >>> len(sampler), sorted(index for batch in sampler for index in batch)
        (3, [0, 1, 2, 3, 4, 5])
        >>> list(BucketBatchSampler([5, 1, 4, 2], batch_size=2, shuffle=False))
        [[1, 3], [2, 0]]
    """

    def __init__(
        self,
        lengths: Tensor | npt.ArrayLike,
        batch_size: int,
        *,
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
        self.shuffle = shuffle
        self.seed = check_int("seed", seed, minimum=0)
        self.window = check_int("window", window)
        self.drop_last = drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch, from 0, the next pass is."""
        self.epoch = check_int("epoch", epoch, minimum=0)

    def __len__(self) -> int:
        full, rest = divmod(len(self.lengths), self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.arrays():
            yield batch.tolist()

    def arrays(self) -> list[npt.NDArray[np.int64]]:
        """Return the batches of the next epoch as arrays of indices, all at once."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._shuffled(epoch) if self.shuffle else self._cut(np.argsort(self.lengths, kind="stable"))

    def _shuffled(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        if self.window > 1:
            windows = np.arange(len(order)) // (self.window * self.batch_size)
            order = order[np.lexsort((self.lengths[order], windows))]  # by window, then by length
        batches = self._cut(order)
        return [batches[number] for number in rng.permutation(len(batches))]

    def _cut(self, order: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return [order[start : start + self.batch_size] for start in starts]
