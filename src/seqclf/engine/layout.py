"""Which step of which sequence stands where: in a padded tensor, and in a packed one.

Legend: B sequences, N steps in all. Packed rows hold all first steps, longest sequence first, then all second steps,
and so on; the rank of a sequence is its place in that order.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


@dataclass(frozen=True, eq=False)
class Positions:
    """The sequence and the step that each row of a tensor of steps belongs to; the two broadcast with each other.

    Attributes:
        sequence: The index of the sequence in its batch: (B, 1) for padded steps, (N,) for packed ones. On the CPU.
        step: The number of the step, from 0: (1, T) or (N,). On the CPU.
    """

    sequence: Tensor
    step: Tensor

    @classmethod
    def of_padded(cls, rows: int, steps: int) -> "Positions":
        """Return the positions of (B, T) padded steps."""
        return cls(torch.arange(rows)[:, None], torch.arange(steps)[None])

    @classmethod
    def of_packed(cls, packed: PackedSequence) -> "Positions":
        """Return the positions of the N rows of a packed batch."""
        layout = layout_of(packed)
        ranks = layout.ranks
        return cls(ranks if packed.sorted_indices is None else packed.sorted_indices.cpu()[ranks], layout.steps)


class Layout:
    """Where the rows of a packed batch stand: all that follows from how many sequences are alive at each step.

    Attributes:
        sizes: How many sequences are alive at each step; they never grow.
        batch: B, those of the first step.
        num_steps: N, those of all steps.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.batch = sizes[0]
        self.num_steps = sum(sizes)

    @cached_property
    def steps(self) -> Tensor:
        """The step of each row: int64 (N,), on the CPU as all the others."""
        return _ids(np.repeat(np.arange(len(self.sizes)), self.sizes))

    @cached_property
    def starts(self) -> Tensor:
        """The first row of each step: int64 (T,)."""
        sizes = np.array(self.sizes)
        return _ids(sizes.cumsum() - sizes)

    @cached_property
    def ranks(self) -> Tensor:
        """The rank of the sequence of each row: int64 (N,)."""
        return _ids(np.arange(self.num_steps) - self.starts.numpy()[self.steps.numpy()])

    @cached_property
    def lengths(self) -> Tensor:
        """The length of the sequence of each rank: int64 (B,)."""
        return _ids(np.bincount(self.ranks.numpy()))

    @cached_property
    def last_rows(self) -> Tensor:
        """The row of the last step of each rank: int64 (B,)."""
        return _ids(self.starts.numpy()[self.lengths.numpy() - 1] + np.arange(self.batch))

    @cached_property
    def by_sequence(self) -> Tensor:
        """The rows in the order of ranks, each sequence's steps one after the other: int64 (N,)."""
        return _ids(np.lexsort((self.steps.numpy(), self.ranks.numpy())))

    @cached_property
    def reversal(self) -> Tensor:
        """The permutation of rows that reverses each sequence within its length; it is its own inverse."""
        ranks, steps = self.ranks.numpy(), self.steps.numpy()
        return _ids(self.starts.numpy()[self.lengths.numpy()[ranks] - 1 - steps] + ranks)


def _ids(array: npt.NDArray[np.int64]) -> Tensor:
    """Return an array as a tensor that may outlive inference mode, in which it may be asked for first."""
    with torch.inference_mode(False):
        return torch.from_numpy(array)


def layout_of(packed: PackedSequence) -> Layout:
    """Return the layout of a packed batch; those of short batches are kept, for many batches have the same."""
    sizes = tuple(packed.batch_sizes.tolist())
    return _kept_layout(sizes) if len(sizes) <= 256 else Layout(sizes)


@lru_cache(maxsize=1024)
def _kept_layout(sizes: tuple[int, ...]) -> Layout:
    return Layout(sizes)


def packed_lengths(packed: PackedSequence) -> Tensor:
    """Return the lengths of a packed batch in its original order: int64 of shape (B,) on the CPU."""
    lengths = layout_of(packed).lengths
    return lengths if packed.unsorted_indices is None else lengths[packed.unsorted_indices.cpu()]


def last_states(states: Tensor, lengths: Tensor, *, bidirectional: bool) -> Tensor:
    """Return each direction's state after its last step, (B, D), from (B, T, D)."""
    rows, steps, size = states.shape
    flat = states.reshape(rows * steps, size)
    first = torch.arange(0, rows * steps, steps)
    last = flat.index_select(0, (first + lengths - 1).to(states.device))
    if not bidirectional:
        return last
    half = size // 2
    return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)
